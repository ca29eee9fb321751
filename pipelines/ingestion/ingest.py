"""Ingestion: every input into Arrow shards of examples, every unusable row into quarantine."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from siftline.contracts.config import Config
from siftline.contracts.corpus import EXAMPLES, shard_name
from siftline.contracts.errors import InputError, RecipeError, nearest
from siftline.contracts.examples import UniqueIds, content_hash, prompt_hash
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.readers import read_input
from siftline.pipelines.ingestion.rows import RAW_CHARS, BadRow, Record
from siftline.pipelines.ingestion.shapes import BadRecordError, Draft, detect, to_drafts
from siftline.pipelines.parquet import TableWriter, write_table

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
_QUARANTINE_ROWS = 256  # are held in memory
_MOST_COLUMNS = 10_000  # are remembered of a source whose columns are mapped


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
        write_table(table, self._folder / shard_name(self._number))
        self._number += 1
        self._waiting = []


class _Quarantine:
    """Writes unusable rows as they come, and remembers the first."""

    def __init__(self, path: Path) -> None:
        self._writer = TableWriter(path, QUARANTINE)
        self._waiting: list[dict[str, Any]] = []
        self.first: dict[str, Any] = {}

    def add(self, row: dict[str, Any]) -> None:
        self.first = self.first or row
        self._waiting.append(row)
        if len(self._waiting) == _QUARANTINE_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write(pa.Table.from_pylist(self._waiting, schema=QUARANTINE))
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
        RecipeError: A column that the recipe maps is in no row.
    """
    parts = _Parts(folder / "examples", shard_rows)
    ids = UniqueIds()
    quarantine = _Quarantine(folder / "quarantine.parquet")
    counts: dict[str, Counter[str]] = {}
    for item in inputs:
        count = counts.setdefault(item.source, Counter())
        columns: set[str] = set()
        for name, records in read_input(item, base, max_row_bytes):
            count["files"] += 1
            for number, outcome in _outcomes(_noticed(records, item, columns), item, name):
                count["rows"] += 1
                if on_progress:
                    on_progress(1)
                if isinstance(outcome, BadRow):
                    count[f"bad {outcome.reason}"] += 1
                    place = {"source": item.source, "file": name, "row": number}
                    quarantine.add({**place, **outcome._asdict()})
                    continue
                count["used"] += 1
                for draft in outcome:
                    count["examples"] += 1
                    parts.add(_example(draft, ids, item.source, name, number))
        _check_columns(item, columns)
    parts.flush()
    quarantine.close()
    summary = IngestSummary(sources={name: _source(count) for name, count in counts.items()})
    _check_share(summary, quarantine.first, max_bad_rows, folder)
    return summary


def _noticed(records: Iterator[Record], item: Input, columns: set[str]) -> Iterator[Record]:
    """Yield records, and note the names of their columns where the recipe maps some."""
    for record in records:
        if item.columns and isinstance(record.value, dict) and len(columns) < _MOST_COLUMNS:
            columns.update(record.value)
        yield record


def _check_columns(item: Input, columns: set[str]) -> None:
    """Check that every column that the recipe maps is one of the input's.

    Raises:
        RecipeError: No row has it, so another column would have been read in its place.
    """
    for field, column in item.columns.items():
        # Without a row that can be read there is nothing to compare with: that is another error.
        if columns and column not in columns and len(columns) < _MOST_COLUMNS:
            raise RecipeError(
                f"columns.{field}: no row of the source '{item.source}' has the column '{column}'."
                f"{nearest(column, columns)}"
            )


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
        except RecursionError:
            yield number, BadRow("wrong_type", "nested too deeply", str(sorted(value)))


def _detect(head: list[Record], item: Input, name: str) -> str:
    """Return the shape that most of a file's first rows have."""
    if not head:
        raise InputError(f"Input '{name}' holds no row; expected at least one. Take it out.")
    rows = [value for _, value in head if not isinstance(value, BadRow)]
    shapes = Counter(shape for row in rows if (shape := detect(row, item.columns)))
    if shapes:
        return shapes.most_common(1)[0][0]
    first = head[0].value
    if isinstance(first, BadRow):
        shape = f"{first.reason} in row 1 ({first.detail})"
    else:
        shape = "the columns " + ", ".join(f"'{key}'" for key in first)
    raise InputError(
        f"'{name}' has no shape that is known: got {shape}; expected instruction/output, "
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


def _check_share(summary: IngestSummary, first: dict[str, Any], limit: float, folder: Path) -> None:
    sources = summary.sources.values()
    rows = sum(source.rows for source in sources)
    if not rows:
        raise InputError("The inputs hold no row at all; expected at least one. Check their paths.")
    reasons: Counter[str] = Counter()
    for source in sources:
        reasons.update(source.quarantined)
    bad = reasons.total()
    if bad <= limit * rows and bad < rows:
        return
    top = ", ".join(f"{slug} {count}" for slug, count in reasons.most_common(3))
    raise InputError(
        f"{bad} of {rows} rows ({bad / rows:.1%}) cannot be used, more than the "
        f"{limit:.1%} of 'max_bad_rows': {top}; the first is row {first['row']} of "
        f"'{first['file']}' ({first['detail']}). See '{folder / 'quarantine.parquet'}', then mend "
        "the input or raise the limit."
    )
