"""JSON arrays and JSON lines, read as a stream of rows.

An array is cut into its elements by counting brackets outside strings, and each element is parsed
by itself: memory does not grow with the file, and one broken element costs one row. Where a broken
element has swallowed its neighbours (a bracket or a quote is missing), the rows that can be told by
their keys are taken out of it again.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from siftline.pipelines.ingestion.rows import BadRow, BrokenFileError, shown, too_large

CHUNK_BYTES = 1 << 18
_BOM = b"\xef\xbb\xbf"
_KEY_SETS = 64  # of earlier rows that are remembered, to tell rows by their keys

# A whole string, or a bracket, a comma or the quote that begins a string without an end.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},"]', re.DOTALL)
_INSIDE = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_BEFORE_ROW = re.compile(rb",\s*(?=\{)")


def read_json(stream: IO[bytes], limit: int) -> Iterator[dict[str, Any] | BadRow]:
    """Yield the rows of a JSON array or of JSON lines, whichever the first byte says.

    Args:
        stream: UTF-8, with or without a byte order mark.
        limit: Bytes of the largest row that is read.

    Raises:
        BrokenFileError: An array ends in the middle of a row that is over the limit, or goes on
            after its closing bracket.
    """
    chunks = iter(lambda: stream.read(CHUNK_BYTES), b"")
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= len(_BOM):
            head = head.removeprefix(_BOM).lstrip()
        if head:
            break
    head = head.removeprefix(_BOM).lstrip()
    if head.startswith(b"["):
        yield from _array(head, chunks, limit)
    else:
        yield from (parse_row(raw, limit) for raw in _lines(head, chunks, limit))


def parse_row(raw: bytes, limit: int) -> dict[str, Any] | BadRow:
    """Parse one JSON object, or say why it cannot be used."""
    if len(raw) > limit:
        return too_large(limit, raw)
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRow("invalid_utf8", str(error), shown(raw))
    except (ValueError, RecursionError) as error:
        return BadRow("invalid_json", str(error)[:500], shown(raw))
    if not isinstance(value, dict):
        detail = f"of type {type(value).__name__}, expected an object"
        return BadRow("not_an_object", detail, shown(raw))
    return value


def _lines(head: bytes, chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield the lines that are not blank; one over the limit is cut just past it."""
    pending, cut = bytearray(), False
    for chunk in itertools.chain([head], chunks):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if not cut and (line := bytes(pending + end)).strip():
                yield line
            pending.clear()
            cut = False
        pending += b"" if cut else rest
        if len(pending) > limit:
            yield bytes(pending[: limit + 1])
            pending.clear()
            cut = True
    if pending.strip():
        yield bytes(pending)


def _array(head: bytes, chunks: Iterator[bytes], limit: int) -> Iterator[dict[str, Any] | BadRow]:
    seen: set[frozenset[str]] = set()
    for raw in _elements(head, chunks, limit):
        row = parse_row(raw, limit)
        if isinstance(row, dict):
            if len(seen) < _KEY_SETS:
                seen.add(frozenset(row))
            yield row
        elif row.reason == "invalid_json":
            yield from (parse_row(piece, limit) for piece in _swallowed(raw, seen))
        else:
            yield row


def _swallowed(raw: bytes, seen: set[frozenset[str]]) -> list[bytes]:
    """Cut a broken element at the rows in it that have the keys of earlier rows."""
    pieces: list[bytes] = []
    broken: list[bytes] = []
    for part in _BEFORE_ROW.split(raw):
        piece = part.rstrip(b"] \r\n\t")  # the array's end, where the broken row swallowed that too
        row = parse_row(piece, len(piece))
        if isinstance(row, dict) and frozenset(row) in seen:
            pieces += [b", ".join(broken), piece] if broken else [piece]
            broken = []
        else:
            broken.append(part.rstrip())
    return [*pieces, b", ".join(broken)] if broken else pieces


class _Cutter:
    """Cuts an array, whose opening bracket is gone, into its elements, chunk by chunk."""

    def __init__(self, limit: int) -> None:
        self.closed = False
        self.cut = False  # the current element is over the limit, and was given out up to there
        self.rest = b""  # what belongs to no element yet
        self._limit = limit
        self._scanned = self._depth = 0
        self._in_string = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the elements that end in this chunk; one over the limit only just past it."""
        self.rest += chunk
        start, elements = 0, []
        for end in self._scan():
            if not self.cut and (element := self.rest[start:end].strip()):
                elements.append(element)
            start, self.cut = end + 1, False
        if not self.cut and self._scanned - start > self._limit:
            elements.append(self.rest[start : start + self._limit + 1])
            self.cut = True
        if self.cut:  # what was passed is forgotten
            start = self._scanned
        self.rest, self._scanned = self.rest[start:], self._scanned - start
        return elements

    def _scan(self) -> list[int]:
        """Return where the `,` or `]` after each element stands."""
        ends: list[int] = []
        if self._in_string:
            self._leave_string()
        if self._in_string:
            return ends
        for match in _TOKEN.finditer(self.rest, self._scanned):
            self._scanned = match.end()
            token = match.group()
            if token == b'"':
                self._in_string = True
                self._leave_string()
                return ends
            if self._ends_element(token):
                ends.append(match.start())
            if self.closed:
                return ends
        self._scanned = len(self.rest)
        return ends

    def _leave_string(self) -> None:
        """Go past the string's end, or else to the end of what there is, or its last backslash."""
        inside = _INSIDE.match(self.rest, self._scanned)
        self._scanned = inside.end() if inside else self._scanned
        if self.rest[self._scanned : self._scanned + 1] == b'"':
            self._in_string = False
            self._scanned += 1

    def _ends_element(self, token: bytes) -> bool:
        if token in (b"{", b"["):
            self._depth += 1
        elif self._depth and token in (b"}", b"]"):
            self._depth -= 1
        elif self._depth == 0 and token in (b",", b"]"):
            self.closed = token == b"]"
            return True
        return False


def _elements(head: bytes, chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield the raw elements of a top-level array; one over the limit is cut just past it."""
    cutter = _Cutter(limit)
    for chunk in itertools.chain([head[1:]], chunks):
        yield from cutter.feed(chunk)
        if cutter.closed:
            _nothing_follows(cutter.rest, chunks)
            return
    if cutter.cut:
        raise BrokenFileError("the array ends inside a row that is over 'max_row_bytes'")
    if cutter.rest.strip():
        yield cutter.rest.strip()


def _nothing_follows(tail: bytes, chunks: Iterator[bytes]) -> None:
    for chunk in itertools.chain([tail], chunks):
        if chunk.strip():
            text = shown(chunk.strip()[:40])
            raise BrokenFileError(f"the array goes on after its closing bracket, with '{text}'")
