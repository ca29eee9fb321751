"""`openai`: JSON lines as OpenAI's fine-tuning takes them, and trainers that read the same.

A line has `messages` and, where the row offers any, `tools`. Arguments of calls are JSON texts. A
call without an id, which OpenAI does not take, gets `call_0`, `call_1` and so on, and so do the
results that follow it. Reasoning is `reasoning_content`, which OpenAI itself does not know.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from siftline.contracts.examples import PARTS, Message, calls_of, tools_of
from siftline.pipelines.output.formats.fitting import MisfitError
from siftline.pipelines.output.formats.json_texts import dumped


def openai_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example as a line of the file.

    Args:
        row: With the columns of the examples.

    Raises:
        MisfitError: It has columns of images, or a weight that is neither 0 nor 1.
    """
    media = json.loads(row["media"]) if row["media"] else {}
    if set(media) - {PARTS}:
        raise MisfitError("columns")
    parts = media.get(PARTS, {})
    given = [call.get("id") for message in row["messages"] for call in calls_of(message)]
    names = _Names(each for each in given if each)
    turns = [
        _turn(message, parts.get(str(place)), names)
        for place, message in enumerate(row["messages"])
    ]
    made: dict[str, Any] = {"messages": turns}
    if tools := tools_of(row["tools"]):
        made["tools"] = [wrapped(tool) for tool in tools]
    return made


def wrapped(tool: Any) -> Any:
    """Return a tool as OpenAI writes it; a bare function is put into one."""
    if isinstance(tool, dict) and "function" not in tool and "name" in tool:
        return {"type": "function", "function": tool}
    return tool


class _Names:
    """The ids of the calls of one conversation."""

    def __init__(self, given: Iterable[str]) -> None:
        taken = frozenset(given)
        self._made = (made for n in count() if (made := f"call_{n}") not in taken)
        self._waiting: dict[str, str] = {}  # ids made up and not answered yet, and what is called

    def of_call(self, given: str | None, name: str) -> str:
        """Return the id of a call."""
        if given:
            return given
        made = next(self._made)
        self._waiting[made] = name
        return made

    def of_result(self, given: str | None, name: str | None) -> str | None:
        """Return the id of the call that a result answers: the oldest of its name, or of all."""
        if given:
            return given
        named = [made for made, called in self._waiting.items() if called == name]
        answered = next(iter(named or self._waiting), None)
        if answered is not None:
            del self._waiting[answered]
        return answered


def _turn(message: Message, parts: list[Any] | None, names: _Names) -> dict[str, Any]:
    calls = [_call(call, names) for call in calls_of(message)]
    content = message["content"] or (None if calls else "")
    made: dict[str, Any] = {"role": message["role"], "content": parts or content}
    if message.get("reasoning") is not None:
        made["reasoning_content"] = message["reasoning"]
    if calls:
        made["tool_calls"] = calls
    if message["role"] == "tool":
        answered = names.of_result(message.get("tool_call_id"), message.get("name"))
        made |= {} if answered is None else {"tool_call_id": answered}
    if message.get("name") is not None:
        made["name"] = message["name"]
    if (weight := message.get("weight")) is not None:
        if weight not in (0, 1):
            raise MisfitError("weight")
        made["weight"] = int(weight)
    return made


def _call(call: Mapping[str, Any], names: _Names) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments", {})
    text = arguments if isinstance(arguments, str) else dumped(arguments)
    return {
        "id": names.of_call(call.get("id"), function.get("name", "")),
        "type": "function",
        "function": {"name": function.get("name", ""), "arguments": text},
    }
