"""The shapes of instruction data: from a record to conversations that end in one response."""

from typing import Any, NamedTuple

from siftline.contracts.examples import PARTS, Message
from siftline.pipelines.ingestion.calls import take_tools
from siftline.pipelines.ingestion.candidates import ORIGINS, Candidate
from siftline.pipelines.ingestion.conversations import (
    CONVERSATIONS,
    may_be_turns,
    read_conversation,
)
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.order import in_order
from siftline.pipelines.ingestion.preferences import SIDES, read_preference
from siftline.pipelines.ingestion.repair import Notes
from siftline.pipelines.ingestion.single_turns import SINGLE_TURNS, read_single_turn
from siftline.pipelines.ingestion.trees import is_tree, read_tree
from siftline.pipelines.ingestion.turns import Turn, unzip
from siftline.pipelines.ingestion.values import (
    json_text,
    plain,
    scalar_of,
    sorted_json,
    take_first,
)

# In the order in which a record is taken for one of them.
_SHAPES = ("preference", *CONVERSATIONS, "tree", *SINGLE_TURNS)
_ANYTHING = "data"  # is turns where it may be some, and nothing else in the record is a prompt
TASKS = ("task", "category")
MEDIA = frozenset(("images", "image", "videos", "video", "audios", "audio", "files"))
TOOLS = frozenset(("tools", "functions"))


class Draft(NamedTuple):
    """An example before it has an identity; `tools`, `media` and `metadata` are JSON."""

    id: str | None
    messages: list[Message]
    tools: str | None
    media: str | None
    task: str | None
    origin: str | None
    metadata: str


def detect(record: dict[str, Any], columns: dict[str, str]) -> str | None:
    """Return the shape of a record, None when it is none that is known."""
    names = _names(record, columns)
    return next((shape for shape in _SHAPES if _has_shape(shape, names, record, columns)), None)


def unanswered(record: dict[str, Any], columns: dict[str, str]) -> str | None:
    """Return the shape of a record that has a prompt, and a column for its response with nothing.

    None for any other.
    """
    names = _names(record, columns)
    empty = [name for name, value in record.items() if value is None]
    fields = {field for field, column in columns.items() if column in empty} | set(empty)
    return next(
        (
            shape
            for shape, held in SINGLE_TURNS.items()
            if held.prompt in names and not fields.isdisjoint(held.responses)
        ),
        None,
    )


def is_shaped(record: dict[str, Any], shape: str, columns: dict[str, str]) -> bool:
    """Return whether a record has a shape, though it may have another before it."""
    return _has_shape(shape, _names(record, columns), record, columns)


def _names(record: dict[str, Any], columns: dict[str, str]) -> set[str]:
    """Return the columns of a record that hold something, as the recipe calls them."""
    names = {name for name, value in record.items() if value is not None}
    if columns:
        there = {field for field, column in columns.items() if column in names}
        names = (names - set(columns.values())) | there
    return names


def _has_shape(
    shape: str, names: set[str], record: dict[str, Any], columns: dict[str, str]
) -> bool:
    if shape == "preference":
        sides = (record.get(columns.get(side, side)) for side in SIDES)
        said = any(isinstance(side, str | list | dict) for side in sides)
        others = (*CONVERSATIONS, *SINGLE_TURNS)  # beside which numbers say what was chosen
        return names.issuperset(SIDES) and (
            said or not any(_has_shape(other, names, record, columns) for other in others)
        )
    if shape == "tree":
        return "prompt" in names and is_tree(record.get(columns.get("prompt", "prompt")))
    if shape in SINGLE_TURNS:
        held = SINGLE_TURNS[shape]
        return held.prompt in names and not names.isdisjoint(held.responses)
    if not names.isdisjoint(name for name in CONVERSATIONS[shape] if name != _ANYTHING):
        return True
    return (
        _ANYTHING in CONVERSATIONS[shape]
        and may_be_turns(record.get(_ANYTHING))
        and not any(_has_shape(other, names, record, columns) for other in SINGLE_TURNS)
    )


