"""Where personal data stands in a row, as a text that holds none of it.

    turn 2 content 14-33; turn 3 calls 4 0-19; metadata 2 0-12

Turns and the strings inside JSON are counted from 1, characters from 0.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_BETWEEN = "; "


class Span(NamedTuple):
    """A stretch of one of the texts of a row."""

    place: str
    start: int
    end: int


def written(spans: Iterable[Span]) -> str | None:
    """Return spans as one text; None without any."""
    return _BETWEEN.join(f"{each.place} {each.start}-{each.end}" for each in spans) or None


def spans_of(text: str | None) -> Iterator[Span]:
    """Yield the spans that a text names."""
    for each in text.split(_BETWEEN) if text else ():
        place, _, stretch = each.rpartition(" ")
        start, _, end = stretch.partition("-")
        yield Span(place, int(start), int(end))


def counts_of(column: pa.Array) -> npt.NDArray[np.int64]:
    """Return [rows] how many spans each text of a column names."""
    counts = pc.add(pc.count_substring(column, _BETWEEN), 1)
    found: npt.NDArray[np.int64] = pc.fill_null(counts, 0).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)
