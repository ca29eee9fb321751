"""S3FT: train on the model's own words where they are right, on the gold answer where they are not.

Gupta et al., Findings of NAACL 2025 (arXiv 2502.08130): where a judge finds the model's own answer
equivalent to the gold one, it becomes the target; else a paraphrase of the gold answer by the
model, if the judge accepts it; else the gold answer. A model trained so forgets less.

Ours differs. The judge is the final number, the row's tests, or a model; rows without one are left
alone, and so are those whose gold answer does not satisfy it: then nothing can be said. Refused
are answers that were cut, that break the format, and paraphrases that speak of the reference they
were given. The share of own answers can be capped, since training on one's own answers alone harms
(GRAPE's tables 4 and 5). A judge that fails is no verdict: the gold answer stays.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, field_validator

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import REVISED, Method, Request, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.share import Share
from siftline.models.likelihood import OK
from siftline.models.rendering import Template
from siftline.scorers.correction import CUT, EMPTY, Candidate
from siftline.scorers.equivalence import (
    EMPTY_TESTS,
    GOLD_FAILS,
    WRONG_FORMAT,
    Gold,
    OwnEquivalence,
    Paraphrase,
    ParaphraseEquivalence,
    Verdict,
)
from siftline.scorers.judges.comparers import Judge
from siftline.scorers.judges.execution import Execution, digest_of_tests

# What an own answer may be that is known to be no good, as against one that was not judged.
_JUDGED = (OK, CUT, EMPTY, WRONG_FORMAT)
# Share of the gold answers that fail above which the report warns (ours).
MANY_FAILURES = 0.1

Bools: TypeAlias = npt.NDArray[np.bool_]
Objects: TypeAlias = npt.NDArray[np.object_]


class Rounds(NamedTuple):
    """Which rows each round is about.

    Attributes:
        judged: [rows] Those that have a judge: their gold answers are looked at.
        good: [rows] Whose gold answer can be held against: they are answered.
        failed: [rows] Whose own answer is not equivalent: the gold answer is paraphrased.
    """

    judged: Bools
    good: Bools
    failed: Bools


class S3ft(Method):
    """Gives each row the model's own answer, a paraphrase, or leaves it the gold answer.

    Drops nothing, and rewrites the last turn only. Reasons: `own_answer`, `paraphrase`, `gold`
    (neither was equivalent), `gold_duplicate` (another row of the prompt gets the own answer),
    `gold_over_cap`, `no_judge` (the row's source or task has none), `unjudged_<status>`.

    Attributes:
        model: Role of the model that is going to be tuned.
        judge: `{kind: numeric}` compares final numbers, `{kind: judge, model: ...}` asks a language
            model, `{kind: execution, tests: ..., allow_execution: true}` runs the row's tests.
        sources: Those that the judge can judge; None for all.
        tasks: Likewise.
        least_agreement: What the judge must say at least, from 0 to 1.
        pattern: Regular expression that every answer must contain, so that the format stays.
        max_tokens: Of an answer.
        max_own_share: Largest share of own answers among the rows of a source.
        template: How prompts are rendered.
    """

    revision: ClassVar[int] = 2

    kind: Literal["s3ft"] = "s3ft"
    model: str
    judge: Verdict
    sources: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    least_agreement: float = Field(default=0.5, gt=0, le=1)
    pattern: str | None = None
    max_tokens: int = Field(default=512, ge=1)
    max_own_share: Share = 1.0
    template: Template = "chat"

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"got '{pattern}', expected a regular expression: {error}.") from error
        return pattern

    def roles(self) -> tuple[str, ...]:
        """Return the roles of all models that it may run."""
        return (self.model, *([self.judge.role] if self.judge.role else []))

    def source_names(self) -> tuple[str, ...]:
        """Return the sources that the judge can judge."""
        return self.sources or ()

    def local_roles(self) -> tuple[str, ...]:
        """Return the judge's role where it cannot be on a server."""
        return (self.judge.role,) if self.judge.role and self.judge.local else ()

    def follow(self, corpus: Corpus) -> Sequence[Request]:
        """Return the gold answers, then own answers, then paraphrases where those fail."""
        if not len(corpus) or ParaphraseEquivalence.table in corpus.tables:
            return ()
        judged, good, failed = self._rounds(corpus)
        gold = self._gold(corpus, judged)
        scorers: Sequence[Scorer]
        if Gold.table not in corpus.tables:
            rows, scorers = judged, (gold,)
        elif OwnEquivalence.table not in corpus.tables:
            rows, scorers = good, self._own(gold)
        else:
            rows, scorers = failed, self._words(gold)
        return [Request(scorer, rows) for scorer in scorers] if rows.any() else ()

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep all rows, each with the reason for its response."""
        judged, good, failed = self._rounds(corpus)
        own = good & self._equivalent(corpus, OwnEquivalence.table)
        words = failed & self._equivalent(corpus, ParaphraseEquivalence.table)
        first = _first_of_prompt(corpus, own)
        reasons = np.full(len(corpus), "gold", dtype=object)
        for rows, table in ((judged & ~good, Gold.table), (good & ~failed, OwnEquivalence.table)):
            reasons[rows] = [f"unjudged_{each}" for each in _status(corpus, table)[rows]]
        reasons[~judged] = "no_judge"
        reasons[words] = "paraphrase"
        reasons[own] = "gold_duplicate"
        reasons[first] = "gold_over_cap"
        reasons[self._within_cap(corpus, first)] = "own_answer"
        return verdicts(corpus, np.ones(len(corpus), dtype=bool), reasons)

    def revise(self, corpus: Corpus, decided: pa.Table) -> pa.Table:
        """Return the own answers and the paraphrases that take the gold answer's place."""
        reasons = np.array(decided["reason"].to_pylist(), dtype=object)
        tables = [REVISED.empty_table()]
        for reason, table in (("own_answer", Candidate.table), ("paraphrase", Paraphrase.table)):
            if reason in reasons:
                rows = pa.array(reasons == reason, pa.bool_())
                found = corpus.scores(table).filter(rows)
                ids = corpus.rows["id"].filter(rows)
                tables.append(pa.table([ids, found["text"], found["origin"]], schema=REVISED))
        return pa.concat_tables(tables)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Tell the shares of own answers, paraphrases and gold ones, and why others were not."""
        judged, good, failed = self._rounds(corpus)
        reasons = Counter(decided["reason"].to_pylist())
        gold = _counts(corpus, Gold.table, judged)
        return {
            "shares": {name: round(n / len(corpus), 4) for name, n in reasons.most_common()},
            "gold_answers_by_status": gold,
            "own_answers_by_status": _counts(corpus, OwnEquivalence.table, good),
            "paraphrases_by_status": _counts(corpus, ParaphraseEquivalence.table, failed),
            "warnings": self._warnings(gold),
        }

    def _rounds(self, corpus: Corpus) -> Rounds:
        """Tell the rounds apart; a table of an earlier stage counts in no row of this one."""
        judged = self._has_judge(corpus)
        good = judged & (_status(corpus, Gold.table) == OK)
        known = np.isin(_status(corpus, OwnEquivalence.table), _JUDGED)
        return Rounds(judged, good, good & known & ~self._equivalent(corpus, OwnEquivalence.table))

    def _gold(self, corpus: Corpus, judged: Bools) -> Gold:
        judge, tests = self.judge, None
        if isinstance(judge, Execution):
            tests = digest_of_tests(corpus, judged, judge.tests)
        if isinstance(judge, Judge):
            judge = judge.as_in("probabilities", self.template)
        return Gold(judge=judge, pattern=self.pattern, tests=tests)

    def _own(self, gold: Gold) -> tuple[Scorer, Scorer]:
        own = Candidate(model=self.model, max_tokens=self.max_tokens, template=self.template)
        return own, OwnEquivalence(answer=own, gold=gold)

    def _words(self, gold: Gold) -> tuple[Scorer, Scorer]:
        words = Paraphrase(model=self.model, max_tokens=self.max_tokens, template=self.template)
        return words, ParaphraseEquivalence(answer=words, gold=gold)

    def _has_judge(self, corpus: Corpus) -> Bools:
        """Return [rows] true where the judge is meant for the row's source and task."""
        found = np.ones(len(corpus), dtype=bool)
        for names, column in ((self.sources, "source"), (self.tasks, "task")):
            if names is not None:
                found &= [each in names for each in corpus.rows[column].to_pylist()]
        return found

    def _equivalent(self, corpus: Corpus, table: str) -> Bools:
        """Return [rows] true where an answer is equivalent to the gold one."""
        if table not in corpus.tables:
            return np.zeros(len(corpus), dtype=bool)
        value = corpus.column(f"{table}.agreement").cast(pa.float64())
        found: Bools = value.to_numpy(zero_copy_only=False) >= self.least_agreement  # null is NaN
        return found

    def _within_cap(self, corpus: Corpus, own: Bools) -> Bools:
        """Return [rows] true for the own answers that a source has room for, by content hash."""
        sources, order = _texts(corpus, "source"), _by_content(corpus, own)
        within = np.zeros(len(corpus), dtype=bool)
        for name in set(sources):
            room = int(self.max_own_share * (sources == name).sum() + 1e-9)
            within[order[sources[order] == name][:room]] = True
        return within

    def _warnings(self, gold: dict[str, int]) -> list[str]:
        """Say what a user would want to mend before the next run."""
        asked = sum(gold.values())
        failing = gold.get(GOLD_FAILS, 0) + gold.get(EMPTY_TESTS, 0)
        found = []
        if asked and not gold.get(OK):
            found.append(
                f"The judge '{self.judge.kind}' can hold an answer against none of {asked} gold "
                "answers; choose another one, or name the sources and tasks that it suits."
            )
        if failing > MANY_FAILURES * asked:
            found.append(
                f"{failing} of {asked} gold answers do not pass their own tests, or have tests "
                "that pass without code, and stay as they are; look at the tests, and at what they "
                "need: only Python's standard library is there."
            )
        return found


def _by_content(corpus: Corpus, rows: Bools) -> npt.NDArray[np.intp]:
    """Return the numbers of some rows in an order that no order of the corpus changes."""
    mine = np.flatnonzero(rows)
    keys = (_texts(corpus, "id")[mine], _texts(corpus, "content_hash")[mine])
    return mine[np.lexsort(keys)]


def _first_of_prompt(corpus: Corpus, own: Bools) -> Bools:
    """Return [rows] true for one row of each prompt: they share an answer, which is wanted once."""
    order, first = _by_content(corpus, own), np.zeros(len(corpus), dtype=bool)
    first[order[np.unique(_texts(corpus, "prompt_id")[order], return_index=True)[1]]] = True
    return first


def _texts(corpus: Corpus, column: str) -> npt.NDArray[np.str_]:
    return np.array(corpus.rows[column].to_pylist(), dtype=np.str_)


def _status(corpus: Corpus, table: str) -> Objects:
    """Return [rows] the status in a table, '' where a row is not in it."""
    if table not in corpus.tables:
        return np.full(len(corpus), "", dtype=object)
    found = corpus.column(f"{table}.status").to_pylist()
    return np.array([each or "" for each in found], dtype=object)


def _counts(corpus: Corpus, table: str, rows: Bools) -> dict[str, int]:
    """Count some rows by their status in a table, the most frequent first."""
    counts = Counter(str(each) for each in _status(corpus, table)[rows])
    return dict(counts.most_common())
