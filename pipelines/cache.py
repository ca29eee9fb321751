"""The score cache: what has been computed once for a row is never computed again.

A scorer's folder is named by its identity: the name and revision of the scorer, its fields, and
the fingerprint of the model behind it. In it lie numbered Parquet parts, each the result of one
piece of work, keyed by content. A part appears under its name only when it is complete, and is
never changed, so any number of runs can share a cache. Where two parts hold the same key, the
lower number counts.
"""

import contextlib
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.pipelines.corpus import Corpus
from siftline.pipelines.method import Scorer, Training, files_of, rows_digest


def scorer_identity(scorer: Scorer, fingerprints: dict[str, Any]) -> dict[str, Any]:
    """Return everything that a scorer's results depend on, apart from the row itself.

    Args:
        scorer: Its fields count, except the role of its model, which is only a name.
        fingerprints: Fingerprint of each model, by role, and of each file that scorers read.
    """
    return {
        "table": scorer.table,
        "revision": scorer.revision,
        "key": scorer.key,
        **_fields_and_model(scorer, fingerprints),
    }


def artifact_identity(training: Training, corpus: Corpus, prints: dict[str, Any]) -> dict[str, Any]:
    """Return everything that a trained model depends on.

    Args:
        training: How, and on which rows of the corpus.
        corpus: Its rows count by content.
        prints: Fingerprint of each model, by role.
    """
    return {
        "trainer": type(training.trainer).__name__,
        "revision": training.trainer.revision,
        "rows": rows_digest(corpus, training.rows),
        **_fields_and_model(training.trainer, prints),
    }


def _fields_and_model(config: Any, fingerprints: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration's fields, those that run a model with that model's fingerprint."""
    fields = config.model_dump(mode="json")
    for name in fields:
        value = getattr(config, name)
        if hasattr(value, "table"):
            fields[name] = scorer_identity(value, fingerprints)
        elif hasattr(value, "role"):
            fields[name] = _fields_and_model(value, fingerprints)
            if hasattr(value, "revision"):
                fields[name]["revision"] = value.revision
    model = None
    if config.role is not None:
        fields.pop("model")
        model = fingerprints[config.role]
    files = {"files": [fingerprints[name] for name in found]} if (found := files_of(config)) else {}
    return {"fields": fields, "model": model, **files}


def identity_hash(identity: object) -> str:
    """Return 16 hex digits for a JSON-able identity."""
    canonical = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class ScoreCache:
    """The cached scores of one scorer.

    Attributes:
        folder: Where its parts lie.
        key: Name of the key column.
    """

    def __init__(self, root: Path, identity: dict[str, Any]) -> None:
        self.folder = root / identity["table"] / identity_hash(identity)
        self.key: str = identity["key"]
        self.folder.mkdir(parents=True, exist_ok=True)
        readable = self.folder / "identity.json"
        if not readable.exists():
            write_atomically(readable, json.dumps(identity, indent=1, ensure_ascii=False))
        self._parts: list[Path] = []
        self._keys: pa.ChunkedArray = pa.chunked_array([], pa.string())
        self._starts = np.zeros(1, dtype=np.int64)  # first position of each part, then the end

    def refresh(self) -> None:
        """Take notice of parts that have appeared since."""
        known = set(self._parts)
        fresh = sorted(path for path in self.folder.glob("part-*.parquet") if path not in known)
        chunks = self._keys.chunks
        for path in fresh:
            keys = pq.read_table(path, columns=[self.key])[self.key].combine_chunks()
            self._parts.append(path)
            self._starts = np.append(self._starts, self._starts[-1] + len(keys))
            chunks.append(keys)
        self._keys = pa.chunked_array(chunks, pa.string())

    def missing(self, keys: pa.Array) -> pa.Array:
        """Return which keys are not in the cache, as booleans."""
        return pc.is_null(pc.index_in(keys, value_set=self._keys))

    def locate(self, keys: pa.Array) -> npt.NDArray[np.int64]:
        """Return where each key lies, for :meth:`read`.

        Raises:
            KeyError: One of them is not in the cache.
        """
        found = pc.index_in(keys, value_set=self._keys)
        if found.null_count:
            raise KeyError(f"{found.null_count} of {len(keys)} rows are not in {self.folder}")
        positions: npt.NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
        return positions

    def read(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """Return the scores at some positions, in their order, without the key column."""
        part = np.searchsorted(self._starts, positions, side="right") - 1
        order = np.argsort(part, kind="stable")
        pieces = []
        for number in np.unique(part):
            rows = positions[order[part[order] == number]] - self._starts[number]
            table = pq.read_table(self._parts[number]).drop_columns([self.key])
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
        temporary = self.folder / f".{uuid.uuid4().hex}.tmp"
        pq.write_table(table, temporary, compression="zstd")
        number = len(list(self.folder.glob("part-*.parquet")))
        while not self._publish(temporary, number):
            number += 1
        temporary.unlink()

    def _publish(self, temporary: Path, number: int) -> bool:
        """Give a finished part its name, unless another process has just taken it."""
        with contextlib.suppress(FileExistsError):
            os.link(temporary, self.folder / f"part-{number:06d}.parquet")
            return True
        return False


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
