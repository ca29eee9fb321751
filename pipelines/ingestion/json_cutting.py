"""JSON cut into values by counting brackets outside strings, without parsing them.

Memory does not grow with what is cut: of a value over the limit, only its beginning is given out.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from siftline.pipelines.ingestion.rows import BrokenFileError, shown

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_LEVELS = 8  # of brackets that are passed at once


def _balanced(levels: int) -> bytes:
    """Return the pattern of a bracket and all up to the one that closes it."""
    pattern = rb"[\[{](?:[^\"\[\]{}]++|" + _STRING + rb")*+[\]}]"
    for _ in range(levels - 1):
        pattern = rb"[\[{](?:[^\"\[\]{}]++|" + _STRING + rb"|" + pattern + rb")*+[\]}]"
    return pattern


# A list or an object, a string, or else a bracket, a comma, or the quote that begins a string
# without an end. None of them is tried in two ways.
_TOKEN = re.compile(_balanced(_LEVELS) + rb"|" + _STRING + rb'|[\[\]{},"]', re.DOTALL)

Inside = Literal["array", "object", "nothing"]


class Piece(NamedTuple):
    """A value as it stands in a file, and where it begins, in bytes from the first that was fed."""

    raw: bytes
    begins: int


class Cutter:
    """Cuts an array or an object, whose opening bracket is gone, into elements, chunk by chunk.

    Inside of nothing are values that stand one after another, each a list or an object.
    """

    def __init__(self, limit: int, inside: Inside = "array") -> None:
        """Begin before the first element.

        Args:
            limit: Bytes of the largest element that is given out whole.
            inside: What the elements are in.
        """
        self.closed = False
        self.cut = False  # the current element is over the limit, and was given out up to there
        self.rest = b""  # what belongs to no element yet
        self._limit = limit
        self._closes = {"array": b"]", "object": b"}", "nothing": b""}[inside]
        self._passed = self._scanned = self._depth = 0
        self._in_string = False

    @property
    def between(self) -> bool:
        """Whether what was fed ends inside no element, but for its last bracket."""
        return not self._depth and not self._in_string

    def feed(self, chunk: bytes) -> list[Piece]:
        """Return the elements that end in this chunk; one over the limit only just past it."""
        self.rest += chunk
        start, pieces = 0, []
        for end, after in self._scan():
            if not self.cut and (piece := self._piece(start, end)).raw:
                pieces.append(piece)
            start, self.cut = after, False
        if not self.cut and self._scanned - start > self._limit:
            pieces.append(self._piece(start, start + self._limit + 1))
            self.cut = True
        if self.cut:  # what was passed is forgotten
            start = self._scanned
        self.rest, self._scanned = self.rest[start:], self._scanned - start
        self._passed += start
        return pieces

    def _piece(self, start: int, end: int) -> Piece:
        raw = self.rest[start:end].lstrip()
        return Piece(raw.rstrip(), self._passed + end - len(raw))

    def _scan(self) -> list[tuple[int, int]]:
        """Return where each element ends, and where the next one may begin."""
        ends: list[tuple[int, int]] = []
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
                stays = token != b"," and not self._closes  # a bracket that is the element's own
                ends.append((match.end() if stays else match.start(), match.end()))
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
        if len(token) > 1:  # a string, or a whole list or object
            return not (self._closes or self._depth or token.startswith(b'"'))
        if token in (b"{", b"["):
            self._depth += 1
        elif self._depth and token in (b"}", b"]"):
            self._depth -= 1
            return not self._depth and not self._closes
        elif self._depth == 0 and token in (b",", self._closes):
            self.closed = token == self._closes
            return True
        return False


def elements(chunks: Iterator[bytes], limit: int, *, alone: bool = True) -> Iterator[bytes]:
    """Yield the raw elements of an array; one over the limit is cut just past it.

    An array that ends after an element without its closing bracket ends in an empty one.

    Args:
        chunks: What follows its opening bracket.
        limit: Bytes of the largest element.
        alone: Whether nothing may follow its closing bracket.

    Raises:
        BrokenFileError: It ends inside an element over the limit, or something follows it.
    """
    cutter = Cutter(limit)
    for chunk in chunks:
        yield from (piece.raw for piece in cutter.feed(chunk))
        if cutter.closed:
            if alone:
                _nothing_follows(cutter.rest, chunks)
            return
    yield from _last(cutter)
    # A broken row may have taken the bracket for its own.
    if cutter.between and not cutter.rest.rstrip().endswith(b"]"):
        yield b""


def values(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield raw values that stand one after another; one over the limit is cut just past it.

    Raises:
        BrokenFileError: The last one is over the limit and has no end.
    """
    cutter = Cutter(limit, "nothing")
    for chunk in chunks:
        yield from (piece.raw for piece in cutter.feed(chunk))
    yield from _last(cutter)


def _last(cutter: Cutter) -> Iterator[bytes]:
    if cutter.cut:
        raise BrokenFileError("it ends inside a row that is over 'max_row_bytes'")
    if cutter.rest.strip():
        yield cutter.rest.strip()


def _nothing_follows(tail: bytes, chunks: Iterator[bytes]) -> None:
    for chunk in itertools.chain([tail], chunks):
        if chunk.strip():
            text = shown(chunk.strip()[:40])
            if re.match(r"\[\s*[^{\s]", text):
                raise BrokenFileError(
                    f"its rows are arrays, such as '{text}'; expected objects, which name what "
                    "they hold",
                    'Write each row as an object, such as {"question": "...", "answer": "..."}.',
                )
            raise BrokenFileError(f"the array goes on after its closing bracket, with '{text}'")
