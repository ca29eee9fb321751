"""Files opened as rows are read from them: unpacked, and in UTF-8, whatever their names say."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, NamedTuple

import pyarrow as pa

from siftline.contracts.printable import excerpt
from siftline.pipelines.ingestion import signatures
from siftline.pipelines.ingestion.charsets import UTF8, as_utf8
from siftline.pipelines.ingestion.inputs import (
    COLUMNAR,
    JSON,
    Input,
    Place,
    compression,
    open_place,
    suffix,
)
from siftline.pipelines.ingestion.rows import BrokenFileError, shown

_HEAD_BYTES = 1 << 12
_MOST_LAYERS = 3  # of packing: two are met, where a server packs what is packed


class Opened(NamedTuple):
    """A file that is read: its bytes, as which suffix to read them, and the text's encoding."""

    stream: IO[bytes]
    kind: str
    encoding: str


class _Headed(io.RawIOBase):
    """A stream whose first bytes can be looked at before it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.head = b""
        while len(self.head) < _HEAD_BYTES and (piece := stream.read(_HEAD_BYTES - len(self.head))):
            self.head += piece
        self._waiting = memoryview(self.head)

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read some bytes; 0 at the end."""
        if not self._waiting:
            piece = self._stream.read(len(buffer))
            buffer[: len(piece)] = piece
            return len(piece)
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count


@contextlib.contextmanager
def opened(path: Place, item: Input) -> Iterator[Opened]:
    """Open a file of an input.

    Columnar files are read at random, so one that is packed, or that a server sends from end to
    end only, is put on the disk first.

    Raises:
        BrokenFileError: It is of another kind than is read, packed too often, or in an encoding
            that nobody tells.
        OSError: It cannot be opened, or is damaged.
    """
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(open_place(path))
        stream, layers = _unpacked(raw, path)
        kind = _kind(stream.head, suffix(path))
        if kind not in COLUMNAR:
            text, encoding = as_utf8(io.BufferedReader(stream), stream.head, item.encoding)
            yield Opened(text, kind, encoding)
        elif layers or not raw.seekable():
            whole = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(stream, whole)
            whole.seek(0)
            yield Opened(whole, kind, UTF8)
        else:
            raw.seek(0)
            yield Opened(raw, kind, UTF8)


def _unpacked(raw: IO[bytes], path: Place) -> tuple[_Headed, int]:
    """Return what is in a file, and how often it was packed."""
    stream, layers = _Headed(raw), 0
    while codec := signatures.packed_with(stream.head):
        if layers == _MOST_LAYERS:
            raise BrokenFileError(f"it is packed more than {_MOST_LAYERS} times", "Unpack it.")
        stream, layers = _Headed(pa.CompressedInputStream(stream, codec)), layers + 1
    if not layers and stream.head and (told := compression(path)):
        raise BrokenFileError(
            f"its name says {told}, but it begins with '{excerpt(shown(stream.head[:16]))}'",
            f"Take '{path.suffix}' out of its name if it is whole.",
        )
    return stream, layers


def _kind(head: bytes, named: str) -> str:
    """Return the suffix that a file should have by its first bytes."""
    if found := signatures.columnar(head):
        return found
    if foreign := signatures.foreign(head):
        raise BrokenFileError(f"it is {foreign[0]}", foreign[1])
    if named not in JSON and signatures.is_json(head):
        raise BrokenFileError(f"it is JSON, though its name ends in '{named}'", "Name it '.json'.")
    return named
