"""Rows of every kind that is trained on, and what of each a trainer must train on.

The first user turn of a row names it, since trainers shuffle rows and drop their other columns.
"""

from typing import Any

_CITY: dict[str, Any] = {
    "city": {"type": "string"},
    "unit": {"type": ["string", "null"], "default": None},
}
_WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "parameters": {"type": "object", "properties": _CITY, "required": ["city"]},
    },
}
_CLOCK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "Tell the time of a zone.",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
    },
}


def _call(name: str, number: int, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"c{number}", "type": "function", "function": function}


def _said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def _asked(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _result(text: str, number: int) -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": f"c{number}"}


_ROME = _call("weather", 1, city="Rome", unit=None)
_OSLO = _call("weather", 1, city="Oslo")
_TURNS: dict[str, list[dict[str, Any]]] = {
    "single": [_asked("[single] Hi?"), _said("Hello.")],
    "several": [_asked("[several] One?"), _said("1."), _asked("Two?"), _said("2.")],
    "system": [
        {"role": "system", "content": "Be brief."},
        _asked("[system] Yes or no?"),
        _said("Yes."),
    ],
    "unicode": [_asked("[unicode] Grüße an 你?"), _said("Schön 🙂\u2028 «ja»")],
    "calls": [_asked("[calls] Rain?"), _said("", tool_calls=[_ROME])],
    "says and calls": [_asked("[says and calls] Rain?"), _said("I look.", tool_calls=[_OSLO])],
    "calls twice": [
        {"role": "system", "content": "Use tools."},
        _asked("[calls twice] Rain, and the time?"),
        _said("", tool_calls=[_OSLO, _call("clock", 2, zone="CET", ahead=0.7)]),
        _result("dry", 1),
        _result("noon", 2),
        _said("It is dry, at noon."),
    ],
    "thinks": [_asked("[thinks] 2 + 2?"), _said("4.", reasoning_content="Two and two.")],
    "thinks often": [
        _asked("[thinks often] 2 + 2?"),
        _said("4.", reasoning_content="Two and two."),
        _asked("3 + 3?"),
        _said("6.", reasoning_content="Three twice."),
    ],
    "thinks and calls": [
        _asked("[thinks and calls] Rain?"),
        _said("", reasoning_content="I need a tool.", tool_calls=[_OSLO]),
    ],
    "thinks aloud": [
        _asked("[thinks aloud] 5 + 5?"),
        _said("<think>\nFive twice.\n</think>\n\n10."),
    ],
    "thinks aloud and calls": [
        _asked("[thinks aloud and calls] Rain?"),
        _said("<think>\nI need a tool.\n</think>\n\n", tool_calls=[_OSLO]),
    ],
    "weighted": [
        _asked("[weighted] A bad one?"),
        _said("Bad.", weight=0),
        _asked("A good one?"),
        _said("Good.", weight=1),
    ],
    "goes on": [_asked("[goes on] Go on."), _said("First."), _said("", tool_calls=[_OSLO])],
}
_TOOLS: dict[str, list[dict[str, Any]]] = {
    "calls": [_WEATHER, _CLOCK],
    "says and calls": [_WEATHER],
    "calls twice": [_WEATHER, _CLOCK],
    "thinks and calls": [_WEATHER],
    "thinks aloud and calls": [_WEATHER],
    "goes on": [_WEATHER],
}
ROWS: dict[str, dict[str, Any]] = {
    name: {"id": name, "messages": turns, **({"tools": _TOOLS[name]} if name in _TOOLS else {})}
    for name, turns in _TURNS.items()
}

ROME = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome", "unit": null}}\n</tool_call>'
OSLO = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
CLOCK = '<tool_call>\n{"name": "clock", "arguments": {"zone": "CET", "ahead": 0.7}}\n</tool_call>'

# What the chat template makes of the turns that are to be learned, without the mark of their end.
RESPONSES = {
    "single": ["Hello."],
    "several": ["1.", "2."],
    "system": ["Yes."],
    "unicode": ["Schön 🙂\u2028 «ja»"],
    "calls": [ROME],
    "says and calls": [f"I look.\n{OSLO}"],
    "calls twice": [f"{OSLO}\n{CLOCK}", "It is dry, at noon."],
    "thinks": ["<think>\nTwo and two.\n</think>\n\n4."],
    "thinks often": [
        "<think>\nTwo and two.\n</think>\n\n4.",
        "<think>\nThree twice.\n</think>\n\n6.",
    ],
    "thinks and calls": [f"<think>\nI need a tool.\n</think>\n\n{OSLO}"],
    "thinks aloud": ["<think>\nFive twice.\n</think>\n\n10."],
    "thinks aloud and calls": [f"<think>\nI need a tool.\n</think>\n\n\n{OSLO}"],
    "weighted": ["Good."],
    "goes on": ["First.", OSLO],
}


def prompt_texts(name: str) -> list[str]:
    """Return the texts that a trainer must have seen of a row beside what it is to learn."""
    said = [turn["content"] for turn in _TURNS[name] if turn["role"] != "assistant"]
    return said + [tool["function"]["description"] for tool in _TOOLS.get(name, [])]
