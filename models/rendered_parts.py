"""Whether a rendered text holds what it was made from: texts, and the calls of tools.

Templates indent, strip and escape, so texts are compared without their white space, as they stand
or as JSON writes them. The arguments of a call are found as JSON of the same value; templates that
have a syntax of their own write keys and values one after the other, some in another order.
"""

import contextlib
import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

# Templates that write values one by one may write these as Python does.
_PYTHONS = {"null": "None", "true": "True", "false": "False"}


def squeezed(text: str) -> str:
    """Return a text without white space."""
    return "".join(text.split())


# Of one rendered text many questions are asked, each of which would read all of it.
_squeezed_whole = functools.lru_cache(maxsize=4)(squeezed)


def holds_text(rendered: str, text: str) -> bool:
    """Return whether a rendered text holds a text, white space apart, as it is or as JSON."""
    there = _squeezed_whole(rendered)
    return any(squeezed(each) in there for each in _spellings(text))


def holds_call(rendered: str, call: dict[str, Any]) -> bool:
    """Return whether a rendered text holds name and arguments of a call.

    An object that is written as Python would, in quotes of its own, is none that a model has seen.
    """
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    if not holds_text(rendered, name):
        return False
    if isinstance(arguments, str):  # what was no JSON
        return holds_text(rendered, arguments)
    # As most templates write them: no object of a long conversation has to be parsed.
    if any(text in rendered for text in _json_of(arguments)):
        return True
    if any(value == arguments for value in objects_in(rendered)):
        return True
    return repr(arguments) not in rendered and _in_any_order(rendered, list(leaves_of(arguments)))


def holds_calls(rendered: str, calls: Sequence[dict[str, Any]]) -> bool:
    """Return whether a rendered text holds all calls, each name as often as it is called."""
    names = [squeezed(call["function"]["name"]) for call in calls]
    there = _squeezed_whole(rendered)
    often = all(there.count(name) >= names.count(name) for name in names)
    return often and all(holds_call(rendered, call) for call in calls)


def strings_in(value: Any) -> Iterator[str]:
    """Yield all texts inside a value of JSON, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings_in(each)


def leaves_of(value: Any) -> Iterator[str]:
    """Yield keys and scalar values of a value of JSON, in order, as text."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from leaves_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves_of(each)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def objects_in(text: str) -> Iterator[Any]:
    """Yield every object of JSON that begins somewhere in a text."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        # What is no JSON is a brace of the template, or of a text.
        with contextlib.suppress(ValueError, RecursionError):
            yield decoder.raw_decode(text, start)[0]
        start = text.find("{", start + 1)


def in_order(text: str, parts: Sequence[str]) -> bool:
    """Return whether a rendered text holds some texts one after the other."""
    there, place = _squeezed_whole(text), 0
    for part in parts:
        found = [
            start + len(squeezed(each))
            for each in _spellings(part)
            if (start := there.find(squeezed(each), place)) >= 0
        ]
        if not found:
            return False
        place = min(found)
    return True


def _in_any_order(text: str, parts: Sequence[str]) -> bool:
    there = _squeezed_whole(text)
    return all(
        any(there.count(squeezed(each)) >= parts.count(part) for each in _spellings(part))
        for part in parts
    )


def _json_of(value: Any) -> tuple[str, ...]:
    return tuple(json.dumps(value, ensure_ascii=way) for way in (False, True))


def _spellings(text: str) -> tuple[str, ...]:
    """Return a text as it is, as JSON writes it between its quotes, and null, say, as None."""
    spelt = (json.dumps(text, ensure_ascii=way)[1:-1] for way in (False, True))
    return (text, *spelt, _PYTHONS.get(text, text))
