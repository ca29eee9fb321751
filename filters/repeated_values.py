"""Where values that are masked stand again: written alike, or without their spaces and dashes.

A finder may need a word beside a value to tell it ("my card 4539..."), and the value may come back
without one ("declined 4539..."). What one text of a row gives away, no other may keep.
"""

from collections.abc import Iterable, Iterator

import re2

_WORD = re2.compile(r"[\pL\pN]+")
_SHORTEST = 7
_NUMBERS = ("phone", "credit_card", "iban")  # may be written with and without separators


class RepeatedValues:
    """The values of one row, found again in a text in one walk over its words.

    A word, or a name of one word, may mean something else elsewhere: what has neither a digit nor a
    space, or is shorter than seven characters, is not looked for again.
    """

    def __init__(self, values: Iterable[tuple[str, str]]) -> None:
        """Take the values, each behind its kind."""
        self._kinds: dict[str, str] = {}
        self._lengths: dict[str, set[tuple[int, int]]] = {}  # by first word: before it, in all
        for kind, value in values:
            for written in _spellings(kind, value):
                self._add(kind, written)

    def _add(self, kind: str, written: str) -> None:
        first = _WORD.search(written)
        if first is None or len(written) < _SHORTEST or written in self._kinds:
            return
        if any(c.isdigit() or c == " " for c in written):
            self._kinds[written] = kind
            lengths = self._lengths.setdefault(first.group(), set())
            lengths.add((first.start(), len(written)))

    def places(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield where values stand in a text, with their kinds, in order and apart."""
        if not self._kinds:
            return
        last = 0
        for word in _WORD.finditer(text):
            for before, length in sorted(self._lengths.get(word.group(), ()), reverse=True):
                start = word.start() - before
                end = start + length
                kind = self._kinds.get(text[start:end]) if start >= last else None
                if kind and _is_whole(text, start, end):
                    yield start, end, kind
                    last = end
                    break


def _spellings(kind: str, value: str) -> Iterator[str]:
    """Yield a value as it is written, and a number without what groups it."""
    yield value
    if kind in _NUMBERS:
        yield "".join(c for c in value if c.isalnum())


def _is_whole(text: str, start: int, end: int) -> bool:
    """Return whether no word or number goes on where a value begins and ends."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if (before[-1:].isalnum() and text[start].isalnum()) or after[:1].isalnum():
        return False
    decimal = before[-1:] in (".", ",") and before[:1].isdigit()
    return not decimal and not (after[:1] in (".", ",") and after[1:].isdigit())
