"""Streaming readers: every container that instruction data comes in, one record at a time.

Memory does not grow with a file. A row that cannot be read is yielded as a :class:`BadRow`, with
its raw text; a file that is damaged as a whole is an error.
"""

import contextlib
import csv
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from siftline.contracts.errors import InputError
from siftline.contracts.printable import excerpt
from siftline.pipelines.ingestion.arrow_rows import read_arrow
from siftline.pipelines.ingestion.csv_rows import read_csv
from siftline.pipelines.ingestion.inputs import (
    Input,
    compression,
    is_saved_dataset,
    name_of,
    resolve,
    suffix,
)
from siftline.pipelines.ingestion.json_rows import read_json
from siftline.pipelines.ingestion.rows import BadRow, BrokenFileError, Record, within

# What pyarrow raises of a file that is damaged, besides its own exceptions.
_DAMAGED = (OSError, EOFError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError)


def read_input(
    item: Input, base: Path, max_row_bytes: int, runs: Path | None = None
) -> Iterator[tuple[str, Iterator[Record]]]:
    """Yield the files of an input, each as its name and its records; an empty one has none.

    Args:
        item: The input.
        base: Folder that its path is relative to.
        max_row_bytes: Larger rows are bad.
        runs: The run directory, into which no glob leads.

    Raises:
        InputError: A file is missing, damaged or of an unknown type.
    """
    for path in resolve(item, base, runs):
        name = name_of(path, base)
        if path.is_file() and path.stat().st_size == 0:
            yield name, iter(())
        elif path.is_dir():
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
                rows = read_csv(stream, max_row_bytes)
            else:
                rows = _arrow(stream, path, max_row_bytes)
            yield from _numbered(rows)
    except (*_DAMAGED, MemoryError, csv.Error, BrokenFileError, pa.ArrowException) as error:
        raise InputError(
            f"'{path.name}' cannot be read: {_said(error)}. Expected a whole {kind} file; "
            "replace it or take it out of the recipe."
        ) from error


def _numbered(rows: Iterable[dict[str, Any] | BadRow]) -> Iterator[Record]:
    """Number rows from 1."""
    return (Record(number, row) for number, row in enumerate(rows, start=1))


def _open(path: Path) -> IO[bytes]:
    """Open a file, unpacked; one that was cut short raises OSError when its end is reached."""
    if codec := compression(path):
        return pa.CompressedInputStream(path.open("rb"), codec)  # type: ignore[no-any-return]
    return path.open("rb")


def _arrow(stream: IO[bytes], path: Path, limit: int) -> Iterator[dict[str, Any] | BadRow]:
    with contextlib.ExitStack() as stack:
        if compression(path):  # columnar files are read at random, so they are unpacked first
            unpacked = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(stream, unpacked)
            unpacked.seek(0)
            stream = unpacked
        yield from read_arrow(stream, suffix(path), limit)


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
    except (*_DAMAGED, pa.ArrowException, DatasetsError) as error:
        raise InputError(
            f"The dataset '{item.hub or item.path}' cannot be read: {_said(error)}. "
            "Check its name, 'config', 'split' and 'revision', and the network."
        ) from error


def _said(error: BaseException) -> str:
    """Return what a library says of an error, in one line and without its full stop."""
    return excerpt(str(error)).rstrip(".") or type(error).__name__
