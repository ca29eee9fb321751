"""Equivalence: does an answer of the model say what the gold answer says?

S3FT (arXiv 2502.08130) asks this of the model's own answer and of its paraphrase of the gold one.
Judging is apart from answering: another judge pays for no new answers.
"""

from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import OK
from siftline.models.thoughts import after_thought
from siftline.scorers.candidate import Candidate
from siftline.scorers.gold import Gold, well_formed
from siftline.scorers.judges.comparers import Agreement, Comparison, Judge, Numeric, agreement
from siftline.scorers.judges.execution import Execution, Program, code_of, passing, stated_tests
from siftline.scorers.judges.judging import question_of
from siftline.scorers.paraphrase import Paraphrase
from siftline.scorers.responses import answer_of, response_of
from siftline.scorers.statuses import NO_ANSWER, WRONG_FORMAT
from siftline.scorers.tables import table_of

EQUIVALENCE = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is no verdict
        ("agreement", pa.float64()),  # with the gold answer, in [0, 1]
    ]
)


class OwnEquivalence(Scorer):
    """Whether the own answer says what the gold one does, in the table `own_equivalence`.

    Score columns: those of :data:`EQUIVALENCE`.

    Attributes:
        answer: The own answer.
        gold: What it is held against, and the judge.
    """

    table: ClassVar[str] = "own_equivalence"
    revision: ClassVar[int] = 5  # 5: numbers of Indian form have a longest one

    answer: Candidate
    gold: Gold

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The gold answer's status, and the own answer."""
        return (self.gold, self.answer)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare each own answer with the gold one.

        Raises:
            ModelError: The judge's model cannot be loaded or run, or there is no sandbox.
        """
        return _equivalence(rows, self.answer.table, self.gold, runtime)


class ParaphraseEquivalence(Scorer):
    """Whether the paraphrase says what the gold answer does: table `paraphrase_equivalence`.

    Score columns: those of :data:`EQUIVALENCE`.

    Attributes:
        answer: The paraphrase.
        gold: What it is held against, and the judge.
    """

    table: ClassVar[str] = "paraphrase_equivalence"
    revision: ClassVar[int] = 5  # 5: numbers of Indian form have a longest one

    answer: Paraphrase
    gold: Gold

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The gold answer's status, and the paraphrase."""
        return (self.gold, self.answer)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare each paraphrase with the gold answer.

        Raises:
            ModelError: The judge's model cannot be loaded or run, or there is no sandbox.
        """
        return _equivalence(rows, self.answer.table, self.gold, runtime)


def _equivalence(rows: pa.Table, answers: str, gold: Gold, runtime: Runtime) -> Scored:
    """Compare the answers of one table with the gold ones."""
    records = rows.select(["messages", "tools", "metadata", gold.table, answers]).to_pylist()
    statuses = [_comparable(row, answers, gold) for row in records]
    asked = [
        row
        for row, status in zip(records, statuses, strict=True)
        if status == OK and row[answers]["text"] != response_of(row["messages"])
    ]
    progress.advance(len(rows) - len(asked))
    values, usage = _judged(gold.judge, asked, answers, runtime)
    remaining = iter(values)
    results: list[tuple[Any, ...]] = []
    for key, row, status in zip(rows["content_hash"].to_pylist(), records, statuses, strict=True):
        if status != OK:
            results.append((key, status, None))
            continue
        # What is the gold answer to the letter needs no judge.
        same = row[answers]["text"] == response_of(row["messages"])
        value = 1.0 if same else next(remaining)
        if isinstance(value, float):
            results.append((key, OK, value))
        else:
            results.append((key, value or NO_ANSWER, None))
    return Scored(table_of(results, EQUIVALENCE), usage)


def _comparable(row: dict[str, Any], answers: str, gold: Gold) -> str:
    """Return `ok`, or why an answer is not judged."""
    for name in (gold.table, answers):
        if row[name]["status"] != OK:
            return str(row[name]["status"])
    return OK if well_formed(row[answers]["text"], gold.pattern) else WRONG_FORMAT


def _judged(
    judge: Numeric | Judge | Execution, rows: list[dict[str, Any]], answers: str, runtime: Runtime
) -> Agreement:
    """Return the judge's agreement with each row's answer."""
    if isinstance(judge, Execution):
        programs = [
            Program(
                code_of(_said(row[answers]["text"])), stated_tests(row["metadata"], judge.tests)
            )
            for row in rows
        ]
        progress.advance(len(rows))
        return Agreement([float(passed) for passed in passing(judge, programs)], Usage())
    pairs = [
        Comparison(
            question_of(row["messages"][:-1], row["tools"]),
            answer_of(row["messages"]),
            _said(row[answers]["text"]),
        )
        for row in rows
    ]
    return agreement(judge, pairs, runtime, len(rows))


def _said(text: str) -> str:
    """Return what an answer of a model says after its thought, which has come to an end."""
    return (after_thought(text) or "").strip()
