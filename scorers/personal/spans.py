"""Where personal data stands in a row, as a text that holds none of it.

    turn 2 content 14-33; turn 3 calls 4 0-19; metadata 2 0-12

Turns and the strings inside JSON are counted from 1, characters from 0.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of one of the texts of a row."""

    place: str
    start: int
    end: int


def written(spans: Iterable[Span]) -> str | None:
    """Return spans as one text; None without any."""
    return "; ".join(f"{each.place} {each.start}-{each.end}" for each in spans) or None


def spans_of(text: str | None) -> Iterator[Span]:
    """Yield the spans that a text names."""
    for each in text.split("; ") if text else ():
        place, _, stretch = each.rpartition(" ")
        start, _, end = stretch.partition("-")
        yield Span(place, int(start), int(end))


def count(text: str | None) -> int:
    """Return how many spans a text names."""
    return text.count("; ") + 1 if text else 0
