"""The rows of a benchmark: of JSON, JSON lines, Parquet, or of a dataset of the Hub."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siftline.contracts.errors import InputError
from siftline.contracts.parquet import dataset_files
from siftline.contracts.printable import excerpt

_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")


def file_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, or of a folder of Parquet files.

    Raises:
        InputError: It cannot be read, or its rows are no objects.
    """
    for part in dataset_files(path):
        suffixes = [each for each in part.suffixes if each.lower() not in (".gz", ".zst")]
        kind = suffixes[-1].lower() if suffixes else ""
        read: Callable[[Path], Iterable[Any]] = _parquet_rows if kind == ".parquet" else _json_rows
        if kind not in _SUFFIXES:
            raise InputError(
                f"The benchmark '{part.name}' has an unknown type; expected "
                f"{', '.join(_SUFFIXES)}, plain, .gz or .zst. Convert it, or correct 'path'."
            )
        try:
            rows = list(read(part))
        except (OSError, ValueError, pa.ArrowException, RecursionError) as error:
            told = excerpt(str(error)).rstrip(".")
            raise InputError(
                f"The benchmark '{part.name}' cannot be read: {told}. Expected a whole {kind} "
                "file; replace it, or take it out of 'benchmarks'."
            ) from error
        for row in rows:
            if not isinstance(row, dict):
                raise InputError(
                    f"The benchmark '{part.name}' holds {type(row).__name__} as a row; expected "
                    "objects with the fields of an item. Replace the file."
                )
            yield row


def _json_rows(path: Path) -> Iterable[Any]:
    """Return the values of a JSON array, or of JSON lines."""
    with pa.input_stream(path, compression="detect") as stream:
        text = stream.read().decode("utf-8-sig")
    if text.lstrip().startswith("["):
        return list(json.loads(text))
    return _values_of_lines(text.split("\n"))


def _values_of_lines(lines: Iterable[str]) -> Iterator[Any]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is no JSON: {error}") from error


def _parquet_rows(path: Path) -> Iterable[Any]:
    return list(pq.read_table(path).to_pylist())


def hub_rows(name: str, config: str | None, split: str, revision: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a dataset of the Hub.

    Raises:
        InputError: It cannot be read.
    """
    import datasets  # takes a second
    from datasets.exceptions import DatasetsError

    try:
        data = datasets.load_dataset(name, config, split=split, revision=revision)
        yield from (dict(row) for row in data)
    except (OSError, ValueError, pa.ArrowException, DatasetsError) as error:
        told = excerpt(str(error)).rstrip(".")
        raise InputError(
            f"The benchmark '{name}' cannot be read: {told}. Check its name, 'config', 'split' and "
            "'revision', and the network."
        ) from error
