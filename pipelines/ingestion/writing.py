"""What ingestion writes: shards of examples, and quarantine. Both close at a number of bytes.

So memory follows from these numbers and not from how large the rows are, here and in every stage,
which reads a shard at a time. The numbers are part of no setting: the same data make the same
shards on every machine.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from siftline.contracts.corpus import EXAMPLES, shard_name
from siftline.contracts.parquet import TableWriter, write_table
from siftline.contracts.printable import encodable, excerpt
from siftline.pipelines.ingestion.rows import BadRow

SHARD_BYTES = 64 << 20  # of messages and metadata, as UTF-8

QUARANTINE = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("raw", pa.string()),
    ]
)

_QUARANTINE_ROWS = 256
_QUARANTINE_BYTES = 4 << 20


class _Waiting:
    """Rows in memory, up to a number of rows or of bytes."""

    def __init__(self, rows: int, size: int) -> None:
        self._most_rows, self._most_bytes = rows, size
        self._bytes = 0
        self.rows: list[dict[str, Any]] = []

    def has_room(self, size: int) -> bool:
        """Return whether a row of so many bytes may join; a row alone always may."""
        fits = len(self.rows) < self._most_rows and self._bytes + size <= self._most_bytes
        return fits or not self.rows

    def add(self, row: dict[str, Any], size: int) -> None:
        """Take a row of so many bytes."""
        self.rows.append(row)
        self._bytes += size

    def clear(self) -> None:
        """Forget all rows."""
        self.rows, self._bytes = [], 0


class Shards:
    """Writes examples as numbered Parquet files, each appearing when it is complete."""

    def __init__(self, folder: Path, rows: int, size: int) -> None:
        """Open a folder for shards.

        Args:
            folder: Made when it is missing.
            rows: Most rows of a shard.
            size: Most bytes of a shard; a row above it is a shard of one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._number = folder, 0
        self._waiting = _Waiting(rows, size)

    def add(self, example: dict[str, Any]) -> None:
        """Take an example, with the columns of `EXAMPLES`."""
        held = [example["metadata"], example["tools"], example["media"]]
        for turn in example["messages"]:
            held += [turn["content"], turn.get("reasoning"), turn.get("tool_calls")]
        size = sum(_bytes_of(text) for text in held if text)
        if not self._waiting.has_room(size):
            self.flush()
        self._waiting.add(example, size)

    def flush(self) -> None:
        """Write the last shard."""
        if not self._waiting.rows:
            return
        table = pa.Table.from_pylist(self._waiting.rows, schema=EXAMPLES)
        write_table(table, self._folder / shard_name(self._number))
        self._number += 1
        self._waiting.clear()


class Quarantine:
    """Writes unusable rows as they come, and remembers the first."""

    def __init__(self, path: Path) -> None:
        self._writer = TableWriter(path, QUARANTINE)
        self._waiting = _Waiting(_QUARANTINE_ROWS, _QUARANTINE_BYTES)
        self.first: dict[str, Any] = {}

    def add(self, source: str, file: str, number: int, bad: BadRow) -> None:
        """Take a row that cannot be used; what it says of itself becomes UTF-8."""
        detail, raw = excerpt(encodable(bad.detail)), encodable(bad.raw)
        row = {"source": source, "file": file, "row": number}
        row |= {"reason": bad.reason, "detail": detail, "raw": raw}
        self.first = self.first or row
        size = _bytes_of(raw)
        if not self._waiting.has_room(size):
            self._flush()
        self._waiting.add(row, size)

    def close(self) -> None:
        """Write what waits, and give the file its name."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write(pa.Table.from_pylist(self._waiting.rows, schema=QUARANTINE))
        self._waiting.clear()


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))
