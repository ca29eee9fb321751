r"""The template `plain`: conversations as text for models without a chat template of their own.

It is that of GRAPE (arXiv 2502.04194, section 3.2), made for base models:

    Question: {instruction}
    Answer: {response}

The paper has single turns of text only. Ours for the rest: the text of a system message stands
first, turns alternate as `Question:`, `Answer:` and `Tool:`, one below the other, and the last
answer is scored. The space before the response belongs to the response, because tokenizers join it
with the first word. A thought that came in a field stands before the content as
`<think>\n...\n</think>` and a blank line. Calls stand below the content, one below the other, each
as `<tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>`, without its id. The tools that
are offered stand before all turns: the line `Tools:`, and the JSON of each one in a line.
"""

import json
from collections.abc import Sequence
from typing import Any

from siftline.contracts.examples import Message, calls_of, with_thought
from siftline.models.chat_messages import Tools
from siftline.models.likelihood import Pair

_LABELS = {"user": "Question: ", "assistant": "Answer: ", "tool": "Tool: ", "system": ""}


def render_plain(messages: Sequence[Message], tools: Tools = ()) -> Pair:
    """Render a conversation through the template `plain`.

    Args:
        messages: The turns; the last one is the response.
        tools: What it offers to be called.
    """
    return Pair(plain_prompt(messages[:-1], tools), " " + plain_turn(messages[-1]))


def plain_prompt(messages: Sequence[Message], tools: Tools = ()) -> str:
    """Render the turns before a response through the template `plain`."""
    lines = [_LABELS[message["role"]] + plain_turn(message) for message in messages]
    return "\n".join([*plain_tools(tools), *lines, "Answer:"])


def plain_tools(tools: Tools) -> list[str]:
    """Return the lines that list tools; none without any."""
    return ["Tools:", *map(_json, tools)] if tools else []


def plain_turn(message: Message) -> str:
    """Return a turn as text: its thought, what it says, and what it calls."""
    calls = "\n".join(_call(call["function"]) for call in calls_of(message))
    between = "\n" if calls and message["content"] else ""
    return with_thought(message) + between + calls


def _call(function: dict[str, Any]) -> str:
    called = {"name": function["name"], "arguments": function["arguments"]}
    return f"<tool_call>\n{_json(called)}\n</tool_call>"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
