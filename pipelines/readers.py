"""Streaming readers: every container that instruction data comes in, one record at a time.

Memory does not grow with a file. A record that cannot be read is yielded as a :class:`BadRow`,
with its raw text; a file that is damaged as a whole is an error.
"""

import csv
import gzip
import io
import json
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from siftline.pipelines.errors import InputError
from siftline.pipelines.inputs import Input, is_saved_dataset, resolve, suffix

CHUNK_BYTES = 1 << 18
RAW_CHARS = 1 << 16  # of a bad row's text that quarantine keeps


class BadRow(NamedTuple):
    """A row that cannot be used: a reason slug, what was wrong, and its text."""

    reason: str
    detail: str
    raw: str


class Record(NamedTuple):
    """One row of a file: its number from 1, and its value or what is wrong with it."""

    number: int
    value: Any


def read_input(
    item: Input, base: Path, max_row_bytes: int
) -> Iterator[tuple[str, Iterator[Record]]]:
    """Yield the files of an input, each as its name and its records.

    Raises:
        InputError: A file is missing, damaged or of an unknown type.
    """
    for path in resolve(item, base):
        name = str(path.relative_to(base)) if path.is_relative_to(base) else path.name
        if path.is_dir():
            yield name, _dataset(item, path)
        else:
            yield name, read_file(path, max_row_bytes)
    if item.hub is not None:
        yield item.hub, _dataset(item, base / item.hub)


def read_file(path: Path, max_row_bytes: int) -> Iterator[Record]:
    """Yield the records of one file.

    Raises:
        InputError: The file is damaged; the message names it.
    """
    kind = suffix(path)
    try:
        with _open(path) as stream:
            if kind in (".json", ".jsonl", ".ndjson"):
                yield from _json(stream, max_row_bytes)
            elif kind == ".csv":
                yield from _csv(stream, max_row_bytes)
            else:
                with _seekable(path, stream) as local:
                    yield from _arrow(local, kind)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError, pa.ArrowException) as error:
        raise InputError(
            f"'{path.name}' cannot be read: {error}. Expected a whole {kind} file; "
            "replace it or take it out of the recipe."
        ) from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(
            path.open("rb"), read_across_frames=True, closefd=True
        )
        return io.BufferedReader(reader)
    return path.open("rb")


def _seekable(path: Path, stream: IO[bytes]) -> IO[bytes]:
    """Unpack a compressed columnar file to a temporary one, since those are read at random."""
    if path.suffix not in (".gz", ".zst"):
        return stream
    temporary = tempfile.TemporaryFile()
    shutil.copyfileobj(stream, temporary)
    temporary.seek(0)
    return temporary


def _json(stream: IO[bytes], max_row_bytes: int) -> Iterator[Record]:
    """Read a JSON array or JSON lines, whichever the first byte says."""
    chunks = iter(lambda: stream.read(CHUNK_BYTES), b"")
    head = b""
    for chunk in chunks:
        head = (head + chunk).removeprefix(b"\xef\xbb\xbf").lstrip()
        if head:
            break
    pieces = _array_elements if head.startswith(b"[") else _lines
    for number, raw in enumerate(pieces(head, chunks, max_row_bytes), start=1):
        yield Record(number, parse_json(raw, max_row_bytes))


