"""S3FT: train on the model's own words where they are right, on the gold answer where they are not.

Gupta et al., Findings of NAACL 2025 (arXiv 2502.08130): where a judge finds the model's own answer
equivalent to the gold one, it becomes the target; else a paraphrase of the gold answer by the
model, if the judge accepts it; else the gold answer. A model trained so forgets less.

Ours differs. Judges are the final number or the model itself; rows without one are left alone. A
paraphrase that speaks of the reference it was given is refused. An answer that was cut is refused.
The share of own answers can be capped, since training on one's own answers alone harms (GRAPE's
tables 4 and 5). A judge that fails is no verdict: the gold answer stays.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from siftline.filters.comparers import Comparison, Judge, Numeric, agreement
from siftline.filters.confidence import judgeable, table_of
from siftline.filters.correction import CANDIDATE, CUT, EMPTY, Candidate
from siftline.filters.judging import question_of
from siftline.models.generation import STOP, Sampling
from siftline.models.likelihood import OK
from siftline.models.loading import load_language_model
from siftline.models.rendering import Message, Template
from siftline.models.scorers import model_of
from siftline.pipelines import progress
from siftline.pipelines.config import Config
from siftline.pipelines.corpus import Corpus
from siftline.pipelines.method import (
    REVISED,
    Request,
    Runtime,
    Scored,
    Scorer,
    Usage,
    verdicts,
)

META_TEXT = "meta_text"  # the paraphrase speaks of the reference
NO_ANSWER = "no_answer"  # the judge finds nothing to compare, as a text without a number

_META = re.compile(
    r"\b(?:reference|given|provided|original|above)\s+(?:answer|solution|response|text)\b",
    re.IGNORECASE,
)
_PARAPHRASE = (
    "Answer the task in your own words. This answer is correct, and yours must say the same; do "
    "not mention it:\n"
)

PARAPHRASE = pa.schema([pa.field("content_hash", pa.string()), *list(CANDIDATE)[1:]])
EQUIVALENCE = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is no verdict
        ("agreement", pa.float64()),  # with the gold answer, in [0, 1]
    ]
)


class Paraphrase(Config):
    """The gold answer in the model's words, in the table `paraphrase`: :data:`PARAPHRASE`.

    Attributes:
        model: Role of the language model.
        max_tokens: Of a paraphrase.
        template: How prompts are rendered.
    """

    table: ClassVar[str] = "paraphrase"
    revision: ClassVar[int] = 1
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "content_hash"

    model: str
    max_tokens: int = 512
    template: Template = "chat"

    @property
    def role(self) -> str | None:
        """The role of the model."""
        return self.model

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Paraphrase each response, greedily.

        Raises:
            ModelError: The model cannot be loaded or run.
        """
        spec = model_of(self.model, runtime)
        prompts = [_with_reference(turns) for turns in rows["messages"].to_pylist()]
        found = load_language_model(spec, runtime.device).generate(
            prompts,
            Sampling(temperature=0, max_tokens=self.max_tokens),
            template=self.template,
            on_batch=progress.advance,
        )
        records: list[tuple[Any, ...]] = []
        for key, row in zip(rows["content_hash"].to_pylist(), found.rows, strict=True):
            if isinstance(row, str):
                records.append((key, row, None, None))
                continue
            text = row[0].text.strip()
            status = OK if row[0].finish == STOP else CUT
            status = META_TEXT if _META.search(text) else status
            records.append((key, status if text else EMPTY, text or None, spec.name))
        return Scored(table_of(records, PARAPHRASE), found.usage)


class OwnEquivalence(Config):
    """Whether the own answer says what the gold one does, in the table `own_equivalence`.

    Attributes:
        answer: Whose.
        judge: What tells.
    """

    table: ClassVar[str] = "own_equivalence"
    revision: ClassVar[int] = 1
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "content_hash"

    answer: Candidate
    judge: Numeric | Judge = Field(discriminator="kind")

    @property
    def role(self) -> str | None:
        """The judge has a role; this has none of its own."""
        return None

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The own answer."""
        return (self.answer,)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare each own answer with the gold one."""
        return _equivalence(rows, self.answer.table, self.judge, runtime)


