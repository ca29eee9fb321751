"""Scanning tables of rows: those in which nothing can be are told by column, the others read."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import re2

from siftline.scorers.flat_turns import flat_turns
from siftline.scorers.personal.finding import find_all, with_signs
from siftline.scorers.personal.finds import Find, Options
from siftline.scorers.personal.places import OF_ROWS, OF_TURNS, with_texts
from siftline.scorers.personal.spans import Span, written

Look = Callable[[str, str], Mapping[str, Sequence[Find]]]  # text, key of a JSON value -> by kind

_IMAGE = re2.compile(r"data:[a-z]+/[A-Za-z0-9.+-]+;base64,[A-Za-z0-9+/=\s]*")  # or a sound, a file


def scan(rows: pa.Table, options: Options, kinds: Sequence[str]) -> dict[str, pa.Array]:
    """Return, by kind, where each row holds personal data that patterns tell.

    Args:
        rows: With any of `messages`, `tools`, `media` and `metadata`.
        options: What counts.
        kinds: Those that are wanted.
    """
    look = functools.partial(find_all, options=options)
    return found_in(rows, rows_with_signs(rows), look, kinds)


def found_in(
    rows: pa.Table, wanted: npt.NDArray[np.bool_], look: Look, kinds: Sequence[str]
) -> dict[str, pa.Array]:
    """Return, by kind, where each row holds personal data, null where it holds none.

    Args:
        rows: As :func:`scan`.
        wanted: [rows] True for those that are read.
        look: What finds it.
        kinds: Those that are wanted.
    """
    places = np.flatnonzero(wanted)
    columns: dict[str, list[str | None]] = {kind: [None] * len(rows) for kind in kinds}
    for place, row in zip(places.tolist(), rows.take(pa.array(places)).to_pylist(), strict=True):
        for kind, spans in finds_of(row, look).items():
            if kind in columns:
                columns[kind][place] = written(spans)
    return {kind: pa.array(texts, pa.string()) for kind, texts in columns.items()}


def finds_of(row: Mapping[str, Any], look: Look) -> dict[str, list[Span]]:
    """Return, by kind, where a row holds personal data.

    Args:
        row: As :func:`siftline.scorers.personal.places.with_texts` takes it.
        look: What finds it in a text.
    """
    found: dict[str, list[Span]] = {}

    def read(place: str, text: str, key: str) -> str:
        if not _IMAGE.fullmatch(text):
            for kind, finds in look(text, key).items():
                found.setdefault(kind, []).extend(Span(place, *each) for each in finds)
        return text

    with_texts(row, read)
    return found


def rows_with_signs(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """Return [rows] true for those that may hold personal data."""
    found = np.zeros(len(rows), dtype=bool)
    if "messages" in rows.column_names:
        turns = flat_turns(rows)
        signs = np.zeros(len(turns), dtype=bool)
        for name in (*OF_TURNS, "tool_calls"):
            signs |= _signs(turns[name], is_json=name == "tool_calls")
        found[turns["row"].to_numpy()[signs]] = True
    for name in OF_ROWS:
        if name in rows.column_names:
            found |= _signs(rows[name], is_json=True)
    return found


def _signs(column: pa.ChunkedArray, *, is_json: bool) -> npt.NDArray[np.bool_]:
    if column.null_count == len(column):
        return np.zeros(len(column), dtype=bool)
    signs: npt.NDArray[np.bool_] = with_signs(column, is_json=is_json).to_numpy()
    return signs
