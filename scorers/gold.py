"""Gold answers: can other answers be held against the one that the dataset gives?

S3FT asks this before it asks a model anything (:mod:`siftline.filters.s3ft`).
"""

from typing import Annotated, Any, ClassVar, TypeAlias

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.patterns import linear_pattern
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import OK
from siftline.scorers.judges.comparers import Judge, Numeric
from siftline.scorers.judges.exact_numbers import exact_number
from siftline.scorers.judges.execution import Execution, Program, code_of, passing, stated_tests
from siftline.scorers.responses import answer_of, answerable, response_of
from siftline.scorers.statuses import EMPTY_TESTS, GOLD_FAILS, NO_ANSWER, WRONG_FORMAT
from siftline.scorers.tables import table_of

GOLD = pa.schema([("content_hash", pa.string()), ("status", pa.string())])  # ok, or why not

EquivalenceJudge: TypeAlias = Annotated[Numeric | Judge | Execution, Field(discriminator="kind")]
"""What judges whether an answer is equivalent to the gold one."""


class Gold(Scorer):
    """Whether the gold answer is one that answers can be held against: table `gold`.

    Attributes:
        judge: What answers are judged by.
        pattern: Regular expression of RE2 that the text must contain.
        tests: Digest of the rows' tests, which the rows' hashes do not cover; None without tests.
    """

    table: ClassVar[str] = "gold"
    revision: ClassVar[int] = 4  # 4: the pattern is RE2's

    judge: EquivalenceJudge
    pattern: str | None = None
    tests: str | None = None

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hold each gold answer to what the judge needs; code must pass its own tests.

        Raises:
            ModelError: There is no sandbox to run code in.
        """
        records = rows.select(["messages", "media", "metadata"]).to_pylist()
        statuses = [self._status(row) for row in records]
        if isinstance(self.judge, Execution):
            with_tests = [place for place, status in enumerate(statuses) if status == OK]
            outcomes = _run(self.judge, [records[place] for place in with_tests])
            for place, outcome in zip(with_tests, outcomes, strict=True):
                statuses[place] = outcome
        progress.advance(len(rows))
        keys = rows["content_hash"].to_pylist()
        return Scored(table_of(list(zip(keys, statuses, strict=True)), GOLD))

    def _status(self, row: dict[str, Any]) -> str:
        """Return the status of one gold answer, before any code is run."""
        status = answerable(row)
        if status != OK:
            return status
        gold = response_of(row["messages"])
        if not well_formed(gold, self.pattern):
            return WRONG_FORMAT
        if isinstance(self.judge, Numeric) and exact_number(answer_of(row["messages"])) is None:
            return NO_ANSWER
        if isinstance(self.judge, Execution) and not stated_tests(
            row["metadata"], self.judge.tests
        ):
            return NO_ANSWER
        return OK


def well_formed(text: str, pattern: str | None) -> bool:
    """Return whether a text contains a pattern; without one every text is well formed."""
    return pattern is None or linear_pattern(pattern).search(text) is not None


def _run(judge: Execution, rows: list[dict[str, Any]]) -> list[str]:
    """Return the status of gold answers that have tests."""
    tests = [stated_tests(row["metadata"], judge.tests) for row in rows]
    codes = [code_of(answer_of(row["messages"])) for row in rows]
    golds = [Program(code, each) for code, each in zip(codes, tests, strict=True)]
    passed = passing(judge, [*golds, *[Program("", each) for each in tests]])
    statuses = []
    for gold, without_code in zip(passed[: len(rows)], passed[len(rows) :], strict=True):
        statuses.append(EMPTY_TESTS if without_code else OK if gold else GOLD_FAILS)
    return statuses