def to_drafts(
    record: dict[str, Any], shape: str, item: Input, notes: Notes | None = None
) -> list[Draft]:
    """Turn a record into one draft per response.

    Args:
        record: The row as it was read.
        shape: One that :func:`detect` returns.
        item: The input; its fields count.
        notes: Where what was repaired or skipped is noted.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    notes = notes or Notes(item.repair)
    # A float that is not itself is what pandas writes for a missing cell.
    fields = {
        name: None if type(value) is float and value != value else value
        for name, value in record.items()
    }
    if item.columns:
        fields = _mapped(fields, item.columns)
    row_id = _id(fields.pop("id", None), notes)
    task = item.task or take_first(fields, TASKS)
    origin = item.origin or take_first(fields, ORIGINS)
    candidates = _read(fields, shape, item, notes)
    tools = None if TOOLS.isdisjoint(fields) else json_text(take_tools(fields))
    media = {} if MEDIA.isdisjoint(fields) else _take_media(fields)
    notes.rest = {name: plain(value) for name, value in fields.items() if value is not None}
    shared = Draft(row_id, [], tools, None, task, origin, "")
    return [_draft(candidate, shared, media, notes) for candidate in candidates]


def _draft(candidate: Candidate, shared: Draft, media: dict[str, Any], notes: Notes) -> Draft:
    """Make a draft of one candidate and of what all candidates of its row share."""
    turns, tools = _offered(in_order(candidate.turns, notes), shared.tools)
    messages, extras = unzip(turns)
    parts = _parts(turns)
    return Draft(
        candidate.id or shared.id,
        messages,
        tools,
        json_text({**parts, **media}) if parts or media else None,
        shared.task,
        candidate.origin or shared.origin,
        sorted_json(_metadata(notes.rest, {**candidate.metadata, **extras})),
    )


def _offered(turns: list[Turn], tools: str | None) -> tuple[list[Turn], str | None]:
    """Return the turns, and the tools of the row or else those in its first turn.

    ChatGLM and others have them in the system turn.
    """
    if tools is not None or TOOLS.isdisjoint(turns[0].extras):
        return turns, tools
    extras = dict(turns[0].extras)
    found = json_text(take_tools(extras))
    return ([turns[0]._replace(extras=extras), *turns[1:]], found) if found else (turns, None)


def _mapped(fields: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """Return a record with its columns under the names of the fields that they are read as."""
    mapped = {field: fields.get(column) for field, column in columns.items()}
    taken = set(columns.values())
    left = {name: value for name, value in fields.items() if name not in taken}
    # One that is called like a field, and is not the one that the recipe names, is no field.
    return {f"column_{k}" if k in mapped else k: value for k, value in left.items()} | mapped


def _read(fields: dict[str, Any], shape: str, item: Input, notes: Notes) -> list[Candidate]:
    mapped = "input" in item.columns
    if shape in SINGLE_TURNS:
        return read_single_turn(fields, shape, mapped, notes)
    if shape in CONVERSATIONS:
        return read_conversation(fields, shape, notes)
    if shape == "preference":
        return read_preference(fields, item.take == "both", mapped, notes)
    return read_tree(fields, notes)


def _id(value: Any, notes: Notes) -> str | None:
    found = scalar_of(value)
    if found is None and value not in (None, ""):
        notes.skipped.append("id")
    return found


def _take_media(fields: dict[str, Any]) -> dict[str, Any]:
    """Take the columns that hold images, sounds or files."""
    found = {name: fields[name] for name in sorted(MEDIA & fields.keys())}
    return {
        name: plain(fields.pop(name))
        for name, value in found.items()
        if isinstance(value, str | bytes | dict | list) and value
    }


def _parts(turns: list[Turn]) -> dict[str, Any]:
    """Return the parts of messages that are not text alone, by the number of their turn."""
    parts = {str(number): turn.parts for number, turn in enumerate(turns) if turn.parts}
    return {PARTS: parts} if parts else {}


def _metadata(rest: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Join the columns left over with what belongs to the example alone, so that none is lost."""
    if not own:
        return rest
    return {f"column_{name}" if name in own else name: held for name, held in rest.items()} | own