class ParaphraseEquivalence(Config):
    """Whether the paraphrase says what the gold answer does: `paraphrase_equivalence`.

    Attributes:
        answer: Whose.
        judge: What tells.
    """

    table: ClassVar[str] = "paraphrase_equivalence"
    revision: ClassVar[int] = 1
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "content_hash"

    answer: Paraphrase
    judge: Numeric | Judge = Field(discriminator="kind")

    @property
    def role(self) -> str | None:
        """The judge has a role; this has none of its own."""
        return None

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The paraphrase."""
        return (self.answer,)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare each paraphrase with the gold answer."""
        return _equivalence(rows, self.answer.table, self.judge, runtime)


class S3ft(Config):
    """Gives each row the model's own answer, a paraphrase, or leaves it the gold answer.

    Drops nothing. Reasons: `own_answer`, `paraphrase`, `gold` (neither was equivalent),
    `gold_over_cap`, `no_judge` (the row's source or task has none), `unjudged_<status>`.

    Attributes:
        model: Role of the model that is going to be tuned.
        judge: `{kind: numeric}` compares the last numbers, `{kind: judge, model: ...}` asks a
            language model.
        sources: Those that the judge can judge; None for all.
        tasks: Likewise.
        least_agreement: What the judge must say at least, from 0 to 1.
        max_tokens: Of an answer.
        max_own_share: Largest share of own answers among the rows of a source.
        template: How prompts are rendered.
    """

    revision: ClassVar[int] = 1

    kind: Literal["s3ft"] = "s3ft"
    model: str
    judge: Numeric | Judge = Field(discriminator="kind")
    sources: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    least_agreement: float = Field(default=0.5, ge=0, le=1)
    max_tokens: int = Field(default=512, ge=1)
    max_own_share: float = Field(default=1.0, ge=0, le=1)
    template: Template = "chat"

    def scorers(self) -> tuple[Scorer, ...]:
        """Return nothing: which rows have a judge depends on the corpus."""
        return ()

    def roles(self) -> tuple[str, ...]:
        """Return the roles of all models that it may run."""
        return (self.model, *([self.judge.role] if self.judge.role else []))

    def follow(self, corpus: Corpus) -> Sequence[Request]:
        """Return own answers of the rows that have a judge, then paraphrases where they fail."""
        if not len(corpus) or "paraphrase_equivalence" in corpus.tables:
            return ()
        if "own_equivalence" not in corpus.tables:
            rows = self._judged(corpus)
            own = Candidate(model=self.model, max_tokens=self.max_tokens, template=self.template)
            verdict: Scorer = OwnEquivalence(answer=own, judge=self.judge)
            asked = [Request(own, rows), Request(verdict, rows)]
        else:
            failed = ~self._equivalent(corpus, "own_equivalence")
            rows = failed & np.isin(_status(corpus, "own_equivalence"), (OK, CUT, EMPTY, NO_ANSWER))
            words = Paraphrase(model=self.model, max_tokens=self.max_tokens, template=self.template)
            verdict = ParaphraseEquivalence(answer=words, judge=self.judge)
            asked = [Request(words, rows), Request(verdict, rows)]
        return asked if rows.any() else ()

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep all rows, each with the reason for its response."""
        own = self._equivalent(corpus, "own_equivalence")
        words = self._equivalent(corpus, "paraphrase_equivalence")
        status = _status(corpus, "own_equivalence")
        reasons = np.full(len(corpus), "gold", dtype=object)
        failed = ~np.isin(status, (OK, CUT, EMPTY, NO_ANSWER, ""))
        reasons[failed] = [f"unjudged_{each}" for each in status[failed]]
        reasons[~self._judged(corpus)] = "no_judge"
        reasons[words] = "paraphrase"
        reasons[own] = "own_answer"
        reasons[own & ~self._within_cap(corpus, own)] = "gold_over_cap"
        return verdicts(corpus, np.ones(len(corpus), dtype=bool), reasons)

    def revise(self, corpus: Corpus, decided: pa.Table) -> pa.Table:
        """Return the own answers and the paraphrases that take the gold answer's place."""
        reasons = decided["reason"].to_pylist()
        ids = corpus.rows["id"].to_pylist()
        records = []
        for reason, table in (("own_answer", "candidate"), ("paraphrase", "paraphrase")):
            if reason not in reasons:
                continue
            found = corpus.scores(table).select(["text", "origin"]).to_pylist()
            records += [
                {"id": ids[row], "response": each["text"], "origin": each["origin"]}
                for row, each in enumerate(found)
                if reasons[row] == reason
            ]
        return pa.Table.from_pylist(records, schema=REVISED)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Tell the shares of own answers, paraphrases and gold ones."""
        counts = Counter(decided["reason"].to_pylist())
        shares = {name: round(count / len(corpus), 4) for name, count in counts.most_common()}
        refused = Counter(_status(corpus, "paraphrase_equivalence"))
        refused.pop("", None)
        return {"shares": shares, "paraphrases_by_status": dict(refused)}

    def _judged(self, corpus: Corpus) -> npt.NDArray[np.bool_]:
        sources, tasks = corpus.rows["source"].to_pylist(), corpus.rows["task"].to_pylist()
        return np.array(
            [
                (self.sources is None or source in self.sources)
                and (self.tasks is None or task in self.tasks)
                for source, task in zip(sources, tasks, strict=True)
            ],
            dtype=bool,
        )

    def _equivalent(self, corpus: Corpus, table: str) -> npt.NDArray[np.bool_]:
        if table not in corpus.tables:
            return np.zeros(len(corpus), dtype=bool)
        value = corpus.column(f"{table}.agreement").to_numpy(zero_copy_only=False)
        found: npt.NDArray[np.bool_] = value.astype(float) >= self.least_agreement
        return found

    def _within_cap(self, corpus: Corpus, own: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return [rows] true for the own answers that a source has room for, by content hash."""
        sources = np.array(corpus.rows["source"].to_pylist(), dtype=object)
        hashes = np.array(corpus.rows["content_hash"].to_pylist(), dtype=object)
        within = np.zeros(len(corpus), dtype=bool)
        for name in set(sources):
            room = int(self.max_own_share * (sources == name).sum() + 1e-9)
            mine = np.flatnonzero(own & (sources == name))
            within[mine[np.argsort(hashes[mine], kind="stable")][:room]] = True
        return within


