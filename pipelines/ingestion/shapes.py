"""The shapes of instruction data: from a record to conversations that end in one response."""

import base64
import datetime
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from siftline.contracts.examples import Message
from siftline.pipelines.ingestion.inputs import Input
from siftline.scorers.text_statistics import bare

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

# Inputs of Alpaca that say that there is none. "N/A" and "none" may be the thing asked about.
_NO_INPUT = frozenset(("noinput", "no input", "no input required", "no input needed"))

# Where each shape finds its response, in the order of preference.
_RESPONSES = {
    "alpaca": ("response", "output", "responses", "outputs"),
    "prompt_completion": ("response", "completion", "completions", "responses"),
    "question_answer": ("response", "answer", "answers", "responses"),
}
_PROMPTS = {"alpaca": "instruction", "prompt_completion": "prompt", "question_answer": "question"}
_CONVERSATIONS = {"sharegpt": ("conversations", "conversation"), "messages": ("messages",)}
_TASK = ("task", "category")
_ORIGIN = ("origin", "generator", "model")
_TURN_EXTRAS = ("tool_calls", "tool_call_id", "name")


class BadRecordError(Exception):
    """A record that cannot be used.

    Attributes:
        reason: A slug.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Draft(NamedTuple):
    """An example before it has an identity."""

    id: str | None
    messages: list[Message]
    task: str | None
    origin: str | None
    metadata: dict[str, Any]


def detect(record: dict[str, Any], columns: dict[str, str]) -> str | None:
    """Return the shape of a record, None when it is none that is known."""
    fields = {name for name, value in record.items() if value is not None}
    fields |= {field for field, column in columns.items() if record.get(column) is not None}
    if "messages" in fields:
        return "messages"
    if "conversations" in fields or "conversation" in fields:
        return "sharegpt"
    for shape, prompt in _PROMPTS.items():
        if prompt in fields and any(name in fields for name in _RESPONSES[shape]):
            return shape
    return None


def to_drafts(record: dict[str, Any], shape: str, item: Input) -> list[Draft]:
    """Turn a record into one draft per response.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    fields = {name: None if _is_nan(value) else value for name, value in record.items()}
    fields |= {field: fields.pop(column, None) for field, column in item.columns.items()}
    row_id = _scalar(fields.pop("id", None), "id")
    task = item.task or _first(fields, _TASK)
    origin = item.origin or _first(fields, _ORIGIN)
    answers = (_conversation if shape in _CONVERSATIONS else _single_turn)(fields, shape)
    tools = _json_value(fields.pop("tools", None))
    rest = {name: plain(value) for name, value in fields.items() if value is not None}
    drafts = []
    for turns, author in answers:
        messages, extras = _unzip(turns)
        # A column that is called like a list with one entry per message must not pass for one.
        taken = {*_TURN_EXTRAS, *extras}
        metadata = {f"column_{k}" if k in taken else k: value for k, value in rest.items()}
        metadata |= {"tools": tools, **extras} if tools else extras
        check_roles(messages)
        _check_text(metadata)
        drafts.append(Draft(row_id, messages, task, author or origin, metadata))
    return drafts


class _Turn(NamedTuple):
    """One message, and what else stood beside its role and content, tool calls above all."""

    role: str
    content: str
    extras: dict[str, Any]


Answers = list[tuple[list[_Turn], str | None]]


def _unzip(turns: list[_Turn]) -> tuple[list[Message], dict[str, list[Any]]]:
    """Split turns into messages, and lists of the extras with one entry per message."""
    messages = [Message(role=turn.role, content=turn.content) for turn in turns]
    names = sorted({name for turn in turns for name in turn.extras})
    return messages, {
        name if name in _TURN_EXTRAS else f"turn_{name}": [turn.extras.get(name) for turn in turns]
        for name in names
    }


def _single_turn(fields: dict[str, Any], shape: str) -> Answers:
    before = _system(fields)
    history = _blank(fields.pop("history", None))
    if history is not None and not isinstance(history, list):
        raise BadRecordError("wrong_type", f"'history' is {_kind(history)}, expected a list")
    for pair in history or []:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise BadRecordError("wrong_type", "'history' is not a list of [user, assistant]")
        before.append(_Turn("user", _text(pair[0], "history"), {}))
        before.append(_Turn("assistant", _text(pair[1], "history"), {}))
    prompt = fields.pop(_PROMPTS[shape], None)
    if isinstance(prompt, list):
        before += _turns(prompt, _PROMPTS[shape])
    else:
        text = _text(prompt, _PROMPTS[shape])
        extra = _no_input(fields.pop("input", None)) if shape == "alpaca" else None
        text = text if extra is None else f"{text}\n\n{_text(extra, 'input')}"
        before.append(_Turn("user", text, {}))
    name = next((n for n in _RESPONSES[shape] if fields.get(n) is not None), None)
    if name is None:
        raise BadRecordError("missing_field", f"no '{_RESPONSES[shape][1]}'")
    return [([*before, *after], author) for after, author in _candidates(fields.pop(name), name)]


