"""The language of a row: of what is asked, of what is answered, and whether the two are one."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.tables import table_of
from siftline.scorers.turn_languages import TurnLanguages

LANGUAGES = pa.schema(
    [
        ("content_hash", pa.string()),
        ("language", pa.string()),  # of the row; null where nobody is certain
        ("prompt", pa.string()),  # of the user's last turn that has one
        ("prompt_certainty", pa.float64()),
        ("response", pa.string()),  # of the last turn; null where nobody is certain
        ("response_certainty", pa.float64()),  # of the likeliest; null where there are no words
        ("words", pa.bool_()),  # user or assistant says something that is in a language
        ("mismatch", pa.bool_()),  # the response is in another one than the prompt; null: unknown
        ("turns_differ", pa.bool_()),  # so are any two turns
    ]
)

_Turn = Mapping[str, Any]  # as :data:`siftline.scorers.turn_languages.TURN`


class Languages(Scorer):
    """The language of each row.

    Score columns of the table `language`: those of :data:`LANGUAGES`. The language of a row is its
    response's. Where that has no words, as code or a number has none, it is that of the prompt.

    Attributes:
        turns: What the turns are taken for.
        min_certainty: A turn of less certainty has no language.
    """

    table: ClassVar[str] = "language"
    revision: ClassVar[int] = 1

    turns: TurnLanguages = TurnLanguages()
    min_certainty: float = Field(default=0.6, ge=0, le=1)

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The languages of the turns."""
        return (self.turns,)

    @property
    def built_on(self) -> Mapping[str, str]:
        """What the languages of the turns are built on."""
        return self.turns.built_on

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Tell the language of each row from those of its turns."""
        keys = rows["content_hash"].to_pylist()
        lengths = [len(turns) for turns in rows["messages"].to_pylist()]
        found = [each["turns"] for each in rows[TurnLanguages.table].to_pylist()]
        records = [
            (key, *self._row(turns, length - 1))
            for key, turns, length in zip(keys, found, lengths, strict=True)
        ]
        progress.advance(len(rows))
        return Scored(table_of(records, LANGUAGES))

    def _row(self, turns: Sequence[_Turn], last: int) -> tuple[Any, ...]:
        """Return the columns of one row after the key.

        Args:
            turns: Of user and assistant.
            last: Number of the turn that is the response.
        """
        certain = [turn for turn in turns if (turn["certainty"] or 0) >= self.min_certainty]
        known = {turn["turn"]: turn["language"] for turn in certain if turn["language"]}
        asked = [turn for turn in turns if turn["user"] and turn["turn"] in known]
        prompt = asked[-1] if asked else {"language": None, "certainty": None}
        response = known.get(last)
        certainty = next((turn["certainty"] for turn in turns if turn["turn"] == last), None)
        both = response is not None and prompt["language"] is not None
        return (
            response if certainty is not None else prompt["language"],
            prompt["language"],
            prompt["certainty"],
            response,
            certainty,
            any(turn["certainty"] is not None for turn in turns),
            response != prompt["language"] if both else None,
            len(set(known.values())) > 1 if known else None,
        )
