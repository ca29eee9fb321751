"""Answers that should be JSON and are not: the prompt asks for it, and it cannot be read.

JSON is asked for where a sentence of the system's or the last user's turn has a verb of answering
(return, respond, reply, answer, output, provide, give, produce, generate, write, format, convert)
and, right behind it or at most 60 characters later behind `in`, `as`, `to`, `into`, `with`, `a`,
`valid` or `only`, the word JSON, which is not followed by file, parser, schema, library, function
or API. What is read is the first ```` ```json ```` block, or else an answer that begins with a
bracket; an answer with neither is not judged, since prose and code may be right. Text behind the
JSON is allowed, as are several values (JSON Lines).
"""

import json

from siftline.contracts.patterns import linear_pattern
from siftline.scorers.surface.check import Check, Turn

_ASKS = linear_pattern(
    r"\b(?:return|respond|reply|answer|output|provide|give|produce|generate|write|format(?:ted)?"
    r"|convert)\b(?:[^.!?\n]{0,60}\b(?:in|as|to|into|with|a|valid|only))? (?:valid |a |an |only )*"
    r"JSON\b(?: *(?:[.,:;!?\n(]|\z)| (?:object|array|format|string|list|document|output|response"
    r"|with|that|containing|and|only)\b)",
    ignore_case=True,
)
_BLOCK = linear_pattern(r"(?s)```(?:json|JSON)[ \t]*\r?\n(.*?)(?:```|\z)")
_MAY_HAVE = r"(?:\A\s*[{\[])|(?:```(?:json|JSON))"
_CLOSES = {"{": "}", "[": "]"}
_TOKEN = linear_pattern(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def _find(turn: Turn) -> str | None:
    block = _BLOCK.search(turn.text)
    text = block.group(1) if block else turn.text
    if not text.lstrip().startswith(("{", "[")) and not block:
        return None
    users = [m["content"] for m in turn.earlier if m["role"] == "user"][-1:]
    systems = [m["content"] for m in turn.earlier if m["role"] == "system"]
    if not any(_ASKS.search(asked) for asked in (*systems, *users)):
        return None
    problem = json_problem(text)
    if problem is None:
        return None
    line = turn.text[: block.start(1)].count("\n") if block else 0
    what, place = problem
    at = text[:place]
    return f"line {line + at.count(chr(10)) + 1}, column {place - at.rfind(chr(10))}: {what}"


def json_problem(text: str) -> tuple[str, int] | None:
    """Return what is wrong with JSON, and the place in the text; None where it can be read.

    A bracket that is not closed, or closes nothing, is named before anything else.
    """
    begin = len(text) - len(text.lstrip())
    try:
        json.JSONDecoder(strict=False).raw_decode(text, begin)
    except json.JSONDecodeError as error:
        return _unbalanced(text) or (error.msg, error.pos)
    except RecursionError:
        return "it is nested too deeply to be read", begin
    except ValueError as error:  # a number of thousands of digits
        return str(error).partition(":")[0], begin
    return None


def _unbalanced(text: str) -> tuple[str, int] | None:
    """Return the first bracket that does not fit the others, outside of strings."""
    opened: list[tuple[str, int]] = []
    for match in _TOKEN.finditer(text):
        bracket, place = match.group(), match.start()
        if bracket in _CLOSES:
            opened.append((bracket, place))
        elif bracket in "]}":
            if not opened:
                return f"'{bracket}' closes nothing", place
            opening, _ = opened.pop()
            if _CLOSES[opening] != bracket:
                return f"'{bracket}' closes '{opening}'", place
            if not opened:  # the value is over
                return None
    return (f"'{opened[-1][0]}' is not closed", opened[-1][1]) if opened else None


JSON_INVALID = Check(_MAY_HAVE, _find)
