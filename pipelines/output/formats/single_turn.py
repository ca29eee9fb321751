"""`alpaca` and `prompt_completion`: one question and one answer a line."""

from collections.abc import Mapping
from typing import Any

from siftline.contracts.examples import Message, tools_of, with_thought
from siftline.pipelines.output.formats.fitting import MisfitError, require_all_learned


def alpaca_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example as `instruction`, `input` (empty), `output` and `system`.

    A thought stands before the answer, in a block `<think>`.

    Args:
        row: With the columns of the examples.

    Raises:
        MisfitError: It is more than one question and one answer, after a system turn at most.
    """
    *system, question, answer = _single(row)
    return {
        "instruction": question["content"],
        "input": "",
        "output": with_thought(answer),
        "system": system[0]["content"] if system else "",
    }


def prompt_completion_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example as `prompt` and `completion`, two texts; as :func:`alpaca_row`.

    Raises:
        MisfitError: As there, or it has a system turn, for which there is no field.
    """
    *system, question, answer = _single(row)
    if system:
        raise MisfitError("system")
    return {"prompt": question["content"], "completion": with_thought(answer)}


def _single(row: Mapping[str, Any]) -> list[Message]:
    """Return the turns of a row: a system turn if there is one, a question, an answer."""
    turns: list[Message] = row["messages"]
    if row["media"]:
        raise MisfitError("media")
    if any(turn.get("tool_calls") or turn["role"] == "tool" for turn in turns):
        raise MisfitError("calls")
    if tools_of(row["tools"]):
        raise MisfitError("tools")
    roles = [turn["role"] for turn in turns if turn["role"] != "system"]
    if roles != ["user", "assistant"]:
        raise MisfitError("turns")
    if [turn["role"] for turn in turns[:-2]] not in ([], ["system"]):
        raise MisfitError("system_later")
    if turns[0]["role"] == "system" and not turns[0]["content"]:
        raise MisfitError("system_empty")
    require_all_learned(turns)
    return turns
