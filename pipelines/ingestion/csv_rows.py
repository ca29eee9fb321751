"""CSV, read as a stream of rows."""

import csv
import io
from collections.abc import Iterator
from typing import IO, Any

from siftline.pipelines.ingestion.rows import (
    RAW_CHARS,
    BadRow,
    BrokenFileError,
    check_names,
    too_large,
)

_ROW_LIMITS = 16  # a row of more than so many row limits is taken for a quote left open


def read_csv(stream: IO[bytes], limit: int) -> Iterator[dict[str, Any] | BadRow]:
    """Yield the rows of a CSV file whose first line names the columns.

    Args:
        stream: UTF-8, with or without a byte order mark.
        limit: Bytes of the largest row that is read.

    Raises:
        BrokenFileError: A quote is never closed, a row has no end, or a column's name occurs twice.
        csv.Error: A cell has no end.
    """
    csv.field_size_limit(_ROW_LIMITS * limit)
    with io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="") as text:
        lines = _Lines(text, _ROW_LIMITS * limit)
        rows = csv.reader(lines)
        header = next(rows, [])
        lines.begin_row()
        check_names(header)
        for cells in rows:
            if cells:
                yield _row(header, cells, limit)
            lines.begin_row()


class _Lines:
    """The lines of a CSV file, refused where a row has no end."""

    def __init__(self, text: io.TextIOBase, most: int) -> None:
        self._text, self._most = text, most
        self._read = self._began = self._chars = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._most + 1)
        if not line:
            if self._read > self._began:  # more of a row is asked for inside a quoted cell only
                raise BrokenFileError(
                    f"a quote that is opened after line {self._began} is never closed"
                )
            raise StopIteration
        self._read += 1
        self._chars += len(line)
        if self._chars > self._most:
            raise BrokenFileError(
                f"the row that begins after line {self._began} is longer than {self._most:,} "
                f"characters, {_ROW_LIMITS} times 'max_row_bytes'"
            )
        return line

    def begin_row(self) -> None:
        """Note that a row is complete."""
        self._began, self._chars = self._read, 0


def _row(header: list[str], cells: list[str], limit: int) -> dict[str, Any] | BadRow:
    text = ",".join(cells)
    raw = text.encode("utf-8", "surrogateescape")
    visible = raw.decode("utf-8", "backslashreplace")[:RAW_CHARS]
    if len(raw) > limit:
        return too_large(limit, raw)
    if any("\udc80" <= character <= "\udcff" for character in text):
        return BadRow("invalid_utf8", "bytes that are not UTF-8", visible)
    if len(cells) != len(header):
        return BadRow("wrong_type", f"{len(cells)} cells, expected {len(header)}", visible)
    return dict(zip(header, (cell or None for cell in cells), strict=True))
