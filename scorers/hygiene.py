"""The surface faults of what assistants say: whose name they give, what templates have left, ends.

Each fault is looked for in a column of all turns at once, with a pattern of RE2 that every text
with the fault contains; the few turns that it finds are read one by one, by the modules of
`siftline.scorers.surface`.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.thoughts import after_thought
from siftline.scorers.fault_places import place_in_turn
from siftline.scorers.flat_turns import flat_turns
from siftline.scorers.surface.asked_json import JSON_INVALID
from siftline.scorers.surface.check import Check, Turn
from siftline.scorers.surface.claims import (
    IDENTITIES,
    KNOWLEDGE_CUTOFF,
    REFUSING,
    foreign_identity,
    refusal,
)
from siftline.scorers.surface.links import LINK_ONLY
from siftline.scorers.surface.mojibake import MOJIBAKE
from siftline.scorers.surface.templates import TEMPLATE_MARKS, template_leftover
from siftline.scorers.surface.truncation import TRUNCATED_ENDING

FAULTS = (
    "foreign_identity",
    "knowledge_cutoff",
    "refusal",
    "template_leftover",
    "json_invalid",
    "truncated_ending",
    "mojibake",
    "link_only",
)


class HygieneFaults(Scorer):
    """The surface faults of each conversation, in the table `hygiene`.

    It has one text column for each of :data:`FAULTS`: the first place of it, such as `turn 2: "I
    am ChatGPT."`, or null. Turns of the assistant that are trained on count, those of weight 0 do
    not. What follows a thought is read; what templates leave and damaged characters are looked for
    in thoughts too.

    Attributes:
        identities: Names of assistants and makers.
        refusals: Phrases that begin a sentence which refuses.
        template_marks: What templates write around turns.
    """

    table: ClassVar[str] = "hygiene"
    revision: ClassVar[int] = 2

    identities: tuple[str, ...] = IDENTITIES
    refusals: tuple[str, ...] = REFUSING
    template_marks: tuple[str, ...] = TEMPLATE_MARKS

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Look at each conversation."""
        turns = flat_turns(rows)
        weights = pc.fill_null(turns["weight"], 1.0)
        trained = pc.and_(pc.equal(turns["role"], "assistant"), pc.not_equal(weights, 0.0))
        turns = turns.filter(trained)
        messages = _Conversations(rows)
        columns: dict[str, pa.Array] = {}
        for slug, check in self._checks().items():
            places: list[str | None] = [None] * len(rows)
            for row, turn, detail in _found(check, turns, messages):
                places[row] = places[row] or place_in_turn(turn, detail)
            columns[slug] = pa.array(places, pa.string())
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], **columns}))

    def _checks(self) -> dict[str, Check]:
        return {
            "foreign_identity": foreign_identity(self.identities),
            "knowledge_cutoff": KNOWLEDGE_CUTOFF,
            "refusal": refusal(self.refusals),
            "template_leftover": template_leftover(self.template_marks),
            "json_invalid": JSON_INVALID,
            "truncated_ending": TRUNCATED_ENDING,
            "mojibake": MOJIBAKE,
            "link_only": LINK_ONLY,
        }


class _Conversations:
    """The turns of single rows, made when they are asked for."""

    def __init__(self, rows: pa.Table) -> None:
        self._messages = rows["messages"]
        self._made: dict[int, Any] = {}

    def __getitem__(self, row: int) -> Any:
        if row not in self._made:
            self._made[row] = self._messages[row].as_py()
        return self._made[row]


def _found(
    check: Check, turns: pa.Table, conversations: _Conversations
) -> Iterator[tuple[int, int, str]]:
    """Yield row, number of the turn, and where it has a fault, in their order."""
    may = pc.match_substring_regex(turns["content"], check.may_have)
    if check.thoughts:
        thought = pc.match_substring_regex(turns["reasoning"], check.may_have)
        may = pc.or_(may, pc.fill_null(thought, False))
    hits = turns.filter(may)
    for row, turn in zip(hits["row"].to_pylist(), hits["turn"].to_pylist(), strict=True):
        messages = conversations[row]
        for text in _texts(messages[turn], check.thoughts):
            detail = check.find(Turn(text, messages[:turn]))
            if detail is not None:
                yield row, turn, detail
                break


def _texts(message: Any, thoughts: bool) -> list[str]:
    """Return what is looked at in a turn: its thought apart from it, and what it says."""
    content = message["content"]
    if thoughts:
        return [text for text in (message["reasoning"], content) if text]
    said = after_thought(content)
    return [content if said is None else said]
