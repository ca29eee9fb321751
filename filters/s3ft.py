"""S3FT: train on the model's own answers where they are right, and on the gold ones elsewhere.

Gupta et al., Findings of NAACL 2025 (arXiv 2502.08130): where a judge finds the model's own answer
equivalent to the gold one, it becomes the target; else a paraphrase of the gold answer by the
model, if the judge accepts it; else the gold answer. A model trained so forgets less.

Ours differs. The judge is the final number, the row's tests, or a model. Rows without a judge keep
their gold answer, and so do those whose gold answer does not satisfy the judge. Refused are answers
that were cut, answers that break the format, and paraphrases that speak of their reference. The
share of own answers can be capped, since training on one's own answers alone harms (GRAPE's tables
4 and 5). Where the judge fails, the gold answer stays.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, field_validator

from siftline.contracts.columns import text_column, to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.figures import DECIMALS
from siftline.contracts.method import REVISED, Method, Request, verdicts
from siftline.contracts.names import check_known, ingested_pairs
from siftline.contracts.patterns import linear_pattern
from siftline.contracts.scorer import Scorer
from siftline.contracts.share import Share
from siftline.models.likelihood import OK
from siftline.models.rendering import Template
from siftline.scorers import statuses
from siftline.scorers.candidate import Candidate
from siftline.scorers.equivalence import OwnEquivalence, ParaphraseEquivalence
from siftline.scorers.gold import EquivalenceJudge, Gold
from siftline.scorers.judges.comparers import Judge
from siftline.scorers.judges.execution import Execution, digest_of_tests
from siftline.scorers.paraphrase import Paraphrase

# Statuses of an own answer that was judged, or that is no answer to begin with.
_JUDGED = (OK, statuses.CUT, statuses.EMPTY, statuses.UNFINISHED_THOUGHT, statuses.WRONG_FORMAT)
# Share of the gold answers that fail above which the report warns (ours).
MANY_FAILURES = 0.1

Bools: TypeAlias = npt.NDArray[np.bool_]
Objects: TypeAlias = npt.NDArray[np.object_]


class Rounds(NamedTuple):
    """Which rows each round is about.

    Attributes:
        judged: [rows] Those that have a judge; the first round is about their gold answers.
        good: [rows] Those whose gold answer satisfies the judge; the second round answers them.
        failed: [rows] Those whose own answer is not equivalent; the third round paraphrases their
            gold answers.
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
        tasks: Those that the judge can judge; None for all, rows without a task among them.
        least_agreement: Least agreement of an equivalent answer with the gold one, from 0 to 1.
        pattern: Regular expression of RE2 that every answer must contain, so that the format stays.
        max_tokens: Of an answer.
        max_own_share: Largest share of own answers among the rows of a source.
        template: How prompts are rendered.
    """

    revision: ClassVar[int] = 3  # 3: the pattern is RE2's

    kind: Literal["s3ft"] = "s3ft"
    model: str
    judge: EquivalenceJudge
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
        linear_pattern(pattern or "")
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
        """Return the gold answers, then own answers, then paraphrases where those fail.

        Raises:
            RecipeError: Nothing of one of the tasks was read.
        """
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
        """Keep all rows, each with the reason for its response.

        Raises:
            RecipeError: Nothing of one of the tasks was read.
        """
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
                answers = corpus.scores(table).filter(rows)
                ids = corpus.rows["id"].filter(rows)
                tables.append(pa.table([ids, answers["text"], answers["origin"]], schema=REVISED))
        return pa.concat_tables(tables)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the shares of the reasons, and the statuses of the answers of each round."""
        judged, good, failed = self._rounds(corpus)
        reasons = Counter(decided["reason"].to_pylist())
        gold = _counts(corpus, Gold.table, judged)
        return {
            "shares": {name: round(n / len(corpus), DECIMALS) for name, n in reasons.most_common()},
            "gold_answers_by_status": gold,
            "own_answers_by_status": _counts(corpus, OwnEquivalence.table, good),
            "paraphrases_by_status": _counts(corpus, ParaphraseEquivalence.table, failed),
            "warnings": self._warnings(gold),
        }

    def _rounds(self, corpus: Corpus) -> Rounds:
        """Return the rows of each round; a table of an earlier stage counts for none of them."""
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
        """Return [rows] true where the judge can judge the row's source and task.

        Raises:
            RecipeError: Nothing of one of the tasks was read.
        """
        self._check_tasks(corpus)
        suited = np.ones(len(corpus), dtype=bool)
        for names, column in ((self.sources, "source"), (self.tasks, "task")):
            if names is not None:
                suited &= [each in names for each in corpus.rows[column].to_pylist()]
        return suited

    def _check_tasks(self, corpus: Corpus) -> None:
        """Check that the tasks were read, be it in rows that an earlier stage has dropped.

        Raises:
            RecipeError: Nothing of one of them was; the nearest one is named.
        """
        if set(self.tasks or ()) <= set(text_column(corpus, "task")):
            return  # so the shards need not be read
        known = {task for _, task in ingested_pairs(corpus) if task}
        check_known("s3ft.tasks", self.tasks or (), known)

    def _equivalent(self, corpus: Corpus, table: str) -> Bools:
        """Return [rows] true where an answer is equivalent to the gold one."""
        if table not in corpus.tables:
            return np.zeros(len(corpus), dtype=bool)
        agreement = to_float(corpus.column(f"{table}.agreement"))
        equivalent: Bools = agreement >= self.least_agreement  # NaN, for null, is not
        return equivalent

    def _within_cap(self, corpus: Corpus, own: Bools) -> Bools:
        """Return [rows] true for the own answers that a source has room for, by content hash."""
        sources, order = _texts(corpus, "source"), _by_content(corpus, own)
        within = np.zeros(len(corpus), dtype=bool)
        for name in set(sources):
            room = int(self.max_own_share * (sources == name).sum() + 1e-9)
            within[order[sources[order] == name][:room]] = True
        return within

    def _warnings(self, gold: dict[str, int]) -> list[str]:
        """Return what a user would want to mend before the next run, a sentence each."""
        asked = sum(gold.values())
        failing = gold.get(statuses.GOLD_FAILS, 0) + gold.get(statuses.EMPTY_TESTS, 0)
        sentences = []
        if asked and not gold.get(OK):
            sentences.append(
                f"The judge '{self.judge.kind}' can hold an answer against none of {asked} gold "
                "answers; choose another one, or name the sources and tasks that it suits."
            )
        if failing > MANY_FAILURES * asked:
            sentences.append(
                f"{failing} of {asked} gold answers do not pass their own tests, or have tests "
                "that pass without code, and stay as they are; look at the tests, and at what they "
                "need: only Python's standard library is there."
            )
        return sentences


def _by_content(corpus: Corpus, rows: Bools) -> npt.NDArray[np.intp]:
    """Return the numbers of some rows in an order that no order of the corpus changes."""
    numbers = np.flatnonzero(rows)
    keys = (_texts(corpus, "id")[numbers], _texts(corpus, "content_hash")[numbers])
    return numbers[np.lexsort(keys)]


def _first_of_prompt(corpus: Corpus, own: Bools) -> Bools:
    """Return [rows] true for one row of each prompt: they share an answer, which is wanted once."""
    order, first = _by_content(corpus, own), np.zeros(len(corpus), dtype=bool)
    first[order[np.unique(_texts(corpus, "prompt_id")[order], return_index=True)[1]]] = True
    return first


def _texts(corpus: Corpus, column: str) -> npt.NDArray[np.str_]:
    return np.array(text_column(corpus, column), dtype=np.str_)


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
