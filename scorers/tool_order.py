"""Which result answers which call of a tool."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from siftline.contracts.examples import Message, calls_of

# Hermes and Qwen, Glaive, Llama, Mistral, Qwen-Agent, Anthropic's XML, ReAct, code in blocks.
_MARKS = (
    "<tool_call",
    "<tool_use",
    "<functioncall>",
    "<function_call",
    "<function=",
    "<|python_tag|>",
    "<|tool_call",
    "[tool_call",
    "\u273ffunction\u273f",
    "<invoke",
    "<execute",
    "<code>",
    "action:",
    "```",
)


@dataclass(eq=False)
class _Call:
    """A call that has no result yet: which one, of which turn, and of which run of turns."""

    id: str | None
    name: str
    turn: int
    run: int


def unmatched(messages: Sequence[Message]) -> Iterator[tuple[str, int, str]]:
    """Yield the calls that have no result, and the results that have no call.

    A result goes by the id of its call; where it has none, or no call has one, by the name of the
    tool; and else it answers the oldest open call of the newest turns that called. One without an
    id that stands alone answers all of them, as the observation after parallel calls does in
    ShareGPT's form. Calls at the end need no result: they are the response. Results without
    an id after a turn whose text holds the marks of a call are passed over: it cannot be told which
    call is whose.

    Yields:
        `call_without_result` or `result_without_call`, the number of the turn from 0, and the name
        of the tool or the id.
    """
    waiting: list[_Call] = []
    run = 0
    in_text = False
    for number, message in enumerate(messages):
        run += message["role"] != "assistant"
        if message["role"] == "assistant":
            in_text = not calls_of(message) and calls_in_text(message["content"])
        if message["role"] == "tool":
            answered = _answered(message, waiting, alone=_alone(messages, number))
            if not answered and not (in_text and message.get("tool_call_id") is None):
                yield "result_without_call", number, _named(message)
            waiting = [call for call in waiting if call not in answered]
        waiting += [_call(call, number, run) for call in calls_of(message)]
    end = _last_words(messages)
    for call in waiting:
        if call.turn < end:
            yield "call_without_result", call.turn, call.name


def calls_in_text(text: str) -> bool:
    """Return whether a text may call a tool: by the marks of a model family, or as code to be run.

    Such calls are no structure: they are left to whoever knows the family.
    """
    folded = text.casefold()
    return any(mark in folded for mark in _MARKS)


def _call(call: dict[str, Any], turn: int, run: int) -> _Call:
    call_id = call.get("id")
    name = str(call["function"].get("name"))
    return _Call(None if call_id is None else str(call_id), name, turn, run)


def _answered(message: Message, waiting: Sequence[_Call], *, alone: bool) -> list[_Call]:
    """Return the calls that a result answers."""
    call_id, name = message.get("tool_call_id"), message.get("name")
    if call_id is not None and any(call.id is not None for call in waiting):
        return [call for call in reversed(waiting) if call.id == call_id][:1]
    newest = [call for call in waiting if call.run == waiting[-1].run]
    fitting = [call for call in newest if name in (None, call.name)]
    return fitting if alone and call_id is None else fitting[:1]


def _alone(messages: Sequence[Message], number: int) -> bool:
    around = messages[max(0, number - 1) : number + 2]
    return sum(message["role"] == "tool" for message in around) == 1


def _named(message: Message) -> str:
    return message.get("tool_call_id") or message.get("name") or "without a name"


def _last_words(messages: Sequence[Message]) -> int:
    """Return the number of the first of the calling turns in which a conversation ends."""
    end = len(messages)
    while end and calls_of(messages[end - 1]):
        end -= 1
    return end
