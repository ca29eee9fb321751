"""A search for one fault of an assistant's turn: a cheap look at a column, then a close one."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import re2

from siftline.contracts.examples import Message
from siftline.contracts.patterns import linear_pattern


class Turn(NamedTuple):
    """A turn of the assistant.

    Attributes:
        text: What it says after its thought; all of it where a fault is looked for in thoughts too.
        earlier: The turns before it.
    """

    text: str
    earlier: Sequence[Message]

    def asked(self) -> str:
        """Return what the system and the user have said before it, a line feed between turns."""
        return "\n".join(m["content"] for m in self.earlier if m["role"] in ("system", "user"))


class Check(NamedTuple):
    """A search for one fault.

    Attributes:
        may_have: A pattern of RE2 that a text with the fault contains, for whole columns.
        find: Returns where the fault is, or None.
        thoughts: Whether it is looked for in thoughts too.
    """

    may_have: str
    find: Callable[[Turn], str | None]
    thoughts: bool = False


_CODE = linear_pattern(r"(?s)```.*?(?:```|\z)|~~~.*?(?:~~~|\z)|`[^`\n]*`")


def without_code(text: str) -> str:
    """Return a text of the same length with blanks in the place of code, fenced or in a line."""
    if "`" not in text and "~~~" not in text:
        return text
    blank: str = _CODE.sub(lambda match: " " * len(match.group()), text)
    return blank


def escaped(texts: Sequence[str]) -> str:
    """Return a pattern for any of some texts to the letter, the longest first."""
    return "|".join(re2.escape(text) for text in sorted(texts, key=len, reverse=True))
