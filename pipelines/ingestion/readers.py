"""Streaming readers: every container that instruction data comes in, one record at a time.

Memory does not grow with a file. A row that cannot be read is yielded as a :class:`BadRow`, with
its raw text; a file that is damaged as a whole is an error.
"""

import contextlib
import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from siftline.contracts.errors import InputError
from siftline.pipelines.ingestion.inputs import (
    Input,
    compression,
    is_saved_dataset,
    resolve,
    suffix,
)
from siftline.pipelines.ingestion.json_rows import read_json
from siftline.pipelines.ingestion.rows import (
    RAW_CHARS,
    BadRow,
    DamagedError,
    Record,
    too_large,
    within,
)

_BATCH_ROWS = 1000
_CELL_LIMITS = 16  # a cell of more than so many row limits is taken for a quote left open


def read_input(
    item: Input, base: Path, max_row_bytes: int
) -> Iterator[tuple[str, Iterator[Record]]]:
    """Yield the files of an input, each as its name and its records.

    Raises:
        InputError: A file is missing, damaged or of an unknown type.
    """
    for path in resolve(item, base):
        local = str(path.relative_to(base)) if path.is_relative_to(base) else path.name
        name = local.encode("utf-8", "backslashreplace").decode()  # file names may be any bytes
        if path.is_dir():
            yield name, _dataset(item, path, max_row_bytes)
        else:
            yield name, read_file(path, max_row_bytes)
    if item.hub is not None:
        yield item.hub, _dataset(item, base / item.hub, max_row_bytes)


def read_file(path: Path, max_row_bytes: int) -> Iterator[Record]:
    """Yield the records of one file.

    Raises:
        InputError: The file is damaged; the message names it.
    """
    kind = suffix(path)
    try:
        with _open(path) as stream:
            if kind in (".json", ".jsonl", ".ndjson"):
                rows = read_json(stream, max_row_bytes)
            elif kind == ".csv":
                rows = _csv(stream, max_row_bytes)
            else:
                rows = _arrow(stream, path, max_row_bytes)
            yield from _numbered(rows)
    except (OSError, EOFError, csv.Error, DamagedError, pa.ArrowException) as error:
        raise InputError(
            f"'{path.name}' cannot be read: {error}. Expected a whole {kind} file; "
            "replace it or take it out of the recipe."
        ) from error


def _numbered(rows: Iterable[dict[str, Any] | BadRow]) -> Iterator[Record]:
    """Number rows from 1."""
    return (Record(number, row) for number, row in enumerate(rows, start=1))


def _open(path: Path) -> IO[bytes]:
    """Open a file, unpacked; one that was cut short raises OSError when its end is reached."""
    if codec := compression(path):
        return pa.CompressedInputStream(pa.OSFile(str(path)), codec)  # type: ignore[no-any-return]
    return path.open("rb")


def _csv(stream: IO[bytes], max_row_bytes: int) -> Iterator[dict[str, Any] | BadRow]:
    csv.field_size_limit(_CELL_LIMITS * max_row_bytes)
    with io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="") as text:
        lines = _Lines(text)
        rows = csv.reader(lines)
        header = next(rows, [])
        lines.begin_row()
        if len(set(header)) < len(header):
            raise DamagedError("a column's name occurs twice in its first line")
        for cells in rows:
            if cells:
                yield _csv_row(header, cells, max_row_bytes)
            lines.begin_row()
    if lines.left_open:
        raise DamagedError(f"a quote that is opened after line {lines.row_began} is never closed")


class _Lines:
    """The lines of a CSV file; it knows whether the last row ended inside a quoted cell."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = iter(text)
        self._read = self._began = self._quotes = 0
        self.row_began = 0
        self.left_open = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self._read += 1
        self._quotes += line.count('"')
        return line

    def begin_row(self) -> None:
        """Note that a row is complete."""
        self.left_open = self._quotes % 2 == 1 and self._read > self._began + 1
        self.row_began, self._began, self._quotes = self._began, self._read, 0


def _csv_row(header: list[str], cells: list[str], limit: int) -> dict[str, Any] | BadRow:
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


def _arrow(stream: IO[bytes], path: Path, limit: int) -> Iterator[dict[str, Any] | BadRow]:
    with contextlib.ExitStack() as stack:
        if compression(path):  # columnar files are read at random, so they are unpacked first
            unpacked = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(stream, unpacked)
            unpacked.seek(0)
            stream = unpacked
        for batch in _batches(stream, suffix(path)):
            yield from _batch_rows(batch, limit)


def _batches(stream: IO[bytes], kind: str) -> Iterator[pa.RecordBatch]:
    if kind == ".parquet":
        yield from pq.ParquetFile(stream).iter_batches(batch_size=_BATCH_ROWS)
        return
    try:
        file = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:  # not the file format, so the stream format
        stream.seek(0)
        yield from pa.ipc.open_stream(stream)
        return
    for index in range(file.num_record_batches):
        yield file.get_batch(index)


def _batch_rows(batch: pa.RecordBatch, limit: int) -> Iterator[dict[str, Any] | BadRow]:
    for start in range(0, len(batch), _BATCH_ROWS):
        piece = batch.slice(start, _BATCH_ROWS)
        try:
            rows = piece.to_pylist()
        except UnicodeDecodeError:  # somewhere in it; row by row it costs one row
            rows = [_row(piece.slice(index, 1)) for index in range(len(piece))]
        for row in rows:
            yield row if isinstance(row, BadRow) else within(row, limit)


def _row(piece: pa.RecordBatch) -> dict[str, Any] | BadRow:
    try:
        row: dict[str, Any] = piece.to_pylist()[0]
    except UnicodeDecodeError as error:
        text = json.dumps(
            [
                str(column.cast(pa.binary())[0]) if pa.types.is_string(column.type) else None
                for column in piece.columns
            ]
        )
        return BadRow("invalid_utf8", str(error), text[:RAW_CHARS])
    return row


def _dataset(item: Input, path: Path, max_row_bytes: int) -> Iterator[Record]:
    """Read a dataset through `datasets`: a saved folder, a dataset folder, or a Hub id."""
    import datasets  # takes a second
    from datasets.exceptions import DatasetsError

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
        yield from _numbered(within(dict(row), max_row_bytes) for row in data)
    except (OSError, ValueError, KeyError, pa.ArrowException, DatasetsError) as error:
        raise InputError(
            f"The dataset '{item.hub or item.path}' cannot be read: {error}. "
            "Check its name, 'config', 'split' and 'revision', and the network."
        ) from error
