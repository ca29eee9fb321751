"""The shapes of instruction data: from a record to conversations that end in one response."""

from typing import Any, NamedTuple

from siftline.contracts.examples import Message
from siftline.pipelines.ingestion.calls import json_text, read_tools
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.turns import Turn, check_roles, read_turns, said, unzip
from siftline.pipelines.ingestion.values import (
    BadRecordError,
    check_levels,
    check_text,
    is_nan,
    kind_of,
    plain,
    scalar_of,
    take_first,
    text_of,
    unless_blank,
)
from siftline.scorers.text_statistics import bare

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


class Draft(NamedTuple):
    """An example before it has an identity."""

    id: str | None
    messages: list[Message]
    tools: str | None
    media: str | None
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
    fields = {name: None if is_nan(value) else value for name, value in record.items()}
    fields |= {field: fields.pop(column, None) for field, column in item.columns.items()}
    row_id = scalar_of(fields.pop("id", None), "id")
    task = item.task or take_first(fields, _TASK)
    origin = item.origin or take_first(fields, _ORIGIN)
    answers = (_conversation if shape in _CONVERSATIONS else _single_turn)(fields, shape)
    tools = read_tools(fields.pop("tools", None))
    rest = {name: plain(value) for name, value in fields.items() if value is not None}
    drafts = []
    for turns, author in answers:
        messages, extras = unzip(turns)
        # A column that is called like a list with one entry per message must not pass for one.
        metadata = {f"column_{k}" if k in extras else k: value for k, value in rest.items()}
        metadata |= extras
        check_roles(messages)
        for held in (metadata, tools):
            check_levels(held)
            check_text(held)
        drafts.append(
            Draft(row_id, messages, json_text(tools), None, task, author or origin, metadata)
        )
    return drafts


Answers = list[tuple[list[Turn], str | None]]


def _single_turn(fields: dict[str, Any], shape: str) -> Answers:
    before = _system(fields)
    history = unless_blank(fields.pop("history", None))
    if history is not None and not isinstance(history, list):
        raise BadRecordError("wrong_type", f"'history' is {kind_of(history)}, expected a list")
    for pair in history or []:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise BadRecordError("wrong_type", "'history' is not a list of [user, assistant]")
        before.append(said("user", text_of(pair[0], "history")))
        before.append(said("assistant", text_of(pair[1], "history")))
    prompt = fields.pop(_PROMPTS[shape], None)
    if isinstance(prompt, list):
        before += read_turns(prompt, _PROMPTS[shape])
    else:
        text = text_of(prompt, _PROMPTS[shape])
        extra = _no_input(fields.pop("input", None)) if shape == "alpaca" else None
        text = text if extra is None else f"{text}\n\n{text_of(extra, 'input')}"
        before.append(said("user", text))
    name = next((n for n in _RESPONSES[shape] if fields.get(n) is not None), None)
    if name is None:
        raise BadRecordError("missing_field", f"no '{_RESPONSES[shape][1]}'")
    return [([*before, *after], author) for after, author in _candidates(fields.pop(name), name)]


def _candidates(value: Any, name: str) -> Answers:
    """Return the responses of a record: one text, a conversational one, or a list of them."""
    if isinstance(value, str):
        return [([said("assistant", value)], None)]
    if not isinstance(value, list) or not value:
        raise BadRecordError("wrong_type", f"'{name}' is {kind_of(value)}, expected a text")
    if all(isinstance(entry, dict) and "role" in entry for entry in value):
        return [(read_turns(value, name), None)]
    answers: Answers = []
    for entry in value:
        author = None
        if isinstance(entry, dict):
            author = take_first(entry, _ORIGIN)
            texts = [entry.get(key) for key in ("text", "content", "response", "output")]
            entry = next((text for text in texts if text is not None), None)
        answers.append(([said("assistant", text_of(entry, name))], author))
    return answers


def _conversation(fields: dict[str, Any], shape: str) -> Answers:
    names = _CONVERSATIONS[shape]
    name = next((n for n in names if fields.get(n) is not None), names[0])
    turns = read_turns(fields.pop(name, None), name)
    return [([*_system(fields), *turns], None)]


def _system(fields: dict[str, Any]) -> list[Turn]:
    """Take the system turn from a column of its own."""
    system = unless_blank(fields.pop("system", None))
    return [] if system is None else [said("system", text_of(system, "system"))]


def _no_input(value: Any) -> Any:
    """Return None for an Alpaca input that says that there is none, as its generator wrote it."""
    nothing = isinstance(value, str) and bare(value) in _NO_INPUT
    return None if nothing else unless_blank(value)
