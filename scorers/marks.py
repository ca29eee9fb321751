"""Marks that stand in pairs: of thoughts, and of code blocks in Markdown.

Marks of thoughts count wherever they stand, in code and in quotations too: chat templates split a
turn at them, and scorers read what follows the last one, without a look at what is around them.
"""

import re

from siftline.models.thoughts import THOUGHTS

_MARK = re.compile("|".join(re.escape(mark) for pair in THOUGHTS for mark in pair))
_OPENINGS = dict(THOUGHTS)
# What a fence may stand behind: indentation, quotation, and the mark of an item of a list.
_FENCE = re.compile(r"\A[ \t]*(?:(?:>|[-+*][ \t]|[0-9]{1,9}[.)][ \t])[ \t]*)*(`{3,}|~{3,})(.*)")


def broken_thought(text: str) -> str | None:
    """Return what is wrong with the marks of thoughts; None where every thought opens and closes.

    Within a thought only its own marks count. A first mark that closes is right: the prompt may
    have opened it (:func:`unopened_thought`).
    """
    opened = ""
    for number, match in enumerate(_MARK.finditer(text)):
        mark = match[0]
        if opened:
            if mark == opened:
                return f"{mark} opens twice"
            opened = "" if mark == _OPENINGS[opened] else opened
        elif mark in _OPENINGS:
            opened = mark
        elif number:
            return f"{mark} closes nothing"
    return f"{opened} is not closed" if opened else None


def unopened_thought(text: str) -> str | None:
    """Return the mark that closes a thought which the text has not opened, as its first mark."""
    first = _MARK.search(text)
    return first[0] if first and first[0] not in _OPENINGS else None


def open_fence(text: str) -> int | None:
    """Return the line, from 1, of the fence of a code block that is never closed.

    A fence is CommonMark's: three or more backticks or tildes that begin a line; it is closed by as
    many of the same or more, with nothing behind them. How far a line is indented counts for
    nothing here, since models indent the fences of a list's items as they like.
    """
    if "```" not in text and "~~~" not in text:
        return None
    fence, opened = "", None
    for number, line in enumerate(text.split("\n"), 1):
        match = _FENCE.match(line)
        if not match:
            continue
        mark, info = match.groups()
        if not fence:
            if mark[0] == "~" or "`" not in info:
                fence, opened = mark, number
        elif mark.startswith(fence) and not info.strip():
            fence, opened = "", None
    return opened