def _lines(head: bytes, chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield the lines that are not blank; a line over the limit is cut just past it."""
    buffer = head
    oversize = False
    for chunk in chunks:
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            if line.strip() and not oversize:
                yield line
            oversize = False
        if len(buffer) > limit and not oversize:
            yield buffer[: limit + 1]
            oversize = True
        if oversize:
            buffer = b""
    for line in buffer.split(b"\n"):
        if line.strip() and not oversize:
            yield line
        oversize = False


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]|"', re.DOTALL)


def _array_elements(head: bytes, chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield the raw elements of a top-level array, by counting brackets outside strings.

    What follows the last whole element of a file that ends too early is yielded as one element.
    """
    buffer, scanned, start, depth, oversize = head, 1, 1, 0, False
    while True:
        for match in _TOKEN.finditer(buffer, scanned):
            token = match.group()
            if token == b'"':  # a string that goes on in the next chunk
                break
            scanned = match.end()
            if token in b"{[":
                depth += 1
            elif token in b"}]" and depth:
                depth -= 1
            elif depth == 0 and token in b",]":
                element = buffer[start : match.start()].strip()
                if element and not oversize:
                    yield element
                start, oversize = match.end(), False
                if token == b"]":
                    yield from _rest(buffer[start:], chunks, limit)
                    return
        pending = len(buffer) - start
        if pending > limit and not oversize:
            yield buffer[start : start + limit + 1]
            oversize = True
        if oversize:  # forget what was passed, keep what is not scanned yet
            start = scanned
        buffer, scanned, start = buffer[start:], scanned - start, 0
        chunk = next(chunks, b"")
        if not chunk:
            break
        buffer += chunk
    if buffer.strip() and not oversize:
        yield buffer.strip()


def _rest(tail: bytes, chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield what follows the closing bracket, if anything: it belongs to no element."""
    for chunk in chunks:
        tail = (tail + chunk).strip()[: limit + 1]
    if tail.strip():
        yield tail.strip()


def parse_json(raw: bytes, max_row_bytes: int) -> dict[str, Any] | BadRow:
    """Parse one JSON object, or say why it cannot be used."""
    text = raw.decode("utf-8", errors="backslashreplace")[:RAW_CHARS]
    if len(raw) > max_row_bytes:
        return BadRow("too_large", f"over the limit of {max_row_bytes} bytes", text)
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRow("invalid_utf8", str(error), text)
    except (ValueError, RecursionError) as error:
        return BadRow("invalid_json", str(error)[:500], text)
    if not isinstance(value, dict):
        return BadRow("not_an_object", f"a {type(value).__name__}, expected an object", text)
    return value


def _csv(stream: IO[bytes], max_row_bytes: int) -> Iterator[Record]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # rows are limited below
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text)
    header = next(rows, [])
    for number, cells in enumerate((row for row in rows if row), start=1):
        raw = ",".join(cells)
        shown = raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        shown = shown[:RAW_CHARS]
        if len(raw) > max_row_bytes:
            detail = f"over the limit of {max_row_bytes} bytes"
            yield Record(number, BadRow("too_large", detail, shown))
        elif any("\udc80" <= character <= "\udcff" for character in raw):
            yield Record(number, BadRow("invalid_utf8", "bytes that are not UTF-8", shown))
        elif len(cells) != len(header):
            detail = f"{len(cells)} cells, expected {len(header)}"
            yield Record(number, BadRow("wrong_type", detail, shown))
        else:
            yield Record(number, dict(zip(header, (cell or None for cell in cells), strict=True)))


def _arrow(stream: IO[bytes], kind: str) -> Iterator[Record]:
    number = 0
    for batch in _batches(stream, kind):
        for row in batch.to_pylist():
            number += 1
            yield Record(number, row)


def _batches(stream: IO[bytes], kind: str) -> Iterator[pa.RecordBatch]:
    if kind == ".parquet":
        yield from pq.ParquetFile(stream).iter_batches(batch_size=1000)
        return
    try:
        file = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:  # not the file format, so the stream format
        stream.seek(0)
        yield from pa.ipc.open_stream(stream)
        return
    for index in range(file.num_record_batches):
        yield file.get_batch(index)


def _dataset(item: Input, path: Path) -> Iterator[Record]:
    """Read a dataset through `datasets`: a saved folder, a dataset folder, or a Hub id."""
    import datasets

    try:
        if is_saved_dataset(path):
            data = datasets.load_from_disk(str(path))
            if isinstance(data, datasets.DatasetDict):
                data = data[item.split]
        else:
            name = str(path) if path.is_dir() else item.hub
            data = datasets.load_dataset(
                name, item.config, split=item.split, revision=item.revision, streaming=True
            )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"The dataset '{item.hub or item.path}' cannot be opened: {error}. "
            "Check its name, 'config', 'split' and 'revision', and the network."
        ) from error
    for number, row in enumerate(data, start=1):
        yield Record(number, row)
