"""Self-reflection: a language model is asked twice whether each response is correct.

BSDetector (Chen and Mueller, ACL 2024, arXiv 2308.16175). The second question asks for a strict
look; both are asked separately, so that the second reply cannot lean on the first letter.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.generation import Sampling
from siftline.models.likelihood import OK
from siftline.models.loading import load_language_model
from siftline.models.rendering import Template
from siftline.scorers.judges.judging import (
    REPLY_TOKENS,
    YES_NO_UNSURE,
    Reading,
    ask,
    is_correct,
    question_of,
    weigh,
    yes_value,
)
from siftline.scorers.responses import judgeable, response_of
from siftline.scorers.tables import table_of

REFLECTION = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is none
        ("first", pa.float64()),  # in [0, 1]: A counts 1, B 0, C 0.5
        ("second", pa.float64()),  # the same at the second look
        ("first_letter", pa.string()),  # the weightiest; null where the reply had none
        ("second_letter", pa.string()),
        ("unparsable", pa.int32()),  # replies without a letter, each counted 0.5
        ("letter_mass", pa.float64()),  # mean probability of a letter as the next token, if read
    ]
)


class Reflection(RunsModel, Scorer):
    """A model's own judgement of each response, twice, in the table `reflection`.

    Score columns: those of :data:`REFLECTION`.

    Attributes:
        model: Role of a language model.
        reading: Off the next token's `probabilities`, or off a generated `letter`.
        template: How questions are rendered.
        reply_tokens: Of a reply from which a letter is read; a model that thinks needs more.
    """

    table: ClassVar[str] = "reflection"
    revision: ClassVar[int] = 4  # 4: a thought is one whoever opens it, and whatever marks it

    reading: Reading = "probabilities"
    template: Template = "chat"
    reply_tokens: int = Field(default=REPLY_TOKENS, ge=1)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Ask twice about each response that is there.

        Raises:
            ModelError: The model cannot be loaded or run.
        """
        model = load_language_model(runtime.spec(self.model), runtime.device)
        records = rows.select(["messages", "tools", "media"]).to_pylist()
        statuses = [judgeable(row) for row in records]
        asked = [row for row, status in enumerate(statuses) if status == OK]
        questions = [
            ask(_question(records[row], self.reading, again))
            for again in (False, True)
            for row in asked
        ]
        sampling = Sampling(temperature=0, max_tokens=self.reply_tokens)
        progress.advance(len(rows) - len(asked))
        judged = weigh(
            model, questions, YES_NO_UNSURE, self.reading, self.template, sampling, len(asked)
        )
        looks = dict(zip(asked, zip(*_halves(judged.rows), strict=True), strict=True))
        pairs = zip(*_halves(judged.masses), strict=True)
        masses = {row: _mean(pair) for row, pair in zip(asked, pairs, strict=True)}
        keys = rows["content_hash"].to_pylist()
        results = [
            (key, *_record(*looks[row], masses[row]))
            if row in looks
            else (key, status, *[None] * 6)
            for row, (key, status) in enumerate(zip(keys, statuses, strict=True))
        ]
        return Scored(table_of(results, REFLECTION), judged.usage)


def _question(row: dict[str, Any], reading: Reading, again: bool) -> str:
    turns = row["messages"]
    question = question_of(turns[:-1], row["tools"])
    return is_correct(question, response_of(turns), reading, again)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _halves(rows: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the first and the second looks, which were asked one after the other."""
    middle = len(rows) // 2
    return rows[:middle], rows[middle:]


def _record(
    first: list[float] | str | None, second: list[float] | str | None, mass: float | None
) -> tuple[Any, ...]:
    """Return the columns of one row after the key.

    Args:
        first: The letters' weights at the first look, or as :func:`weigh` returns them.
        second: Those at the second.
        mass: Mean probability of a letter over both.
    """
    for look in (first, second):
        if isinstance(look, str):
            return look, None, None, None, None, None, None
    looks = [look for look in (first, second) if not isinstance(look, str)]
    values = [yes_value(look) for look in looks]
    letters = [None if look is None else YES_NO_UNSURE[look.index(max(look))] for look in looks]
    return OK, *values, *letters, sum(look is None for look in looks), mass
