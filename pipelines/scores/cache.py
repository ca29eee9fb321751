"""The score cache: what has been computed once for a row is never computed again.

A scorer's folder is named by its identity: the name and revision of the scorer, its fields, and
the fingerprint of the model behind it. In it lie numbered Parquet parts, each the result of one
piece of work, keyed by content. A part appears under its name only when it is complete, and is
never changed, so any number of runs can share a cache. Where two parts hold the same key, the
lower number counts. A part that is damaged is put aside under another name, which keeps its number
taken: what it held is missing, and scored again.
"""

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts import progress
from siftline.contracts.errors import DamagedError
from siftline.contracts.parquet import publish_table, read_table
from siftline.contracts.publishing import sweep, writing
from siftline.contracts.records import SEAL, read_record, write_record
from siftline.pipelines.scores.identity import identity_hash

_PART = "scores-{:06d}.parquet"
PARTS = "scores-*.parquet"


class ScoreCache:
    """The cached scores of one scorer.

    Attributes:
        folder: Where its parts lie.
        key: Name of the key column.
    """

    def __init__(self, root: Path, identity: dict[str, Any]) -> None:
        self.folder = root / identity["table"] / identity_hash(identity)
        self.key: str = identity["key"]
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        _state(self.folder / SEAL, identity)
        sweep(self.folder)
        self._lock = threading.Lock()  # shards are scored from several threads
        self._parts: list[Path] = []
        self._keys: pa.ChunkedArray = pa.chunked_array([], pa.string())
        self._starts = np.zeros(1, dtype=np.int64)  # first position of each part, then the end

    def refresh(self) -> None:
        """Take notice of parts that have appeared since."""
        with self._lock:
            self._read_new_parts()

    def _read_new_parts(self) -> None:
        known = set(self._parts)
        found = {
            path: read
            for path in sorted(self.folder.glob(PARTS))
            if path not in known and (read := self._keys_of(path)) is not None
        }
        fresh, keys = list(found), list(found.values())
        # All are read before any is taken notice of: a failure leaves what was known in order.
        ends = self._starts[-1] + np.cumsum([len(each) for each in keys], dtype=np.int64)
        self._keys = pa.chunked_array([*self._keys.chunks, *keys], pa.string())
        self._parts = [*self._parts, *fresh]
        self._starts = np.append(self._starts, ends)

    def _keys_of(self, path: Path) -> pa.Array | None:
        """Return the keys of a part; None for a damaged one, which is put aside."""
        try:
            return read_table(path, [self.key])[self.key].combine_chunks()
        except DamagedError as error:
            progress.warn(error.mended("Its scores are made again."))
            with contextlib.suppress(FileNotFoundError):  # another run has put it aside
                path.rename(path.with_name(f"{path.name}.damaged"))
            return None

    def missing(self, keys: pa.Array) -> pa.Array:
        """Return which keys are not in the cache, as booleans."""
        return pc.is_null(pc.index_in(keys, value_set=self._keys))

    def locate(self, keys: pa.Array) -> npt.NDArray[np.int64]:
        """Return where each key lies, for :meth:`read`.

        Raises:
            KeyError: One of them is not in the cache.
        """
        places = pc.index_in(keys, value_set=self._keys)
        if places.null_count:
            raise KeyError(f"{places.null_count} of {len(keys)} rows are not in {self.folder}")
        positions: npt.NDArray[np.int64] = places.to_numpy(zero_copy_only=False).astype(np.int64)
        return positions

    def read(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """Return the scores at some positions, in their order, without the key column."""
        part = np.searchsorted(self._starts, positions, side="right") - 1
        order = np.argsort(part, kind="stable")
        pieces = []
        for number in np.unique(part):
            rows = positions[order[part[order] == number]] - self._starts[number]
            table = read_table(self._parts[number]).drop_columns([self.key])
            pieces.append(table.take(pa.array(rows)))
        restore = np.empty(len(order), dtype=np.int64)
        restore[order] = np.arange(len(order))
        return pa.concat_tables(pieces).take(pa.array(restore)).combine_chunks()

    def add(self, table: pa.Table) -> None:
        """Store one piece of work as the next part.

        Args:
            table: Its first column is the key.
        """
        if table.column_names[0] != self.key:
            raise ValueError(f"expected '{self.key}' as first column, got {table.column_names}")
        number = len(list(self.folder.glob(f"{PARTS}*")))
        publish_table(table, self.folder, _PART, number)


def _state(path: Path, identity: dict[str, Any]) -> None:
    """Write whose scores a folder holds, unless that is there as it was written."""
    with contextlib.suppress(DamagedError):
        if set(read_record(path)) == {"identity"}:
            return
    write_record(path, {"identity": identity})
