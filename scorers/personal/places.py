"""All texts of a conversation, each with a name of its place that holds nothing of the text.

Strings inside JSON, keys and values, are numbered in their order: `tools 4`, `turn 3 calls 2`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from siftline.contracts.examples import Message

Replace = Callable[[str, str, str], str]  # place, text, key of a JSON value -> text

OF_TURNS = ("content", "reasoning", "name")
OF_ROWS = ("tools", "media", "metadata")
_LONG_NUMBER = 10**6  # a number below it is too short for any kind


def with_texts(row: Mapping[str, Any], replace: Replace) -> dict[str, Any]:
    """Return a row with other texts.

    Args:
        row: With any of `messages`, `tools`, `media`, `metadata`.
        replace: Called with each text in the order of the places; what it returns stands there.
            JSON in which nothing is replaced stays to the letter.
    """
    changed: dict[str, Any] = {}
    if row.get("messages") is not None:
        changed["messages"] = [
            _turn(message, f"turn {number}", replace)
            for number, message in enumerate(row["messages"], start=1)
        ]
    for name in OF_ROWS:
        if row.get(name):
            changed[name] = in_json(row[name], name, replace)
    return {**row, **changed}


def _turn(message: Message, place: str, replace: Replace) -> dict[str, Any]:
    turn: dict[str, Any] = dict(message)
    for name in OF_TURNS:
        if turn.get(name):
            turn[name] = replace(f"{place} {name}", turn[name], "")
    if turn.get("tool_calls"):
        turn["tool_calls"] = _in_calls(turn["tool_calls"], f"{place} calls", replace)
    return turn


def in_json(text: str, place: str, replace: Replace) -> str:
    """Return JSON with other strings in it, keys too. A long number is taken for its digits.

    Args:
        text: The JSON.
        place: Its name.
        replace: As for :func:`with_texts`.
    """
    walk = _Walk(place, replace)
    value = walk.value(json.loads(text), "")
    return json.dumps(value, ensure_ascii=False) if walk.changed else text


def _in_calls(text: str, place: str, replace: Replace) -> str:
    """Return calls with other strings; their ids stay, since results name them."""
    calls = json.loads(text)
    ids = [call.pop("id", None) if isinstance(call, dict) else None for call in calls]
    walk = _Walk(place, replace)
    calls = walk.value(calls, "")
    if not walk.changed:
        return text
    named = [
        call if given is None else {"id": given, **call}
        for call, given in zip(calls, ids, strict=True)
    ]
    return json.dumps(named, ensure_ascii=False)


class _Walk:
    """A walk through a JSON value that counts its strings."""

    def __init__(self, place: str, replace: Replace) -> None:
        self._place, self._replace = place, replace
        self._number = 0
        self.changed = False

    def value(self, value: Any, key: str) -> Any:
        """Return a value with other strings in it.

        Args:
            value: The value.
            key: Under which it stands, in the nearest object around it.
        """
        if isinstance(value, str):
            return self._text(value, key)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int | float):
            return self._numeral(value, key)
        if isinstance(value, list):
            return [self.value(each, key) for each in value]
        made: dict[str, Any] = {}
        for name, each in value.items():
            new = self._text(name, "")
            while new in made:  # two spellings of one value; no member may be lost
                new += "'"
            made[new] = self.value(each, name)
        return made

    def _text(self, text: str, key: str) -> str:
        self._number += 1
        new = self._replace(f"{self._place} {self._number}", text, key)
        self.changed |= new != text
        return new

    def _numeral(self, value: float, key: str) -> Any:
        if isinstance(value, float) or abs(value) < _LONG_NUMBER:
            return value
        new = self._text(str(value), key)
        return value if new == str(value) else new
