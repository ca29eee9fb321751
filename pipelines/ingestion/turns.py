"""The turns of a conversation: one message from each of its spellings, or several from one."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from siftline.contracts.examples import Message
from siftline.contracts.printable import excerpt
from siftline.pipelines.ingestion.calls import read_calls, split_calls
from siftline.pipelines.ingestion.parts import Piece, is_shown, read_parts
from siftline.pipelines.ingestion.repair import Notes
from siftline.pipelines.ingestion.values import (
    PRINTED,
    BadRecordError,
    is_nan,
    json_text,
    json_value,
    kind_of,
    plain,
    unless_blank,
)

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool_calls": "assistant",
    "tool": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "tool_results": "tool",
    "tool_output": "tool",
    "function": "tool",
    "function_response": "tool",
    "function_result": "tool",
    "observation": "tool",
    "ipython": "tool",
    "environment": "tool",
}
_PRINTED = re.compile(
    r"\A\s*+[\[{][\s\[{]*+'(role|from|content|value|input|output)'\s*+:.*[\]}]\s*+\Z", re.DOTALL
)
_CALLING = ("function_call", "tool_call", "tool_calls")  # roles whose content is a call
SPEAKERS = ("role", "from")
_CONTENTS = ("content", "value", "text", "refusal")
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_WEIGHTS = ("weight", "loss_scale")  # any number
_MOST_WEIGHT = 1e9  # what is more, infinity among it, is a number of another kind
_SWITCHES = ("train", "training", "trainable", "loss")  # a boolean, or 1 and 0


class Turn(NamedTuple):
    """One message, what else stood beside it in the data, and the parts that it came in.

    The parts are those of messages that do not consist of text alone, else None.
    """

    message: Message
    extras: dict[str, Any]
    parts: list[Any] | None = None


def said(role: str, content: str) -> Turn:
    """Return a turn of nothing but a text."""
    return Turn({"role": role, "content": content}, {})


def read_turns(turns: Any, name: str, notes: Notes) -> list[Turn]:
    """Read a list of turns, with role and content or from and value.

    Args:
        turns: A list, its JSON, or one list of each of the turns' fields.
        name: Of the column, for messages.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    read: list[Turn] = []
    for turn in listed(turns, name):
        if not isinstance(turn, dict):
            detail = f"a turn of '{name}' is {kind_of(turn)}, expected an object"
            raise BadRecordError("wrong_type", detail)
        read += read_turn(turn, name, notes)
    return read


def listed(turns: Any, name: str) -> list[Any]:
    """Return the entries of a list that came as itself, as JSON or as a list a field.

    Raises:
        BadRecordError: `missing_field` or `wrong_type`.
    """
    found = json_value(turns) if isinstance(turns, str) else turns
    if isinstance(found, dict) and any(isinstance(found.get(key), list) for key in SPEAKERS):
        found = _zipped(found, name)
    if isinstance(found, list | tuple):
        return list(found)
    if found is None:
        raise BadRecordError("missing_field", f"no '{name}'")
    if isinstance(found, str):
        check_notation(found, name)
        raise BadRecordError("wrong_type", f"'{name}' is a text that is no JSON, expected a list")
    raise BadRecordError("wrong_type", f"'{name}' is {kind_of(found)}, expected a list")


def spoken(entries: list[Any]) -> list[dict[str, Any]] | None:
    """Return the turns of pairs such as `["human", "Hello"]`; None where others are among them.

    Pairs of what the user and the assistant say look the same, but for their first text.
    """
    pairs = [each for each in entries if isinstance(each, list | tuple) and len(each) == 2]
    if not pairs or len(pairs) < len(entries):
        return None
    if not all(isinstance(speaker, str) and _spelt(speaker) in ROLES for speaker, _ in entries):
        return None
    return [{"role": speaker, "content": content} for speaker, content in entries]


def check_notation(text: str, name: str) -> None:
    """Check that a text is no list of turns as Python prints it, and as pandas writes it.

    Raises:
        BadRecordError: `wrong_type`.
    """
    if _PRINTED.match(text):
        raise BadRecordError("wrong_type", PRINTED.format(name=name))


