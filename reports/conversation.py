"""A conversation as a reader of the report sees it: words, thoughts, calls, and what came along."""

import json
from collections.abc import Sequence
from typing import Any

from siftline.contracts.examples import PARTS, Message, calls_of, tools_of

SHOWN_TOOLS = 8


def turn_text(message: Message, parts: Sequence[Any] = ()) -> str:
    """Return what a turn holds: its thought, its text, its calls, and marks of its media.

    Args:
        message: The turn.
        parts: Those that its content came in, where some are no text.
    """
    kinds = [part.get("type", "part") for part in parts if isinstance(part, dict)]
    lines = [
        *([f"[thought] {message['reasoning']}"] if message.get("reasoning") else []),
        *([f"[{kind}]" for kind in kinds if kind not in _TEXTS]),
        *([message["content"]] if message["content"] else []),
        *[_call_text(call) for call in calls_of(message)],
    ]
    return "\n".join(lines) or "[nothing]"


_TEXTS = ("text", "input_text", "output_text")


def prompt_text(messages: Sequence[Message], media: str | None) -> str:
    """Return all turns but the last, each after who speaks."""
    parts = _parts(media)
    return "\n".join(
        f"{_speaker(message)}: {turn_text(message, parts.get(str(number), ()))}"
        for number, message in enumerate(messages[:-1])
    )


def response_text(messages: Sequence[Message], media: str | None) -> str:
    """Return the last turn."""
    return turn_text(messages[-1], _parts(media).get(str(len(messages) - 1), ()))


def attached(tools: str | None, media: str | None) -> list[str]:
    """Return what comes along with a conversation: the tools that it offers, and its media."""
    names = [_name(tool) for tool in tools_of(tools)]
    more = f" and {len(names) - SHOWN_TOOLS:,} more" if len(names) > SHOWN_TOOLS else ""
    columns = [name for name in (json.loads(media) if media else {}) if name != PARTS]
    return [
        *([f"offers {', '.join(names[:SHOWN_TOOLS])}{more}"] if names else []),
        *([f"with {', '.join(columns)}"] if columns else []),
    ]


def _parts(media: str | None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(media).get(PARTS, {}) if media else {}
    return found


def _speaker(message: Message) -> str:
    """Return who speaks, of which tool, and that a turn is not trained on."""
    name = f" ({message['name']})" if message.get("name") else ""
    return f"{message['role']}{name}{', not trained on' if message.get('weight') == 0 else ''}"


def _call_text(call: dict[str, Any]) -> str:
    function = call["function"]
    arguments = function.get("arguments")
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f"[call] {function.get('name')} {written}"


def _name(tool: Any) -> str:
    function = tool.get("function", tool) if isinstance(tool, dict) else tool
    name = function.get("name", tool.get("type")) if isinstance(function, dict) else function
    return str(name)[:80]
