"""Ingestion: every input into Arrow shards of examples, every unusable row into quarantine."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siftline.pipelines.config import Config
from siftline.pipelines.corpus import EXAMPLES
from siftline.pipelines.errors import InputError
from siftline.pipelines.examples import UniqueIds, content_hash, prompt_hash
from siftline.pipelines.inputs import Input
from siftline.pipelines.readers import RAW_CHARS, BadRow, Record, read_input
from siftline.pipelines.shapes import BadRecordError, Draft, detect, to_drafts

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

_DETECTION_ROWS = 100  # of a file are looked at to find its shape


class SourceIngest(Config):
    """What has been read of one source: rows = used + quarantined."""

    files: int
    rows: int
    used: int
    examples: int
    quarantined: dict[str, int]


class IngestSummary(Config):
    """What has been read, by source."""

    sources: dict[str, SourceIngest]


class _Parts:
    """Writes rows as numbered Parquet parts of a fixed size, each appearing when complete."""

    def __init__(self, folder: Path, rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._rows, self._number = folder, rows, 0
        self._waiting: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) == self._rows:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        table = pa.Table.from_pylist(self._waiting, schema=EXAMPLES)
        _write(table, self._folder / f"part-{self._number:05d}.parquet")
        self._number += 1
        self._waiting = []


def ingest(
    inputs: Sequence[Input],
    base: Path,
    folder: Path,
    *,
    max_bad_rows: float,
    max_row_bytes: int,
    shard_rows: int,
    on_progress: Callable[[int], None] | None = None,
) -> IngestSummary:
    """Read all inputs into `folder/examples/` and `folder/quarantine.parquet`.

    Args:
        inputs: Read in this order, their files by name.
        base: Folder that paths are relative to.
        folder: Empty; where to write.
        max_bad_rows: Share of unusable rows above which it is an error.
        max_row_bytes: Larger rows are quarantined.
        shard_rows: Examples in one shard.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        InputError: An input is missing, damaged or of no known shape; too many rows are unusable
            (quarantine is written first); or no row is usable.
    """
    parts = _Parts(folder / "examples", shard_rows)
    ids = UniqueIds()
    bad: list[dict[str, Any]] = []
    counts: dict[str, Counter[str]] = {}
    for item in inputs:
        count = counts.setdefault(item.source, Counter())
        for name, records in read_input(item, base, max_row_bytes):
            count["files"] += 1
            for number, outcome in _outcomes(records, item, name):
                count["rows"] += 1
                if isinstance(outcome, BadRow):
                    count[f"bad {outcome.reason}"] += 1
                    place = {"source": item.source, "file": name, "row": number}
                    bad.append({**place, **outcome._asdict()})
                    continue
                count["used"] += 1
                for draft in outcome:
                    count["examples"] += 1
                    parts.add(_example(draft, ids, item.source, name, number))
                if on_progress:
                    on_progress(1)
    parts.flush()
    _write(pa.Table.from_pylist(bad, schema=QUARANTINE), folder / "quarantine.parquet")
    summary = IngestSummary(sources={name: _source(count) for name, count in counts.items()})
    _check_share(summary, bad, max_bad_rows, folder)
    return summary


def _outcomes(
    records: Iterator[Record], item: Input, name: str
) -> Iterator[tuple[int, BadRow | list[Draft]]]:
    """Yield each record's number with its drafts, or with what is wrong."""
    head = list(itertools.islice(records, _DETECTION_ROWS))
    shape = item.format if item.format != "auto" else _detect(head, item, name)
    for number, value in itertools.chain(head, records):
        if isinstance(value, BadRow):
            yield number, value
            continue
        try:
            yield number, to_drafts(value, shape, item)
        except BadRecordError as error:
            raw = json.dumps(value, default=str)[:RAW_CHARS]
            yield number, BadRow(error.reason, str(error), raw)


def _detect(head: list[Record], item: Input, name: str) -> str:
    shapes = Counter(
        shape
        for _, value in head
        if not isinstance(value, BadRow) and (shape := detect(value, item.columns))
    )
    if shapes:
        return shapes.most_common(1)[0][0]
    objects = [value for _, value in head if not isinstance(value, BadRow)]
    found = ", ".join(f"'{key}'" for key in objects[0]) if objects else "no readable row"
    raise InputError(
        f"'{name}' has no shape that is known: found {found}; expected instruction/output, "
        "conversations, messages, prompt/completion or question/answer. "
        "State 'format' and 'columns' for this input."
    )


def _example(draft: Draft, ids: UniqueIds, source: str, name: str, number: int) -> dict[str, Any]:
    digest = content_hash(draft.messages, draft.metadata)
    return {
        "id": ids.take(draft.id or digest),
        "content_hash": digest,
        "prompt_id": prompt_hash(draft.messages, draft.metadata),
        "messages": draft.messages,
        "source": source,
        "task": draft.task,
        "origin": draft.origin,
        "metadata": json.dumps(draft.metadata, sort_keys=True, ensure_ascii=False),
        "file": name,
        "row": number,
    }


def _source(count: Counter[str]) -> SourceIngest:
    reasons = {key[4:]: rows for key, rows in sorted(count.items()) if key.startswith("bad ")}
    return SourceIngest(
        files=count["files"],
        rows=count["rows"],
        used=count["used"],
        examples=count["examples"],
        quarantined=reasons,
    )


def _check_share(
    summary: IngestSummary, bad: list[dict[str, Any]], limit: float, folder: Path
) -> None:
    rows = sum(source.rows for source in summary.sources.values())
    if not rows:
        raise InputError("The inputs hold no row at all; expected at least one. Check their paths.")
    if len(bad) <= limit * rows and len(bad) < rows:
        return
    reasons = Counter(row["reason"] for row in bad)
    top = ", ".join(f"{slug} {count}" for slug, count in reasons.most_common(3))
    first = bad[0]
    raise InputError(
        f"{len(bad)} of {rows} rows ({len(bad) / rows:.1%}) cannot be used, more than the "
        f"{limit:.1%} of 'max_bad_rows': {top}; the first is row {first['row']} of "
        f"'{first['file']}' ({first['detail']}). See '{folder / 'quarantine.parquet'}', then mend "
        "the input or raise the limit."
    )


def _write(table: pa.Table, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)