def _zipped(lists: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Turn an object of lists, as `datasets` makes it of a list of objects, back into one."""
    held = {key: value for key, value in lists.items() if value is not None}
    lists_only = all(isinstance(value, list) for value in held.values())
    if not lists_only or len(set(map(len, held.values()))) != 1:
        detail = f"'{name}' has lists of different lengths, or what is no list"
        raise BadRecordError("wrong_type", detail)
    return [dict(zip(held, turn, strict=True)) for turn in zip(*held.values(), strict=True)]


def read_turn(turn: dict[str, Any], name: str, notes: Notes) -> list[Turn]:
    """Read one turn; content in Anthropic's blocks may stand for several.

    Args:
        turn: With role and content, or from and value.
        name: Of the column, for messages.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    if len(turn) == 2 and (plainly := _plainly_said(turn)) is not None:
        return [plainly]
    rest = {key: v for key, v in turn.items() if v is not None and not is_nan(v)}
    role, calling = _role(_speaker(rest), name, rest)
    content = _taken(rest, _CONTENTS)
    called = rest.pop("tool_calls", None) or rest.pop("function_call", None)
    calls = read_calls(called) if called else []
    if calls and content in ("", []):
        content = None
    weight = _weight(rest)
    if calling and content is not None:
        content, more = split_calls(content, name)
        calls += more
    thought = _thought(rest) if role == "assistant" else None
    silent = content is None or content == []  # a list without parts
    if silent and (calls or thought or (role == "tool" and content is None)):
        content = ""
    if isinstance(content, dict) and "type" in content:
        content = content if role == "tool" and not is_shown([content]) else [content]
    if role == "tool" and not isinstance(content, str | bytes | None) and not is_shown(content):
        content = json_text(plain(content)) or json.dumps(content)
    if isinstance(content, list) and content:
        pieces = read_parts(content, role, name)
    else:
        pieces = [Piece(role, notes.text_of(content, f"{name}[].content"))]
    last = next((piece for piece in reversed(pieces) if piece.role == role), pieces[-1])
    last.calls += calls
    last.extras |= rest
    last.thoughts += [thought] if thought else []
    return [_turn(piece, weight) for piece in pieces]


def _plainly_said(turn: dict[str, Any]) -> Turn | None:
    """Read the commonest turn, a role and a text, without more ado; None for any other."""
    speaker = turn.get("role", turn.get("from"))
    content = turn.get("content", turn.get("value"))
    if type(speaker) is not str or type(content) is not str or speaker in _CALLING:
        return None
    role = ROLES.get(speaker)
    return None if role is None else said(role, content)


def _turn(piece: Piece, weight: float | None) -> Turn:
    """Make a turn of a piece, its fields without those that it does not have."""
    extras = piece.extras
    message: Message = {"role": piece.role, "content": piece.content}
    if piece.thoughts:
        message["reasoning"] = "\n\n".join(piece.thoughts)
    if piece.calls:
        message["tool_calls"] = json_text(piece.calls)
    if isinstance(extras.get("tool_call_id"), str | int):
        message["tool_call_id"] = str(extras.pop("tool_call_id"))
    if isinstance(extras.get("name"), str) and unless_blank(name := extras.pop("name")):
        message["name"] = name
    if weight is not None:
        message["weight"] = weight
    return Turn(message, {key: plain(value) for key, value in extras.items()}, piece.media)


def _role(speaker: Any, name: str, others: Iterable[str]) -> tuple[str, bool]:
    """Return who speaks, and whether the content is a call."""
    if speaker is None:
        got = excerpt(", ".join(f"'{each}'" for each in others)) or "nothing"
        detail = f"a turn of '{name}' has no role; got {got}, expected 'role' or 'from'"
        raise BadRecordError("missing_field", detail)
    known = _spelt(str(speaker))
    role = ROLES.get(known)
    if role is None:
        raise BadRecordError(
            "wrong_role_order",
            f"a turn of '{name}' is by '{str(speaker)[:100]}', expected system, user, assistant, "
            "tool or another name of one",
        )
    return role, known in _CALLING


def _spelt(speaker: str) -> str:
    """Return the name of a role as :data:`ROLES` spells it."""
    return re.sub(r"[\s-]+", "_", speaker.strip().casefold())


def _speaker(fields: dict[str, Any]) -> Any:
    """Take who speaks; LangChain calls it the message's type."""
    found = _taken(fields, SPEAKERS)
    if found is None and str(fields.get("type")).casefold() in ROLES:
        return fields.pop("type")
    return found


def _taken(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Take the first of some fields that is there."""
    for name in names:
        if name in fields:
            return fields.pop(name)
    return None


def _thought(fields: dict[str, Any]) -> str | None:
    """Take the thought of a turn; the same one in a second field goes with it."""
    found: str | None = None
    for name in THOUGHTS:
        value = fields.get(name)
        if isinstance(value, str) and (found is None or value == found or not value.strip()):
            del fields[name]
            found = found or unless_blank(value)
    return found


def _weight(fields: dict[str, Any]) -> float | None:
    """Take how much a turn is trained on: 1 and 0 for true and false."""
    for name in (*_WEIGHTS, *_SWITCHES):
        value = fields.get(name)
        if not isinstance(value, bool | int | float) or not abs(value) <= _MOST_WEIGHT:
            continue
        if name in _WEIGHTS or value in (0, 1):
            del fields[name]
            return float(value)
    return None


def unzip(turns: list[Turn]) -> tuple[list[Message], dict[str, list[Any]]]:
    """Split turns into messages, and lists of the extras with one entry per message."""
    messages = [turn.message for turn in turns]
    if not any([turn.extras for turn in turns]):
        return messages, {}
    names = {name for turn in turns for name in turn.extras}
    return messages, {
        f"turn_{name}": [turn.extras.get(name) for turn in turns] for name in sorted(names)
    }
