"""The one writer of Parquet: files that appear whole or not at all."""

import os
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_COMPRESSION = "zstd"


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table, in the place of a file of that name."""
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression=_COMPRESSION)
    temporary.replace(path)


def publish_table(table: pa.Table, folder: Path, pattern: str, first: int) -> Path:
    """Write a table under the first number that no other process has taken.

    Args:
        table: What is written.
        folder: Where.
        pattern: Of the name, such as `part-{:06d}.parquet`.
        first: The number that is tried first.

    Returns:
        The path that it got; a file that is there already is never replaced.
    """
    temporary = folder / f".{uuid.uuid4().hex}.tmp"
    pq.write_table(table, temporary, compression=_COMPRESSION)
    number = first
    while True:
        path = folder / pattern.format(number)
        try:
            os.link(temporary, path)
        except FileExistsError:
            number += 1
            continue
        temporary.unlink()
        return path


class TableWriter:
    """Writes a file batch by batch; it gets its name when it is closed."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._writer = pq.ParquetWriter(self._temporary, schema, compression=_COMPRESSION)

    def write(self, table: pa.Table) -> None:
        """Write some more rows."""
        self._writer.write_table(table)

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._writer.close()
        self._temporary.replace(self._path)
