"""What ingestion writes: shards of examples, and quarantine. Both close at a number of bytes.

So memory follows from these numbers and not from how large the rows are, here and in every stage,
which reads a shard at a time. The numbers are part of no setting: the same data make the same
shards on every machine.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import EXAMPLES, shard_name
from siftline.contracts.parquet import TableWriter, write_table
from siftline.contracts.printable import encodable, excerpt
from siftline.contracts.unique_ids import UniqueIds
from siftline.pipelines.ingestion.plain_rows import PlainRows
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
    """Writes examples as numbered Parquet files, each appearing when it is complete.

    A shard is written by a thread while the next one is gathered.
    """

    def __init__(self, folder: Path, rows: int, size: int, threads: Executor) -> None:
        """Open a folder for shards.

        Args:
            folder: Made when it is missing.
            rows: Most rows of a shard.
            size: Most bytes of a shard; a row above it is a shard of one.
            threads: Where shards are written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._number = folder, 0
        self._most_rows, self._most_bytes = rows, size
        self._threads, self._ids = threads, UniqueIds()
        self._written: Future[None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._rows = self._bytes = 0
        self._pieces: list[list[dict[str, Any]] | pa.Table] = []

    def add(self, example: dict[str, Any]) -> None:
        """Take an example, with the columns of `EXAMPLES` and the id that it wants."""
        held = [example["metadata"], example["tools"], example["media"]]
        for turn in example["messages"]:
            held += [turn["content"], turn.get("reasoning"), turn.get("tool_calls")]
        size = sum(_bytes_of(text) for text in held if text)
        if self._rows and (self._rows >= self._most_rows or self._bytes + size > self._most_bytes):
            self._flush()
        if not self._pieces or not isinstance(self._pieces[-1], list):
            self._pieces.append([])
        self._pieces[-1].append(example)
        self._rows += 1
        self._bytes += size

    def add_plain(self, rows: PlainRows) -> None:
        """Take examples that are in columns."""
        ends = np.cumsum(rows.sizes)
        done = 0
        while done < len(ends):
            before = int(ends[done - 1]) if done else 0
            room = self._most_bytes - self._bytes + before
            fits = min(
                int(np.searchsorted(ends, room, "right")) - done, self._most_rows - self._rows
            )
            if fits <= 0 and self._rows:
                self._flush()
                continue
            stop = done + max(fits, 1)
            self._pieces.append(rows.examples.slice(done, stop - done))
            self._rows += stop - done
            self._bytes += int(ends[stop - 1]) - before
            done = stop

    def close(self) -> None:
        """Write the last shard, and wait for all that are being written."""
        self._flush()
        self._wait()

    def _flush(self) -> None:
        self._wait()
        if not self._rows:
            return
        path = self._folder / shard_name(self._number)
        self._written = self._threads.submit(_write_shard, self._pieces, self._ids, path)
        self._number += 1
        self._begin()

    def _wait(self) -> None:
        """Wait for the shard that is being written, and raise what has failed there."""
        if self._written is not None:
            self._written.result()
            self._written = None


def _write_shard(
    pieces: Sequence[list[dict[str, Any]] | pa.Table], ids: UniqueIds, path: Path
) -> None:
    tables = [
        piece if isinstance(piece, pa.Table) else pa.Table.from_pylist(piece, schema=EXAMPLES)
        for piece in pieces
    ]
    table = pa.concat_tables(tables).combine_chunks()
    wanted = table["id"].to_pylist()
    given = ids.take_all(wanted)
    if given != wanted:
        table = table.set_column(0, EXAMPLES.field("id"), pa.array(given, pa.string()))
    write_table(table, path)


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
