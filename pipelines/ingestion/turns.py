"""The turns of a conversation: who says what, and in which order."""

from typing import Any, NamedTuple

from siftline.contracts.examples import Message
from siftline.pipelines.ingestion.calls import json_text, read_calls
from siftline.pipelines.ingestion.values import (
    BadRecordError,
    check_text,
    json_value,
    kind_of,
    plain,
    text_of,
)

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
}

# Which role may follow which, after the system turns.
_FOLLOWERS = {
    "start": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
    "system": (),
}


class Turn(NamedTuple):
    """One message, and what else stood beside it in the data."""

    message: Message
    extras: dict[str, Any]


def said(role: str, content: str) -> Turn:
    """Return a turn of nothing but a text."""
    return Turn(Message(role=role, content=content), {})


def read_turns(turns: Any, name: str) -> list[Turn]:
    """Read a list of turns, with role and content or from and value.

    Args:
        turns: A list, or its JSON.
        name: Of the column, for messages.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    turns = json_value(turns) if isinstance(turns, str) else turns
    if turns is None:
        raise BadRecordError("missing_field", f"no '{name}'")
    if not isinstance(turns, list):
        raise BadRecordError("wrong_type", f"'{name}' is {kind_of(turns)}, expected a list")
    return [_turn(turn, name) for turn in turns]


def _turn(turn: Any, name: str) -> Turn:
    if not isinstance(turn, dict):
        raise BadRecordError("wrong_type", f"a turn is {kind_of(turn)}, expected an object")
    extras = {key: plain(value) for key, value in turn.items() if value is not None}
    speaker = extras.pop("role", extras.pop("from", None))
    role = ROLES.get(str(speaker).casefold())
    if role is None:
        reason = "missing_field" if speaker is None else "wrong_role_order"
        raise BadRecordError(
            reason, f"a turn of '{name}' has no role that is known, but '{speaker}'"
        )
    content = extras.pop("content", extras.pop("value", None))
    calls = extras.pop("tool_calls", None)
    if str(speaker).casefold() == "function_call":
        calls, content = content, None
    content = "" if content is None and calls else content
    message = Message(role=role, content=text_of(_joined(content), name))
    if calls:
        message["tool_calls"] = json_text(read_calls(calls))
    for field in ("tool_call_id", "name"):
        if isinstance(extras.get(field), str):
            message[field] = extras.pop(field)
    return Turn(message, extras)


def _joined(content: Any) -> Any:
    """Join content that is a list of text parts."""
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        return "".join(part["text"] for part in content)
    return content


def unzip(turns: list[Turn]) -> tuple[list[Message], dict[str, list[Any]]]:
    """Split turns into messages, and lists of the extras with one entry per message."""
    names = sorted({name for turn in turns for name in turn.extras})
    return [turn.message for turn in turns], {
        f"turn_{name}": [turn.extras.get(name) for turn in turns] for name in names
    }


def check_roles(messages: list[Message]) -> None:
    """Hold a conversation to its order: system, then user and assistant in turn, assistant last.

    Tool turns stand between assistant turns.

    Raises:
        BadRecordError: `empty_prompt`, `no_assistant_turn` or `wrong_role_order`.
    """
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        raise BadRecordError("no_assistant_turn", f"the roles are {', '.join(roles) or 'none'}")
    while roles and roles[0] == "system":
        roles.pop(0)
    for before, after in zip(["start", *roles], roles, strict=False):
        if after not in _FOLLOWERS[before]:
            raise BadRecordError("wrong_role_order", f"'{after}' follows '{before}'")
    if roles[-1] != "assistant":
        raise BadRecordError("wrong_role_order", f"the last turn is by '{roles[-1]}'")
    if not any(m["content"].strip() for m in messages if m["role"] == "user"):
        raise BadRecordError("empty_prompt", "no user turn has any text")
    check_text(messages)
