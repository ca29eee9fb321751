"""Streaming readers: every container that instruction data comes in, one record at a time.

Memory does not grow with a file. A row that cannot be read is yielded as a :class:`BadRow`, with
its raw text; a file that is damaged as a whole is an error.
"""

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from siftline.contracts.errors import InputError
from siftline.contracts.printable import encodable, excerpt
from siftline.pipelines.ingestion.arrow_rows import (
    binary_columns,
    check_schema,
    read_arrow,
    with_texts,
)
from siftline.pipelines.ingestion.blocks import Block, Raws, numbered, records
from siftline.pipelines.ingestion.csv_rows import read_csv
from siftline.pipelines.ingestion.inputs import (
    COLUMNAR,
    DELIMITERS,
    Input,
    Place,
    is_empty,
    is_saved_dataset,
    name_of,
    resolve,
    suffix,
)
from siftline.pipelines.ingestion.json_rows import read_parts
from siftline.pipelines.ingestion.opening import opened
from siftline.pipelines.ingestion.padding import without_padding
from siftline.pipelines.ingestion.rows import BadRow, BrokenFileError, Record, within
from siftline.pipelines.ingestion.shapes import detect

# What pyarrow raises of a file that is damaged, besides its own exceptions.
_DAMAGED = (OSError, EOFError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError)


def read_input(
    item: Input, base: Path, max_row_bytes: int, runs: Path | None = None
) -> Iterator[tuple[str, Iterator[Record]]]:
    """Yield the files of an input, each as its name and its records; as :func:`read_blocks`."""
    for name, items in read_blocks(item, base, max_row_bytes, runs):
        yield name, records(items)


def read_blocks(
    item: Input, base: Path, max_row_bytes: int, runs: Path | None = None
) -> Iterator[tuple[str, Iterator[Record | Block]]]:
    """Yield the files of an input, each as its name and its rows; an empty one has none.

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
        if is_empty(path):
            yield name, iter(())
        elif isinstance(path, Path) and path.is_dir():
            yield name, _dataset(item, path, max_row_bytes)
        else:
            yield name, _read_file(path, max_row_bytes, item)
    if item.hub is not None:
        yield item.hub, _dataset(item, base / item.hub, max_row_bytes)


def read_file(path: Place, max_row_bytes: int, item: Input | None = None) -> Iterator[Record]:
    """Yield the records of one file.

    Args:
        path: The file.
        max_row_bytes: Larger rows are bad.
        item: The input that it belongs to; its `encoding`, `delimiter` and `columns` count.

    Raises:
        InputError: The file is damaged, or of another kind than is read; the message names it.
    """
    return records(_read_file(path, max_row_bytes, item or Input(path=path.name)))


def _read_file(path: Place, max_row_bytes: int, item: Input) -> Iterator[Record | Block]:
    kind = suffix(path)
    try:
        yield from numbered(_rows(path, max_row_bytes, item))
    except (*_DAMAGED, MemoryError, csv.Error, BrokenFileError, pa.ArrowException) as error:
        remedy = error.remedy if isinstance(error, BrokenFileError) else ""
        remedy = remedy or f"Expected a whole {kind} file; replace it or take it out of the recipe."
        raise InputError(f"'{path.name}' cannot be read: {_said(error)}. {remedy}") from error


def _rows(path: Place, limit: int, item: Input) -> Iterator[dict[str, Any] | BadRow | Raws]:
    def is_row(row: dict[str, Any]) -> bool:
        return detect(row, item.columns) is not None

    with contextlib.ExitStack() as stack:
        first = stack.enter_context(opened(path, item))
        waiting = [first.stream]

        def again() -> IO[bytes]:
            return waiting.pop() if waiting else stack.enter_context(opened(path, item)).stream

        if first.kind in COLUMNAR:
            yield from read_arrow(again(), first.kind, limit)
        elif first.kind in DELIMITERS:
            between = item.delimiter or (None if first.kind == ".csv" else DELIMITERS[first.kind])
            yield from read_csv(
                again(), limit, delimiter=between, encoding=first.encoding, is_row=is_row
            )
        else:
            name = encodable(path.name)
            yield from read_parts(again, limit, encoding=first.encoding, is_row=is_row, name=name)


def _dataset(item: Input, path: Path, max_row_bytes: int) -> Iterator[Record | Block]:
    """Read a dataset through `datasets`: a saved folder, a dataset folder, or a Hub id."""
    import datasets  # takes a second
    from datasets.exceptions import DatasetsError

    try:
        for file in sorted(path.rglob("*.parquet")) if path.is_dir() else ():
            check_schema(pq.read_schema(file))  # `datasets` takes one of two fields of one name
        if is_saved_dataset(path):
            data = datasets.load_from_disk(str(path))
            if isinstance(data, datasets.DatasetDict):
                data = data[item.split]
        else:
            name = str(path) if path.is_dir() else item.hub
            data = datasets.load_dataset(
                name, item.config, split=item.split, revision=item.revision, streaming=True
            )
        schema = data.features.arrow_schema if data.features else pa.schema([])
        binary = binary_columns(schema)
        rows = (with_texts(without_padding(dict(row), schema), binary) for row in data)
        yield from numbered(within(row, max_row_bytes) for row in rows)
    except (*_DAMAGED, BrokenFileError, pa.ArrowException, DatasetsError) as error:
        raise InputError(
            f"The dataset '{item.hub or item.path}' cannot be read: {_said(error)}. "
            "Check its name, 'config', 'split' and 'revision', and the network."
        ) from error


def _said(error: BaseException) -> str:
    """Return what a library says of an error, in one line and without its full stop."""
    return excerpt(str(error)).rstrip(".") or type(error).__name__
