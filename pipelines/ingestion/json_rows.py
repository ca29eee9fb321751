"""JSON arrays, JSON lines and JSON objects, read as a stream of rows.

An array is cut into its elements, and each element is parsed by itself: memory does not grow with
the file, and one broken element costs one row. Where a broken element has swallowed its neighbours
(a bracket or a quote is missing), the rows that can be told by their keys are taken out of it
again.
"""

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from siftline.contracts import progress
from siftline.contracts.printable import excerpt, printable
from siftline.pipelines.ingestion.blocks import Raws, cut, flat
from siftline.pipelines.ingestion.charsets import UTF8, not_in
from siftline.pipelines.ingestion.json_cutting import elements, values
from siftline.pipelines.ingestion.json_objects import (
    IsRow,
    after,
    first_object,
    members,
    wrapped_list,
)
from siftline.pipelines.ingestion.rows import BadRow, BrokenFileError, shown, too_large
from siftline.pipelines.ingestion.values import TOO_DEEP, BadRecordError, kind_of, parsed

CHUNK_BYTES = 1 << 18
_BOM = b"\xef\xbb\xbf"
_HEADER_BYTES = 1 << 12
_SEPARATORS = {",": ".csv", ";": ".csv", "|": ".csv", "\t": ".tsv"}
_KEY_SETS = 64  # of earlier rows that are remembered, to tell rows by their keys
_BEFORE_ROW = re.compile(rb",\s*(?=\{)")
_BEFORE_OBJECT = re.compile(rb"\n(?=\{)")
_COMMA = re.compile(rb"(?<=\})\s*,\s*\Z")

Rows = Iterator[dict[str, Any] | BadRow]
Parts = Iterator[dict[str, Any] | BadRow | Raws]
Open = Callable[[], IO[bytes]]


def read_json(
    opened: Open, limit: int, *, encoding: str = UTF8, is_row: IsRow = bool, name: str = ""
) -> Rows:
    """Yield the rows of a JSON array, of JSON lines, or of JSON objects; as :func:`read_parts`."""
    return flat(read_parts(opened, limit, encoding=encoding, is_row=is_row, name=name))


def read_parts(
    opened: Open, limit: int, *, encoding: str = UTF8, is_row: IsRow = bool, name: str = ""
) -> Parts:
    """Yield the rows of a JSON array or of JSON objects, and those of JSON lines in blocks.

    Args:
        opened: Opens the file at its beginning, in UTF-8; byte order marks may stand where files
            were put one after another. An object that is larger than a row may be is read twice.
        limit: Bytes of the largest row that is read.
        encoding: What the file was in, for messages.
        is_row: Tells whether an object has a shape that is known. One alone that has none, around a
            list of such rows, is not a row but their wrapping.
        name: Of the file, for messages.

    Raises:
        BrokenFileError: An array ends in the middle of a row that is over the limit, or goes on
            after its closing bracket; or it is not clear which list of an object holds the rows.
    """
    chunks = _body(opened())
    head = next(chunks, b"")
    parser = _Parser(limit, encoding, name)
    if head.startswith(b"["):
        return parser.pieces(elements(itertools.chain([head[1:]], chunks), limit), _BEFORE_ROW)
    if head.startswith(b"{"):
        return _objects(_Ahead(head, chunks, limit), parser, opened, is_row)
    _check_header(head, is_row)
    return parser.lines(itertools.chain([head], chunks))


def _check_header(head: bytes, is_row: IsRow) -> None:
    """Check that a text does not begin with the header of a CSV file.

    Raises:
        BrokenFileError: It does.
    """
    line = re.split(rb"[\r\n]", head[:_HEADER_BYTES])[0].decode(UTF8, "replace")
    for between, suffix in _SEPARATORS.items():
        cells = next(csv.reader([line], delimiter=between), [])
        if len(cells) > 1 and is_row(dict.fromkeys(cells, "")):
            raise BrokenFileError(
                "it is CSV, though its name says JSON: it begins with the columns "
                f"'{excerpt(line)}'",
                f"Name it '{suffix}'.",
            )