def _candidates(value: Any, name: str) -> Answers:
    """Return the responses of a record: one text, a conversational one, or a list of them."""
    if isinstance(value, str):
        return [([_Turn("assistant", value, {})], None)]
    if not isinstance(value, list) or not value:
        raise BadRecordError("wrong_type", f"'{name}' is {_kind(value)}, expected a text")
    if all(isinstance(entry, dict) and "role" in entry for entry in value):
        return [(_turns(value, name), None)]
    answers: Answers = []
    for entry in value:
        author = None
        if isinstance(entry, dict):
            author = _first(entry, _ORIGIN)
            texts = [entry.get(key) for key in ("text", "content", "response", "output")]
            entry = next((text for text in texts if text is not None), None)
        answers.append(([_Turn("assistant", _text(entry, name), {})], author))
    return answers


def _conversation(fields: dict[str, Any], shape: str) -> Answers:
    names = _CONVERSATIONS[shape]
    name = next((n for n in names if fields.get(n) is not None), names[0])
    turns = _turns(fields.pop(name, None), name)
    return [([*_system(fields), *turns], None)]


def _system(fields: dict[str, Any]) -> list[_Turn]:
    """Take the system turn from a column of its own."""
    system = _blank(fields.pop("system", None))
    return [] if system is None else [_Turn("system", _text(system, "system"), {})]


def _turns(turns: Any, name: str) -> list[_Turn]:
    """Read a list of turns, with role and content or from and value."""
    turns = _json_value(turns) if isinstance(turns, str) else turns
    if turns is None:
        raise BadRecordError("missing_field", f"no '{name}'")
    if not isinstance(turns, list):
        raise BadRecordError("wrong_type", f"'{name}' is {_kind(turns)}, expected a list")
    return [_turn(turn, name) for turn in turns]


def _turn(turn: Any, name: str) -> _Turn:
    if not isinstance(turn, dict):
        raise BadRecordError("wrong_type", f"a turn is {_kind(turn)}, expected an object")
    extras = {key: plain(value) for key, value in turn.items() if value is not None}
    said = extras.pop("role", extras.pop("from", None))
    role = ROLES.get(str(said).casefold())
    if role is None:
        reason = "missing_field" if said is None else "wrong_role_order"
        raise BadRecordError(reason, f"a turn of '{name}' has no role that is known, but '{said}'")
    content = extras.pop("content", extras.pop("value", None))
    calls = _json_value(extras.pop("tool_calls", None))
    if str(said).casefold() == "function_call":
        calls, content = [_json_value(content)], None
    if calls:
        extras["tool_calls"] = calls
    if content is None and calls:
        content = ""
    return _Turn(role, _text(_joined(content), name), extras)


def _joined(content: Any) -> Any:
    """Join content that is a list of text parts."""
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        return "".join(part["text"] for part in content)
    return content


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
    allowed = {
        "start": ("user",),
        "user": ("assistant",),
        "assistant": ("user", "tool"),
        "tool": ("tool", "assistant"),
        "system": (),
    }
    for before, after in zip(["start", *roles], roles, strict=False):
        if after not in allowed[before]:
            raise BadRecordError("wrong_role_order", f"'{after}' follows '{before}'")
    if roles[-1] != "assistant":
        raise BadRecordError("wrong_role_order", f"the last turn is by '{roles[-1]}'")
    if not any(m["content"].strip() for m in messages if m["role"] == "user"):
        raise BadRecordError("empty_prompt", "no user turn has any text")
    for message in messages:
        _check_text(message["content"])


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecordError("lone_surrogate", "half of a surrogate pair") from error


def _text(value: Any, name: str) -> str:
    if value is None:
        raise BadRecordError("missing_field", f"no '{name}'")
    if not isinstance(value, str):
        raise BadRecordError("wrong_type", f"'{name}' is {_kind(value)}, expected a text")
    return value


def _is_nan(value: Any) -> bool:
    """Return whether a cell is missing the way that pandas writes it."""
    return isinstance(value, float) and value != value


def _blank(value: Any) -> Any:
    """Return None for a text without content."""
    return None if isinstance(value, str) and not value.strip() else value


def _no_input(value: Any) -> Any:
    """Return None for an Alpaca input that says that there is none, as its generator wrote it."""
    nothing = isinstance(value, str) and bare(value) in _NO_INPUT
    return None if nothing else _blank(value)


def _scalar(value: Any, name: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float):
        raise BadRecordError("wrong_type", f"'{name}' is {_kind(value)}, expected a text")
    _check_text(value)
    return str(value)


def _first(fields: dict[str, Any], names: Iterable[str]) -> str | None:
    """Take the first of some columns that holds a text."""
    for name in names:
        if isinstance(fields.get(name), str) and fields[name].strip():
            value: str = fields.pop(name)
            _check_text(value)
            return value
    return None


def _json_value(value: Any) -> Any:
    """Parse a text that is JSON, since Parquet often holds tools that way."""
    if not isinstance(value, str):
        return plain(value)
    try:
        return json.loads(value)
    except ValueError:
        return value


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: dates in ISO form, bytes in base64."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)
