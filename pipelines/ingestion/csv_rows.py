"""CSV, read as a stream of rows."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import IO, Any

from siftline.contracts.printable import excerpt
from siftline.pipelines.ingestion.charsets import UTF8, not_in
from siftline.pipelines.ingestion.rows import (
    RAW_CHARS,
    BadRow,
    BrokenFileError,
    check_names,
    shown,
    too_large,
)

_ROW_LIMITS = 16  # a row of more than so many row limits is taken for a quote left open
_BOM = "\ufeff"
_QUOTE = 'a quote inside a quoted cell, expected it twice ("")'
_OTHER_DELIMITERS = {";": '";"', "\t": '"\\t"', "|": '"|"'}  # as YAML writes them


def read_csv(
    stream: IO[bytes],
    limit: int,
    *,
    delimiter: str | None = None,
    encoding: str = UTF8,
    is_row: Callable[[dict[str, Any]], bool] = bool,
) -> Iterator[dict[str, Any] | BadRow]:
    """Yield the rows of a CSV file whose first line names the columns.

    A header without a comma is cut at its semicolons or tabs where the columns are then known. A
    line `sep=;` before it, as Excel writes it, counts.

    Args:
        stream: UTF-8, with or without byte order marks where files were put one after another.
        limit: Bytes of the largest row that is read.
        delimiter: Between cells; None where the header is to tell.
        encoding: What the file was in, for messages.
        is_row: Tells whether a row of such columns has a shape that is known.

    Raises:
        BrokenFileError: A quote is never closed, a row has no end, a column's name occurs twice or
            is missing, or the header cannot be read.
    """
    csv.field_size_limit(_ROW_LIMITS * limit)
    with io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="") as text:
        lines = _Lines(text, _ROW_LIMITS * limit)
        told = lines.separator()
        between = delimiter or told or _delimiter(lines.first(), is_row)
        rows = csv.reader(lines, delimiter=between, strict=True)
        try:
            table = _Table(next(rows, []), between, encoding, limit)
        except csv.Error as error:
            raise BrokenFileError(f"its header has {_QUOTE}", "Mend the header.") from error
        lines.begin_row()
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error:  # the reader begins anew at the next line
                yield table.broken(lines.row())
            else:
                if cells:
                    yield table.row(cells)
            lines.begin_row()


def _delimiter(line: str, is_row: Callable[[dict[str, Any]], bool]) -> str:
    """Return what a header's cells stand between: a comma, but where that makes one cell.

    Raises:
        BrokenFileError: It is something else, and none of the columns are known.
    """
    found = [each for each in _OTHER_DELIMITERS if each in line]
    if "," in line or not found or is_row({line.strip('\r\n"'): ""}):
        return ","
    for each in found:
        if is_row(dict.fromkeys(next(csv.reader([line], delimiter=each)), "")):
            return each
    raise BrokenFileError(
        f"its header has no comma, but {found[0]!r}",
        f"State `delimiter: {_OTHER_DELIMITERS[found[0]]}` if its cells stand between these, and "
        "'columns' for what they are.",
    )


class _Lines:
    """The lines of a CSV file, refused where a row has no end."""

    def __init__(self, text: io.TextIOBase, most: int) -> None:
        self._text, self._most = text, most
        self._read = self._began = self._chars = 0
        self._ahead: str | None = None
        self._row: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.first()
        self._ahead = None
        if not line:
            if self._read > self._began:  # more of a row is asked for inside a quoted cell only
                raise BrokenFileError(
                    f"a quote that is opened after line {self._began} is never closed"
                )
            raise StopIteration
        self._read += 1
        self._row.append(line)
        self._chars += len(line)
        if self._chars > self._most:
            raise BrokenFileError(
                f"the row that begins after line {self._began} is longer than {self._most:,} "
                f"characters, {_ROW_LIMITS} times 'max_row_bytes'"
            )
        return line

    def first(self) -> str:
        """Return the next line without going on; a byte order mark before a row is none of it."""
        if self._ahead is None:
            line = self._text.readline(self._most + 1)
            self._ahead = line if self._chars else line.removeprefix(_BOM)
            if line and not self._ahead:  # a mark is all there is
                self._ahead = self._text.readline(self._most + 1)
        return self._ahead

    def separator(self) -> str | None:
        """Take the line that tells the separator, and return what it tells."""
        line = self.first().rstrip("\r\n")
        if len(line) != len("sep=;") or not line.startswith("sep="):
            return None
        self._read, self._began, self._ahead = 1, 1, None
        return line[-1]

    def begin_row(self) -> None:
        """Note that a row is complete."""
        self._began, self._chars, self._row = self._read, 0, []

    def row(self) -> str:
        """Return what was read of the row at hand."""
        return "".join(self._row)


class _Table:
    """The columns of a CSV file, and what its rows are held to."""

    def __init__(self, header: list[str], delimiter: str, encoding: str, limit: int) -> None:
        self._delimiter, self._encoding, self._limit = delimiter, encoding, limit
        if wrong := not_in(self._bytes(header), encoding):
            raise BrokenFileError(f"its header has {wrong}", "Mend the header if that is not so.")
        names = list(header)
        while names and not names[-1].strip():
            names.pop()
        check_names(names)
        self._header, self._names = header, names

    def broken(self, text: str) -> BadRow:
        """Return what quarantine gets for a row whose cells cannot be told apart."""
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) > self._limit:
            return too_large(self._limit, raw)
        return BadRow("invalid_csv", _QUOTE, shown(raw))

    def row(self, cells: list[str]) -> dict[str, Any] | BadRow:
        """Return the cells of a row by column, those without any text as None."""
        raw = self._bytes(cells)
        visible = raw.decode("utf-8", "backslashreplace")[:RAW_CHARS]
        if len(raw) > self._limit:
            return too_large(self._limit, raw)
        if not raw.isascii() and (wrong := not_in(raw, self._encoding)):
            return BadRow("invalid_utf8", wrong, visible)
        if len(cells) != len(self._header):
            detail = f"{len(cells)} cells, expected {len(self._header)}"
            return BadRow("wrong_type", detail, visible)
        if cells == self._header:
            return BadRow("repeated_header", "the names of the columns once more", visible)
        count = len(self._names)
        for place, cell in enumerate(cells[count:], start=count + 1):
            if cell:
                detail = f"'{excerpt(cell, 40)}' in column {place}, which has no name"
                return BadRow("wrong_type", detail, visible)
        return dict(zip(self._names, (cell or None for cell in cells[:count]), strict=True))

    def _bytes(self, cells: list[str]) -> bytes:
        return self._delimiter.join(cells).encode("utf-8", "surrogateescape")