def _with_reference(turns: Sequence[Message]) -> list[Message]:
    """Return the prompt with the gold answer as a reference."""
    *earlier, last = turns[:-1]
    content = f"{last['content']}\n\n{_PARAPHRASE}{turns[-1]['content'].strip()}"
    return [*earlier, {"role": last["role"], "content": content}]


def _equivalence(rows: pa.Table, table: str, judge: Numeric | Judge, runtime: Runtime) -> Scored:
    """Compare the answers of one table with the gold ones."""
    pairs: list[Comparison] = []
    statuses = []
    for row in rows.select(["messages", "metadata", table]).to_pylist():
        status = judgeable(row)
        status = row[table]["status"] if status == OK else status
        statuses.append(status)
        if status == OK:
            gold = row["messages"][-1]["content"].strip()
            pairs.append(Comparison(question_of(row["messages"][:-1]), gold, row[table]["text"]))
    values, usage = agreement(judge, pairs, runtime) if pairs else ([], Usage())
    told = iter(values)
    records = []
    for key, status in zip(rows["content_hash"].to_pylist(), statuses, strict=True):
        value = next(told) if status == OK else None
        records.append((key, NO_ANSWER if status == OK and value is None else status, value))
    progress.advance(len(rows), usage.tokens)
    return Scored(table_of(records, EQUIVALENCE), usage)


def _status(corpus: Corpus, table: str) -> npt.NDArray[np.object_]:
    """Return [rows] the status in a table, '' where a row is not in it."""
    if table not in corpus.tables:
        return np.full(len(corpus), "", dtype=object)
    found = corpus.column(f"{table}.status").to_pylist()
    return np.array([each or "" for each in found], dtype=object)
