"""What is wrong with the structure of a conversation: its calls, results, turns and marks.

Nothing here is a matter of taste or of a threshold: each fault is a call, a result, a turn or a
mark that does not fit the others. Whether it harms is another question, and the recipe's.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.examples import PARTS, Message, calls_of
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.thoughts import after_thought
from siftline.scorers.fault_places import place_in_turn
from siftline.scorers.marks import broken_thought, open_fence, unopened_thought
from siftline.scorers.schemas import UnusableSchemaError, broken_by
from siftline.scorers.tool_offers import Offers, offers
from siftline.scorers.tool_order import unmatched

FAULTS = (
    "unknown_tool",
    "no_tools_offered",
    "arguments_not_json",
    "arguments_break_schema",
    "schema_invalid",
    "result_without_call",
    "call_without_result",
    "empty_turn",
    "broken_thought",
    "unopened_thought",
    "thought_without_answer",
    "open_code_fence",
)

_Fault = tuple[str, int, str]  # slug, number of the turn from 0, detail


class StructureFaults(Scorer):
    """The faults of each conversation, in the table `structure`.

    It has one text column for each of :data:`FAULTS`: the first place of it, such as `turn 3:
    weather: town: required`, or null. Turns are counted from 1, system turns included.
    """

    table: ClassVar[str] = "structure"
    revision: ClassVar[int] = 2

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Look at each conversation."""
        columns: dict[str, list[str | None]] = {slug: [] for slug in FAULTS}
        for row in rows.select(["messages", "tools", "media"]).to_pylist():
            found = first_faults(row["messages"], row["tools"], row["media"])
            for slug, places in columns.items():
                places.append(found.get(slug))
        progress.advance(len(rows))
        arrays = {slug: pa.array(places, pa.string()) for slug, places in columns.items()}
        return Scored(pa.table({"content_hash": rows["content_hash"], **arrays}))


def first_faults(
    messages: Sequence[Message], tools: str | None = None, media: str | None = None
) -> dict[str, str]:
    """Return the first place of each fault that a conversation has, by its slug.

    Args:
        messages: The conversation.
        tools: JSON of the tools that it offers.
        media: JSON of the images, sounds and files that belong to it.
    """
    found = [
        *_faults_of_calls(messages, tools),
        *unmatched(messages),
        *_faults_of_texts(messages, media),
    ]
    first: dict[str, str] = {}
    for slug, turn, detail in sorted(found, key=lambda fault: fault[1]):
        first.setdefault(slug, place_in_turn(turn, detail))
    return first


def _faults_of_calls(messages: Sequence[Message], tools: str | None) -> Iterator[_Fault]:
    """Yield what is wrong with the calls of each turn."""
    offered = offers(tools)
    for number, message in enumerate(messages):
        for call in calls_of(message):
            for slug, detail in _faults_of_call(call["function"], offered, bool(tools)):
                yield slug, number, detail


def _faults_of_call(
    function: dict[str, Any], offered: Offers, any_offered: bool
) -> Iterator[tuple[str, str]]:
    name, arguments = function.get("name"), function.get("arguments")
    if not any_offered:
        yield "no_tools_offered", str(name)
    elif name not in offered.schemas and offered.complete:
        yield "unknown_tool", str(name)
    if not isinstance(arguments, dict):
        yield "arguments_not_json", str(name)
    elif (schema := offered.schemas.get(str(name))) is not None:
        try:
            broken = broken_by(schema, arguments)
        except UnusableSchemaError as error:
            yield "schema_invalid", f"that of {name} {error}"
        else:
            if broken:
                yield "arguments_break_schema", f"{name}: {broken}"


def _faults_of_texts(messages: Sequence[Message], media: str | None) -> Iterator[_Fault]:
    """Yield turns of nothing, and marks in what the model says that have no other half."""
    for number, message in enumerate(messages):
        if _is_empty(message, number, media):
            yield "empty_turn", number, message["role"]
        if message["role"] == "assistant":
            if _only_thinks(message, number, media) and not _goes_on(messages, number):
                yield "thought_without_answer", number, "nothing is said after the thought"
            for slug, detail in _faults_of_marks(message):
                yield slug, number, detail


def _is_empty(message: Message, number: int, media: str | None) -> bool:
    """Return whether a turn has nothing; a tool may well answer nothing."""
    there = message["content"].strip() or message.get("reasoning") or message.get("tool_calls")
    if there or message["role"] == "tool":
        return False
    held = json.loads(media) if media else {}
    parts = held.pop(PARTS, {})
    # A column of images belongs to some turn of the user, without saying to which.
    return str(number) not in parts and not (held and message["role"] == "user")


def _only_thinks(message: Message, number: int, media: str | None) -> bool:
    """Return whether a turn ends with its thought; one that is not closed is another fault."""
    content = message["content"]
    if message.get("tool_calls") or not (content.strip() or message.get("reasoning")):
        return False
    said = after_thought(content)
    if said is None or said.strip():
        return False
    return str(number) not in (json.loads(media).get(PARTS, {}) if media else {})


def _goes_on(messages: Sequence[Message], number: int) -> bool:
    """Return whether the assistant speaks in the next turn, too: what it says may stand there."""
    return number + 1 < len(messages) and messages[number + 1]["role"] == "assistant"


def _faults_of_marks(message: Message) -> Iterator[tuple[str, str]]:
    texts = [message.get("reasoning") or "", message["content"]]
    broken = next(filter(None, map(broken_thought, texts)), None)
    unopened = next(filter(None, map(unopened_thought, texts)), None)
    if broken:
        yield "broken_thought", broken
    if unopened:
        yield "unopened_thought", f"{unopened} is not opened"
    # What is thought is nobody's Markdown.
    line = open_fence(after_thought(message["content"]) or message["content"])
    if line:
        yield "open_code_fence", f"line {line}"
