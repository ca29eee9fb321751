"""`sharegpt`: JSON lines as LLaMA-Factory reads them, calls and reasoning in the text of a turn.

A line has `conversations` (`from`: `human`, `gpt`, `function_call` or `observation`; `value`),
`system`, and `tools` as JSON text. LLaMA-Factory wants the turns of the person or a tool and those
of the model to alternate, and leaves other rows out: they are refused here, with their number.
Results that follow one another are one turn, joined as it joins OpenAI's. A thought stands before
the text or the call, between the marks that its templates know. Where a thought or words stand
before a call, the call is put between marks, of which the words may hold none.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from siftline.contracts.examples import Message, calls_of, tools_of, with_thought
from siftline.pipelines.output.formats.fitting import MisfitError, require_all_learned
from siftline.pipelines.output.formats.json_texts import dumped

_BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"
_CALL, _CALL_END = _MARKS = "<tool_call>", "</tool_call>"
_PERSON, _MODEL = ("human", "observation"), ("gpt", "function_call")


def sharegpt_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example as a line of the file.

    Args:
        row: With the columns of the examples.

    Raises:
        MisfitError: Its turns do not alternate, or it has what the format has no place for.
    """
    if row["media"]:
        raise MisfitError("media")
    turns: list[Message] = list(row["messages"])
    require_all_learned(turns)
    system = ""
    if turns[0]["role"] == "system":
        system = turns.pop(0)["content"]
        if not system:
            raise MisfitError("system_empty")
    if any(turn["role"] == "system" for turn in turns):
        raise MisfitError("system_later")
    made = _joined([_turn(turn) for turn in turns])
    for place, turn in enumerate(made):
        if turn["from"] not in (_MODEL if place % 2 else _PERSON):
            raise MisfitError("order")
    tools = tools_of(row["tools"])
    return {"conversations": made, "system": system, "tools": dumped(tools) if tools else ""}


def _turn(message: Message) -> dict[str, str]:
    role = message["role"]
    if role != "assistant":
        return {"from": "observation" if role == "tool" else "human", "value": message["content"]}
    if calls := calls_of(message):
        return {"from": "function_call", "value": _calling(message, calls)}
    return {"from": "gpt", "value": with_thought(message)}


def _calling(message: Message, calls: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of a turn that calls: a thought and words if there are any, then JSON."""
    functions = [call["function"] for call in calls]
    listed = [
        {"name": each["name"], "arguments": _arguments(each.get("arguments", {}))}
        for each in functions
    ]
    # Escaped, so that no argument is taken for a mark; JSON gives it back as it was.
    text = dumped(listed if len(listed) > 1 else listed[0]).replace("<", "\\u003c")
    said = with_thought(message)
    if any(mark in said for mark in _MARKS):
        raise MisfitError("marks")
    if not said:
        return text
    between = "\n" if message["content"] else ""
    return f"{said}{between}{_CALL}{text}{_CALL_END}"


def _arguments(arguments: Any) -> Any:
    """Return arguments as an object where they are one."""
    if isinstance(arguments, str):
        try:
            return json.loads(arguments)
        except ValueError:
            return arguments
    return arguments


def _joined(turns: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the turns, results that follow one another as one."""
    made: list[dict[str, str]] = []
    for speaker, group in groupby(turns, key=lambda turn: turn["from"]):
        if speaker == "observation":
            value = _BETWEEN_RESULTS.join(turn["value"] for turn in group)
            made.append({"from": speaker, "value": value})
        else:
            made += group
    return made
