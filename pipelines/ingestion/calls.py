"""Tool calls and tools, from all their spellings to one: OpenAI's, with arguments as objects."""

import json
from typing import Any

from siftline.pipelines.ingestion.values import BadRecordError, json_value, kind_of


def read_calls(value: Any) -> list[dict[str, Any]]:
    """Return the tool calls of a turn.

    Args:
        value: A call, a list of calls, or the JSON of either. A call is `{id, type, function:
            {name, arguments}}`, or `{name, arguments}` alone.

    Raises:
        BadRecordError: It is none of these.
    """
    value = json_value(value)
    calls = value if isinstance(value, list) else [value]
    return [_call(json_value(call)) for call in calls]


def _call(call: Any) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise BadRecordError("wrong_type", f"a tool call is {kind_of(call)}, expected an object")
    inner = call.get("function")
    function = dict(inner) if isinstance(inner, dict) else dict(call)
    outer = call if isinstance(inner, dict) else {}
    if not isinstance(function.get("name"), str):
        raise BadRecordError("missing_field", "a tool call has no name")
    arguments = json_value(function.get("arguments", function.pop("parameters", None)))
    kept = {"name": function["name"], "arguments": {} if arguments is None else arguments}
    identity = {"id": outer["id"]} if outer.get("id") is not None else {}
    return {**identity, "type": "function", "function": kept}


def read_tools(value: Any) -> list[Any]:
    """Return the tools that a conversation offers, as the data have them.

    Args:
        value: A list of tools, of their JSON, or the JSON of a list; None for none.
    """
    value = json_value(value)
    tools = value if isinstance(value, list) else [] if value is None else [value]
    return [json_value(tool) for tool in tools]


def json_text(value: Any) -> str | None:
    """Return the JSON of what is there; None for nothing."""
    return json.dumps(value, ensure_ascii=False) if value else None
