"""Texts in other encodings than UTF-8, read as a stream of UTF-8.

An encoding is told by the text's byte order mark, or stated; it is never guessed.
"""

import codecs
import io
import re
from typing import IO

from siftline.contracts.printable import excerpt
from siftline.pipelines.ingestion import signatures
from siftline.pipelines.ingestion.rows import BrokenFileError

UTF8 = "utf-8"
_CHUNK_BYTES = 1 << 18
_WIDE = ("utf-16", "utf-32")
# Encodings of Python that are no character sets, or whose text depends on where it is cut.
_NO_CHARSETS = (
    "idna",
    "punycode",
    "unicode_escape",
    "raw_unicode_escape",
    "utf_7",
    "undefined",
    "charmap",
)
_HIGH_RUNS = re.compile(rb"[\x80-\xff]+")


def charset(name: str) -> str:
    """Return the one name of an encoding: `cp1252` for `windows-1252`.

    Raises:
        ValueError: There is none of that name.
    """
    try:
        found = codecs.lookup(name).name
        known = (
            found.replace("-", "_") not in _NO_CHARSETS
            and "{\n".encode(found).decode(found) == "{\n"
        )
    except (LookupError, UnicodeError, ValueError, TypeError):
        known = False
    if not known:
        raise ValueError(
            f"encoding: unknown encoding '{excerpt(name, 40)}'; expected one such as 'cp1252'."
        )
    return UTF8 if found == "utf-8-sig" else found


def as_utf8(stream: IO[bytes], head: bytes, stated: str | None) -> tuple[IO[bytes], str]:
    """Return a text as UTF-8, and the encoding that it is in.

    Args:
        stream: The text.
        head: Its first bytes.
        stated: The encoding that the recipe states.

    Raises:
        BrokenFileError: Its mark tells another encoding than the recipe, or it has none where one
            is needed.
    """
    marked = signatures.mark(head)
    if marked and stated and stated not in (marked, marked[:6]):
        raise BrokenFileError(
            f"its byte order mark is that of {marked}, but the recipe states `encoding: {stated}`",
            "Take 'encoding' out.",
        )
    unmarked = None if marked or stated else signatures.unmarked(head)
    if unmarked or (stated in _WIDE and not marked):
        name = unmarked or f"{stated}-le"
        raise BrokenFileError(
            f"it has no byte order mark, and may be {name}", f"State `encoding: {name}`."
        )
    name = marked or stated or UTF8
    return (
        stream if name == UTF8 else io.BufferedReader(Recoded(stream, name), _CHUNK_BYTES)
    ), name


class Recoded(io.RawIOBase):
    """A text as UTF-8. What its encoding does not know becomes bytes that UTF-8 does not know."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        wide = name.startswith(_WIDE)
        errors = "surrogatepass" if wide else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(name)(errors)
        self._stream, self._ended = stream, False
        self._waiting = memoryview(b"")

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read some bytes; 0 at the end."""
        while not self._waiting and not self._ended:
            chunk = self._stream.read(_CHUNK_BYTES)
            self._ended = not chunk
            text = self._decoder.decode(chunk, final=self._ended)
            self._waiting = memoryview(text.encode(UTF8, "surrogatepass"))
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count


def not_in(raw: bytes, name: str) -> str | None:
    """Return what is wrong with bytes that should be UTF-8, and what may mend it; None if nothing.

    Args:
        raw: A row, or a header.
        name: The encoding that it was read in.
    """
    try:
        raw.decode(UTF8)
    except UnicodeDecodeError as error:
        place = error.start
    else:
        return None
    if name != UTF8:
        return f"a byte that is not {name}, or half of a surrogate pair"
    told = "looks like cp1252" if _is_cp1252(raw) else "may be of another encoding"
    stated = "encoding: cp1252" if _is_cp1252(raw) else "encoding"
    return f"byte 0x{raw[place]:02x}, which is not UTF-8 and {told}: state `{stated}`"


def _is_cp1252(raw: bytes) -> bool:
    """Return whether bytes look like a text in the encoding of Western Windows.

    It has mostly single letters beyond ASCII, where encodings of several bytes have runs of them.
    """
    runs = [len(run) for run in _HIGH_RUNS.findall(raw)]
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        return False
    shown = all(each.isprintable() or each.isspace() for each in text)
    return shown and 2 * runs.count(1) > len(runs)