def _body(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a text without what stands before its first value."""
    chunks = iter(lambda: stream.read(CHUNK_BYTES), b"")
    head = body = b""
    for chunk in chunks:
        head = (head + chunk).lstrip()
        body = head.removeprefix(_BOM).lstrip()
        if body and not _BOM.startswith(body):  # the mark may be cut in two
            break
    return itertools.chain([body], chunks)


class _Parser:
    """Parses raw values, each as a row."""

    def __init__(self, limit: int, encoding: str, name: str) -> None:
        self.limit, self._encoding, self._name = limit, encoding, name

    def row(self, raw: bytes) -> dict[str, Any] | BadRow:
        """Parse one JSON object, or say why it cannot be used."""
        if len(raw) > self.limit:
            return too_large(self.limit, raw)
        if not raw:
            return BadRow("invalid_json", "the array ends without its closing bracket", "")
        raw = raw.removeprefix(_BOM)
        try:
            value = parsed(raw.decode(UTF8))
        except UnicodeDecodeError:
            return BadRow("invalid_utf8", not_in(raw, self._encoding) or "", shown(raw))
        except BadRecordError as error:
            return BadRow(error.reason, str(error), shown(raw))
        except RecursionError:
            return BadRow("invalid_json", TOO_DEEP, shown(raw))
        except ValueError as error:
            return BadRow("invalid_json", str(error)[:500], shown(raw))
        if not isinstance(value, dict):
            detail = f"{kind_of(value)}, expected an object"
            return BadRow("not_an_object", detail, shown(raw))
        return value

    def warn_of_others(self, key: str, others: list[str]) -> None:
        """Say which member of an object is read as a list of rows, and that others are not."""
        if others:
            left = excerpt(", ".join(f"'{other}'" for other in others))
            progress.warn(
                printable(
                    f"'{self._name}' is one object: its rows are the list '{key}'; {left} beside "
                    "it is not read."
                )
            )

    def lines(self, chunks: Iterator[bytes]) -> Iterator[Raws]:
        """Yield the rows of JSON lines, in blocks."""
        return cut(_lines(chunks, self.limit), self.limit, self.line)

    def line(self, raw: bytes) -> dict[str, Any] | BadRow:
        """Parse a line; a comma after a row, as in an array, is none of it."""
        found = _COMMA.search(raw) if raw.rstrip().endswith(b",") else None
        return self.row(raw[: found.start()] if found else raw)

    def pieces(self, raws: Iterator[bytes], border: re.Pattern[bytes]) -> Rows:
        """Yield the rows that were cut from a file, with those that a broken one has swallowed.

        Args:
            raws: As they were cut.
            border: What stands between two rows.
        """
        seen: set[frozenset[str]] = set()
        last: list[str] = []
        for raw in raws:
            row = self.row(raw)
            if isinstance(row, dict):
                if len(seen) < _KEY_SETS and (keys := list(row)) != last:
                    seen.add(frozenset(keys))
                    last = keys
                yield row
            elif row.reason == "invalid_json":
                yield from map(self.row, self._swallowed(raw, seen, border))
            else:
                yield row

    def _swallowed(
        self, raw: bytes, seen: set[frozenset[str]], border: re.Pattern[bytes]
    ) -> list[bytes]:
        """Cut a broken element at the rows in it that have the keys of earlier rows."""
        pieces: list[bytes] = []
        broken: list[bytes] = []
        for part in border.split(raw):
            # The array's end may be there too, where the broken row has swallowed it.
            piece = part.rstrip(b"], \r\n\t")
            row = self.row(piece)
            if isinstance(row, dict) and frozenset(row) in seen:
                pieces += [b", ".join(broken), piece] if broken else [piece]
                broken = []
            else:
                broken.append(part.rstrip(b", \r\n\t"))
        return [*pieces, b", ".join(broken)] if broken else pieces


class _Ahead:
    """The beginning of a file, as far as it was looked at, and the rest of it."""

    def __init__(self, head: bytes, chunks: Iterator[bytes], limit: int) -> None:
        self.head, self._chunks, self._limit = head, chunks, limit

    def look(self, enough: Callable[[bytes], object]) -> bytes:
        """Return the beginning when that is enough, or as long as the largest row."""
        while not enough(self.head) and len(self.head) <= self._limit:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self.head += chunk
        return self.head

    def whole(self) -> Iterator[bytes]:
        """Yield the file from its beginning."""
        return itertools.chain([self.head], self._chunks)


def _objects(ahead: _Ahead, parser: _Parser, opened: Open, is_row: IsRow) -> Parts:
    """Return the rows of a file that begins with an object."""
    first = ahead.look(lambda head: b"\n" in head).partition(b"\n")[0]
    is_line = isinstance(parser.row(first), dict)
    if not is_line:
        first = first_object(ahead.look(lambda head: False))
        if len(first or ahead.head) > parser.limit:
            return _large(ahead, parser, opened, is_row)
    row = parser.row(first)
    if not isinstance(row, dict) or not (is_line or b"\n" in first):
        return parser.lines(ahead.whole())
    if ahead.look(lambda head: head[len(first) :].strip())[len(first) :].strip():
        if is_line:
            return parser.lines(ahead.whole())
        return parser.pieces(values(ahead.whole(), parser.limit), _BEFORE_OBJECT)
    # A column of that name holds texts where it is a conversation; else it is a list of rows.
    rest = {key: value for key, value in row.items() if key != "data"}
    wrapped = None if is_row(rest) else _wrapped(lambda: iter([first]), parser, is_row)
    return wrapped or iter([row])


def _large(ahead: _Ahead, parser: _Parser, opened: Open, is_row: IsRow) -> Parts:
    """Return the rows of a file that begins with an object over the limit."""
    again = itertools.chain([ahead.whole()], iter(lambda: _body(opened()), None))
    return _wrapped(lambda: next(again), parser, is_row) or parser.lines(next(again))


def _wrapped(opened: Callable[[], Iterator[bytes]], parser: _Parser, is_row: IsRow) -> Rows | None:
    """Return the rows of an object around a list of rows; None if a file is no such object.

    Args:
        opened: Gives the file from its beginning.
        parser: Parses the rows.
        is_row: Tells whether a row has a shape that is known.

    Raises:
        BrokenFileError: Several members of the object are lists of objects.
    """
    found = members(after(opened(), 1))
    member = wrapped_list(found)
    if member is None:
        return None
    raws = elements(after(opened(), member.begins), parser.limit, alone=False)
    rows = parser.pieces(raws, _BEFORE_ROW)
    first = next(rows)
    if isinstance(first, BadRow) or not is_row(first):
        return None
    parser.warn_of_others(member.key, [each.key for each in found if each is not member])
    return itertools.chain([first], rows)


def _lines(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield the lines that are not blank; one over the limit is cut just past it."""
    pending, cut = bytearray(), False
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        if ends:
            first = bytes(pending + ends[0])
            if not cut and first.strip():
                yield first
            yield from [line for line in ends[1:] if line.strip()]
            pending.clear()
            cut = False
        pending += b"" if cut else rest
        if len(pending) > limit:
            yield bytes(pending[: limit + 1])
            pending.clear()
            cut = True
    if pending.strip():
        yield bytes(pending)
