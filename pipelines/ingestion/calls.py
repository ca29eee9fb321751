"""Tool calls and tools, from all their spellings to one: OpenAI's, with arguments as objects."""

import json
import re
from typing import Any

from siftline.pipelines.ingestion.values import (
    JSON,
    BadRecordError,
    as_json,
    json_value,
    kind_of,
    parsed,
    plain,
)

_ARGUMENTS = ("arguments", "parameters", "args", "input")
_TAG = re.compile(r"</?tool_call>")
# Where the JSON of a call may begin. A thought before it may hold brackets of its own.
_BEGINNING = re.compile(r"(?=[{\[]\s*[{\"])")
_MOST_BEGINNINGS = 100  # are tried, so that no text takes a quadratic time


def read_calls(value: Any) -> list[dict[str, Any]]:
    """Return the tool calls of a turn.

    Args:
        value: A call, a list of calls, or the JSON of either. A call is `{id, type, function:
            {name, arguments}}`, or `{name, arguments}` alone.

    Raises:
        BadRecordError: It is none of these.
    """
    value = _found(value)
    calls = value if isinstance(value, list) else [] if value is None else [value]
    return [_call(_found(call)) for call in calls]


def _found(value: Any) -> Any:
    """Return what a text is the JSON of, and anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parsed(value)
    except (ValueError, RecursionError):
        return value


def split_calls(value: Any, name: str) -> tuple[str, list[dict[str, Any]]]:
    """Split the text of a turn that calls tools into what is said before, and the calls.

    Args:
        value: The calls as :func:`read_calls` takes them, or a text that ends in their JSON, one
            after another.
        name: What it is called, for messages.

    Raises:
        BadRecordError: It does not end in a call.
    """
    if not isinstance(value, str):
        return "", read_calls(value)
    text = _TAG.sub("", value).rstrip()
    thought = text.rfind("</think>")
    start = thought + len("</think>") if thought >= 0 else 0
    for place, found in enumerate(_BEGINNING.finditer(text, start)):
        if place == _MOST_BEGINNINGS:
            break
        values = _values(text, found.start())
        if values is not None and all(_is_call(each) for each in values):
            return text[: found.start()].rstrip(), [_call(each) for each in values]
    raise BadRecordError(
        "wrong_type", f"'{name}' has a call that is no JSON, expected its name and arguments"
    )


def _values(text: str, start: int) -> list[Any] | None:
    """Return the JSON values from a place to the end, lists taken apart; None if it is no JSON."""
    values: list[Any] = []
    while start < len(text):
        try:
            value, start = JSON.raw_decode(text, start)
        except (ValueError, RecursionError):
            return None
        values += value if isinstance(value, list) else [value]
        while start < len(text) and (text[start].isspace() or text[start] == ";"):
            start += 1
    return values


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and ("name" in value or "function" in value)


def is_list_of_calls(text: str) -> bool:
    """Return whether a text is the JSON of calls, each with its name and arguments."""
    value = as_json(text) if text.lstrip().startswith("[") else None
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and {"name", "arguments"} <= set(each) for each in value)
    )


def _call(call: Any) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise BadRecordError("wrong_type", f"a tool call is {kind_of(call)}, expected an object")
    inner = call.get("function")
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        inner = _found(inner)
    function = inner if isinstance(inner, dict) else call
    name = inner if isinstance(inner, str) else function.get("name")
    if not isinstance(name, str):
        raise BadRecordError("missing_field", "a tool call has no name")
    given = next((function[key] for key in _ARGUMENTS if function.get(key) is not None), None)
    kept = {"name": name, "arguments": _arguments(given)}
    identity = {} if call.get("id") is None else {"id": str(call["id"])}
    return {**identity, "type": "function", "function": kept}


def _arguments(value: Any) -> Any:
    """Return arguments as an object; what is none stays as it is, to be found later."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    found = _found(value)
    if not isinstance(found, dict):
        return plain(value)
    try:
        json.dumps(found, allow_nan=False, default=str)
    except ValueError:  # NaN, which no JSON has: a text of it would be another value
        return value if isinstance(value, str) else json.dumps(found, default=str)
    return plain(found)


def take_tools(fields: dict[str, Any]) -> list[Any]:
    """Take the tools that a conversation offers from its columns, as the data have them.

    They are a list of objects, of their JSON, or the JSON of a list, in `tools` or in OpenAI's
    older `functions`. A column that holds something else is left where it is.
    """
    for name in ("tools", "functions"):
        tools = _objects(fields.get(name))
        if tools is None:
            continue
        del fields[name]
        if tools and name == "functions":
            return [{"type": "function", "function": tool} for tool in tools]
        if tools:
            return tools
    return []


def _objects(value: Any) -> list[Any] | None:
    """Return a list of objects; None where there is none, or it is another list."""
    if value is None:
        return None
    value = [] if isinstance(value, str) and not value.strip() else json_value(value)
    entries = value if isinstance(value, list) else [value]
    found = [json_value(each) if isinstance(each, str) else each for each in entries]
    return found if all(isinstance(each, dict) for each in found) else None
