"""What a recipe lets ingestion repair in an input's rows, and what is noted of each row."""

import json
from typing import Any, Literal, get_args

from siftline.contracts.config import Config
from siftline.pipelines.ingestion.values import BadRecordError, is_nan, kind_of

# What a row may lose and still be used; counted by source, and told wherever its rows are counted.
SKIPPED = {
    "id": "ids that are no text or number",
    "null_response": "responses without a text, beside others",
    "missing_marker": "texts such as 'nan', 'None' or 'null' that stand for no text",
    "unanswered": "last turns of a tree that nobody answers",
    "deleted": "turns of a tree that are marked as deleted",
}


class Repair(Config):
    """What to do with rows that would be in quarantine; nothing by default.

    Attributes:
        leading_assistant: `drop` the assistant's turns before the first user's.
        trailing_user: `drop` the user's turns after the last of the assistant.
        same_role: `merge` turns of the user, or of the assistant, that follow one another.
        scalars: Take a number or a boolean for its `text`, where a text is expected.
    """

    leading_assistant: Literal["drop"] | None = None
    trailing_user: Literal["drop"] | None = None
    same_role: Literal["merge"] | None = None
    scalars: Literal["text"] | None = None

    @property
    def mends_order(self) -> bool:
        """Whether turns may be dropped or merged."""
        return bool(self.leading_assistant or self.trailing_user or self.same_role)


def remedy(field: str) -> str:
    """Return how a reason for quarantine names the repair that would mend the row."""
    (way,) = get_args(get_args(Repair.model_fields[field].annotation)[0])
    return f"`repair: {{{field}: {way}}}`"


def remedies(detail: str) -> list[str]:
    """Return the fields of :class:`Repair` that a reason for quarantine names."""
    return [field for field in Repair.model_fields if remedy(field) in detail]


class Notes:
    """What may be repaired of an input's rows, and what was done to the one at hand.

    Attributes:
        repair: What may be.
        mends_order: The order of turns is among it.
        repaired: Fields of it that were made use of.
        skipped: What the row has lost: keys of :data:`SKIPPED`.
        rest: The columns of the row that no example holds but in its metadata.
        has_prompt: The row has a prompt that a passage can stand behind, and no list of turns.
        has_passage: There is one behind it.
    """

    def __init__(self, repair: Repair) -> None:
        self.repair, self.mends_order = repair, repair.mends_order
        self.repaired: set[str] = set()
        self.skipped: list[str] = []
        self.rest: dict[str, Any] = {}
        self.has_prompt = self.has_passage = False

    def clear(self) -> None:
        """Begin with another row."""
        self.has_prompt = self.has_passage = False
        if self.repaired or self.skipped:
            self.repaired, self.skipped = set(), []

    def taken(self) -> list[str]:
        """Return what was noted of a row, as it is counted."""
        if not self.repaired and not self.skipped:
            return []
        return [
            *(f"repaired {each}" for each in sorted(self.repaired)),
            *(f"skipped {each}" for each in self.skipped),
        ]

    def text_of(self, value: Any, name: str) -> str:
        """Return a value that must be a text.

        Args:
            value: What is there.
            name: What it is called, for messages.

        Raises:
            BadRecordError: `missing_field` or `wrong_type`.
        """
        if isinstance(value, str):
            return value
        if value is None or is_nan(value):
            raise BadRecordError("missing_field", f"no '{name}'")
        if isinstance(value, bytes):
            raise BadRecordError("invalid_utf8", f"'{name}' holds bytes that are not UTF-8")
        if not isinstance(value, bool | int | float):
            raise BadRecordError("wrong_type", f"'{name}' is {kind_of(value)}, expected a text")
        if self.repair.scalars is None:
            raise BadRecordError(
                "wrong_type",
                f"'{name}' is {kind_of(value)}, expected a text; {remedy('scalars')} would take it "
                "for one",
            )
        self.repaired.add("scalars")
        return json.dumps(value)
