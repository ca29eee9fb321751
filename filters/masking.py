"""Masks: personal data replaced everywhere in a row, the same value by the same mark.

Marks are numbered in the order in which their values stand in the row, for each kind by itself. A
number whose mark some text of the row already has is passed over. A value that stands again where
no finder has told it is masked there, too.
"""

import bisect
import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import re2

from siftline.filters.repeated_values import RepeatedValues
from siftline.scorers.personal.folding import folded
from siftline.scorers.personal.places import with_texts
from siftline.scorers.personal.spans import Span

PREVIOUS = "previous"  # the place of what stands in a response that was replaced
_SAMPLE = 987654321  # a number in a mark, to be found again in its pattern
NAMES = {"credit_card": "CARD"}  # of kinds in marks; others are their own in capitals


def masked(
    row: Mapping[str, Any], found: Mapping[str, Iterable[Span]], mark: str
) -> dict[str, Any]:
    """Return a row with marks in the place of personal data.

    Args:
        row: With `messages`, `tools`, `media`, `metadata`.
        found: By kind, where it stands; spans of several kinds may overlap.
        mark: What a mark looks like, with `{kind}` and `{number}`.
    """
    by_place: dict[str, list[tuple[int, int, str]]] = {}
    for kind, spans in found.items():
        for span in spans:
            by_place.setdefault(span.place, []).append((span.start, span.end, kind))
    by_place.pop(PREVIOUS, None)
    merged = {place: _merged(each) for place, each in by_place.items()}
    texts = _texts_of(row)
    marks = _Marks(mark, "\n".join(texts.values()))
    repeated = RepeatedValues(
        (kind, texts[place][start:end])
        for place, each in merged.items()
        for start, end, kind in each
        if place in texts
    )

    def replace(place: str, text: str, key: str) -> str:
        pieces, last = [], 0
        for start, end, kind in _with_repeated(merged.get(place, []), repeated.places(text)):
            pieces += [text[last:start], marks.of(kind, text[start:end])]
            last = end
        return "".join([*pieces, text[last:]]) if pieces else text

    return with_texts(row, replace)


def _merged(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return spans in order, those that overlap as one, of the kind that begins first."""
    merged: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
        else:
            merged.append((start, end, kind))
    return merged


def _with_repeated(
    found: list[tuple[int, int, str]], repeated: Iterable[tuple[int, int, str]]
) -> list[tuple[int, int, str]]:
    """Return what was found, and what stands again beside it, in order."""
    starts = [start for start, _, _ in found]
    beside = []
    for start, end, kind in repeated:
        place = bisect.bisect_right(starts, start)
        free_before = not place or found[place - 1][1] <= start
        if free_before and (place == len(found) or end <= starts[place]):
            beside.append((start, end, kind))
    return sorted([*found, *beside])


def _texts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of a row by their places."""
    texts: dict[str, str] = {}

    def read(place: str, text: str, key: str) -> str:
        texts[place] = text
        return text

    with_texts(row, read)
    return texts


class _Marks:
    """Gives out the marks of one row."""

    def __init__(self, mark: str, texts: str) -> None:
        self._mark, self._texts = mark, texts
        self._given: dict[tuple[str, str], str] = {}
        self._last: Counter[str] = Counter()
        self._there: dict[str, set[str]] = {}  # by kind, the numbers that the row has already

    def of(self, kind: str, value: str) -> str:
        """Return the mark of a value."""
        known = (kind, same(kind, value))
        if known not in self._given:
            self._given[known] = self._next(kind)
        return self._given[known]

    def _next(self, kind: str) -> str:
        if kind not in self._there:
            written = re2.escape(mark_of(self._mark, kind, _SAMPLE))
            numbered = written.replace(str(_SAMPLE), "([0-9]+)", 1).replace(str(_SAMPLE), "[0-9]+")
            self._there[kind] = set(re2.findall(numbered, self._texts))
        self._last[kind] += 1
        while str(self._last[kind]) in self._there[kind]:
            self._last[kind] += 1
        return mark_of(self._mark, kind, self._last[kind])


def mark_of(mark: str, kind: str, number: int) -> str:
    """Return a mark as it stands in a text."""
    name = NAMES.get(kind, kind.upper())
    return mark.replace("{kind}", name).replace("{number}", str(number))


def same(kind: str, value: str) -> str:
    """Return what is equal for spellings of one value."""
    if kind == "ip":
        return str(ipaddress.ip_address(folded(value)))
    if kind in ("phone", "credit_card", "iban"):
        return "".join(c for c in folded(value) if c.isalnum() or c == "+")
    return value if kind == "secret" else " ".join(value.casefold().split())
