"""Consistency: how far sampled answers agree with each response.

BSDetector (Chen and Mueller, ACL 2024, arXiv 2308.16175). What is stored is the comparer's
agreement and the share of exact matches; their weights are the method's.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa
from pydantic import Field

from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import OK
from siftline.models.thoughts import after_thought
from siftline.scorers.judges.answers import EDGES, final_answer
from siftline.scorers.judges.comparers import Comparer, Comparison, Embedding, agreement
from siftline.scorers.judges.exact_numbers import same_answer
from siftline.scorers.judges.judging import question_of
from siftline.scorers.responses import answer_of, answerable
from siftline.scorers.samples import Samples
from siftline.scorers.tables import table_of

TOO_FEW_SAMPLES = "too_few_samples"  # fewer than two samples could be compared
# One sample may agree by chance (BSDetector averages over the valid ones).
FEWEST_SAMPLES = 2

CONSISTENCY = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is none
        ("agreement", pa.float64()),  # mean over the valid samples, by the comparer
        ("match", pa.float64()),  # share of them whose final answer is the same
        ("valid", pa.int32()),  # samples that could be compared
        ("agreements", pa.list_(pa.float64())),  # by sample; null where not valid
        ("matches", pa.list_(pa.bool_())),
    ]
)


class Consistency(Scorer):
    """How far samples agree with each response, in the table `consistency`: :data:`CONSISTENCY`.

    A response that is short, or marks its final answer, is compared with the samples' final
    answers, any other as a whole with whole samples, cut ones among them. A sample is valid when it
    has an answer that the comparer can judge; where final answers are compared, one that was cut
    before it came to its own has none.

    Attributes:
        samples: Which samples.
        comparer: What measures agreement.
        short_words: Most words of a short response.
    """

    table: ClassVar[str] = "consistency"
    revision: ClassVar[int] = 5  # 5: numbers of Indian form have a longest one

    samples: Samples
    comparer: Comparer = Embedding()
    short_words: int = Field(default=30, ge=1)

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The samples."""
        return (self.samples,)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare the samples of each row's prompt with its response.

        Raises:
            ModelError: The comparer's model cannot be loaded or run.
        """
        statuses: list[str] = []
        comparisons: list[list[Comparison | None]] = []  # [rows][samples], None for no answer
        for row in rows.select(["messages", "tools", "media", "samples"]).to_pylist():
            status = answerable(row)
            status = row["samples"]["status"] if status == OK else status
            statuses.append(status)
            comparisons.append(self._comparisons(row) if status == OK else [])
        asked = [each for of_row in comparisons for each in of_row if each is not None]
        values, usage = agreement(self.comparer, asked, runtime, len(rows))
        remaining = iter(values)
        records: list[tuple[Any, ...]] = []
        keys = rows["content_hash"].to_pylist()
        for key, status, of_row in zip(keys, statuses, comparisons, strict=True):
            compared = [_Compared(c, None if c is None else next(remaining)) for c in of_row]
            records.append((key, *_record(status, compared)))
        return Scored(table_of(records, CONSISTENCY), usage)

    def _comparisons(self, row: dict[str, Any]) -> list[Comparison | None]:
        """Return one comparison for each sample; None where the sample has no answer."""
        response = answer_of(row["messages"])
        marked = final_answer(response)
        short = marked is not None or len(response.split()) <= self.short_words
        # Numbers are those of final answers, which a text that was cut may lack.
        short |= self.comparer.kind == "numeric"
        question = question_of(row["messages"][:-1], row["tools"])
        comparisons: list[Comparison | None] = []
        for text, finished in zip(row["samples"]["texts"], row["samples"]["finished"], strict=True):
            said = after_thought(text) or ""
            answer = _answer(said, finished) if short else said.strip()
            comparisons.append(Comparison(question, marked or response, answer) if answer else None)
        return comparisons


class _Compared(NamedTuple):
    """A sample beside the response.

    Attributes:
        comparison: None where the sample has no answer.
        agreement: None where there is no comparison, or the comparer cannot judge it; a status
            where it was asked and gave no reply.
    """

    comparison: Comparison | None
    agreement: float | str | None


def _answer(text: str, finished: bool) -> str | None:
    """Return the final answer of a sample; None where it was cut before the end of it."""
    marked = final_answer(text)
    if finished:
        return marked or text.strip()
    cut = marked is None or text.strip(EDGES).endswith(marked.strip(EDGES))
    return None if cut else marked


def _record(status: str, samples: Sequence[_Compared]) -> tuple[Any, ...]:
    """Return the columns of one row after the key."""
    if status != OK:
        return status, None, None, 0, None, None
    agreements = [None if isinstance(value, str) else value for _, value in samples]
    matches = [
        None if pair is None or value is None else same_answer(pair.reference, pair.sample)
        for (pair, _), value in zip(samples, agreements, strict=True)
    ]
    valid = [value for value in agreements if value is not None]
    if len(valid) < FEWEST_SAMPLES:
        failed = [value for _, value in samples if isinstance(value, str)]
        status = failed[0] if failed else TOO_FEW_SAMPLES
        return status, None, None, len(valid), agreements, matches
    same = sum(match for match in matches if match) / len(valid)
    return OK, sum(valid) / len(valid), same, len(valid), agreements, matches
