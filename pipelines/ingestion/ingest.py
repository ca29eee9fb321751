"""Ingestion: every input into Arrow shards of examples, every unusable row into quarantine."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from siftline.contracts import progress
from siftline.contracts.config import Config
from siftline.contracts.errors import InputError, RecipeError, nearest
from siftline.contracts.examples import UniqueIds, hashes
from siftline.contracts.printable import encodable
from siftline.pipelines.ingestion.detection import EXPECTED, Shapes, head_of
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.readers import read_input
from siftline.pipelines.ingestion.repair import Notes, remedies, remedy
from siftline.pipelines.ingestion.rows import BadRow, Record, raw_of
from siftline.pipelines.ingestion.shapes import Draft, is_shaped, to_drafts
from siftline.pipelines.ingestion.unused import Unused
from siftline.pipelines.ingestion.values import TOO_DEEP, BadRecordError
from siftline.pipelines.ingestion.writing import SHARD_BYTES, Quarantine, Shards

_MOST_COLUMNS = 10_000  # are remembered of a source whose columns are mapped


class SourceIngest(Config):
    """What has been read of one source: rows = used + quarantined.

    Attributes:
        files: That were read.
        rows: In them.
        used: Rows that became examples.
        examples: Made of them, one for each response.
        quarantined: Rows that cannot be used, by reason.
        repairable: Rows of those that a `repair` would mend, by it.
        repaired: Rows that were used once they were repaired, by what the recipe's `repair` says.
        skipped: What rows that were used have lost, by :data:`siftline.pipelines.ingestion.repair.
            SKIPPED`.
        warnings: Sentences about columns that the prompt may need and does not hold.
    """

    files: int
    rows: int
    used: int
    examples: int
    quarantined: dict[str, int]
    repairable: dict[str, int] = {}
    repaired: dict[str, int] = {}
    skipped: dict[str, int] = {}
    warnings: tuple[str, ...] = ()


class IngestSummary(Config):
    """What has been read, by source."""

    sources: dict[str, SourceIngest]


def ingest(
    inputs: Sequence[Input],
    base: Path,
    folder: Path,
    *,
    max_bad_rows: float,
    max_row_bytes: int,
    shard_rows: int,
    shard_bytes: int = SHARD_BYTES,
    runs: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> IngestSummary:
    """Read all inputs into `folder/examples/` and `folder/quarantine.parquet`.

    Args:
        inputs: Read in this order, their files by name.
        base: Folder that paths are relative to.
        folder: Empty; where to write.
        max_bad_rows: Share of unusable rows above which it is an error.
        max_row_bytes: Larger rows are quarantined.
        shard_rows: Most examples in one shard.
        shard_bytes: Most bytes of messages and metadata in one shard.
        runs: The run directory, into which no glob of an input leads.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        InputError: An input is missing, damaged or of no known shape; too many rows are unusable
            (quarantine is written first); or no row is usable.
        RecipeError: A column that the recipe maps is in no row.
    """
    shards = Shards(folder / "examples", shard_rows, shard_bytes)
    ids = UniqueIds()
    quarantine = Quarantine(folder / "quarantine.parquet")
    counts: dict[str, Counter[str]] = {}
    warnings: dict[str, list[str]] = {}
    for item in inputs:
        count = counts.setdefault(item.source, Counter())
        columns: set[str] = set()
        notes, unused = Notes(item.repair), Unused()
        files: list[tuple[str, int]] = []  # and the rows of each
        for name, records in read_input(item, base, max_row_bytes, runs):
            count["files"] += 1
            before = count["rows"]
            noticed = _noticed(records, item, columns)
            for number, outcome in _outcomes(noticed, item, name, notes):
                count["rows"] += 1
                if on_progress:
                    on_progress(1)
                if isinstance(outcome, BadRow):
                    count[f"bad {outcome.reason}"] += 1
                    count.update(f"repairable {each}" for each in remedies(outcome.detail))
                    quarantine.add(item.source, name, number, outcome)
                    continue
                count["used"] += 1
                if noted := notes.taken():
                    count.update(noted)
                unused.see(notes, outcome[0].messages)
                for draft in outcome:
                    count["examples"] += 1
                    shards.add(_example(draft, ids, item.source, name, number))
            files.append((name, count["rows"] - before))
        _check_rows(item, files)
        _check_columns(item, columns)
        warnings.setdefault(item.source, []).extend(unused.warnings())
    shards.flush()
    quarantine.close()
    summary = IngestSummary(
        sources={name: _source(count, warnings[name]) for name, count in counts.items()}
    )
    _check_share(summary, quarantine.first, max_bad_rows, folder)
    return summary


def _noticed(records: Iterator[Record], item: Input, columns: set[str]) -> Iterator[Record]:
    """Yield records, and note the names of their columns where the recipe maps some."""
    for record in records:
        if item.columns and isinstance(record.value, dict) and len(columns) < _MOST_COLUMNS:
            columns.update(record.value)
        yield record


def _check_rows(item: Input, files: Sequence[tuple[str, int]]) -> None:
    """Check that an input holds rows, and name a file of it that holds none.

    Raises:
        InputError: None of its files holds a row.
    """
    empty = [name for name, rows in files if not rows]
    if len(empty) == len(files):
        raise InputError(
            f"Input '{item.path or item.hub}' holds no row; expected at least one. Take it out."
        )
    if empty:
        more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
        have = "have" if more else "has"
        progress.warn(
            f"'{encodable(empty[0])}'{more}, of the {len(files):,} files of "
            f"'{encodable(item.path or '')}', {have} no row; the others are read."
        )


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
    records: Iterator[Record], item: Input, name: str, notes: Notes
) -> Iterator[tuple[int, BadRow | list[Draft]]]:
    """Yield each record's number with its examples, or with what is wrong."""
    head = head_of(records)
    if not head:
        return
    shapes = Shapes(head, item, name)
    for number, value in itertools.chain(head, records):
        notes.clear()
        yield number, value if isinstance(value, BadRow) else _outcome(value, shapes, item, notes)


def _outcome(
    value: dict[str, Any], shapes: Shapes, item: Input, notes: Notes
) -> BadRow | list[Draft]:
    shape = shapes.of(value)
    try:
        return to_drafts(value, shape, item, notes)
    except BadRecordError as error:
        detail = str(error)
        if error.reason == "missing_field" and not is_shaped(value, shape, item.columns):
            columns = ", ".join(f"'{key}'" for key, held in value.items() if held is not None)
            got = f"got the columns {columns}" if columns else "got no column that holds something"
            detail += f"; {got}, expected {EXPECTED}"
        return BadRow(error.reason, detail, raw_of(value))
    except RecursionError:
        return BadRow("wrong_type", TOO_DEEP, raw_of(value))


def _example(draft: Draft, ids: UniqueIds, source: str, name: str, number: int) -> dict[str, Any]:
    digest, prompt = hashes(draft.messages, draft.tools, draft.media)
    return {
        "id": ids.take(draft.id or digest),
        "content_hash": digest,
        "prompt_id": prompt,
        "messages": draft.messages,
        "tools": draft.tools,
        "media": draft.media,
        "source": source,
        "task": draft.task,
        "origin": draft.origin,
        "metadata": draft.metadata,
        "file": name,
        "row": number,
    }


def _source(count: Counter[str], warnings: Sequence[str]) -> SourceIngest:
    return SourceIngest(
        files=count["files"],
        rows=count["rows"],
        used=count["used"],
        examples=count["examples"],
        quarantined=_named(count, "bad"),
        repairable=_named(count, "repairable"),
        repaired=_named(count, "repaired"),
        skipped=_named(count, "skipped"),
        warnings=tuple(warnings),
    )


def _named(count: Counter[str], kind: str) -> dict[str, int]:
    """Return the counts of one kind, by what comes after its name."""
    start = f"{kind} "
    return {key[len(start) :]: n for key, n in sorted(count.items()) if key.startswith(start)}


def _check_share(summary: IngestSummary, first: dict[str, Any], limit: float, folder: Path) -> None:
    sources = summary.sources.values()
    rows = sum(source.rows for source in sources)
    reasons: Counter[str] = Counter()
    for source in sources:
        reasons.update(source.quarantined)
    bad = reasons.total()
    if bad <= limit * rows and bad < rows:
        return
    top = ", ".join(f"{slug} {count}" for slug, count in reasons.most_common(3))
    ways: Counter[str] = Counter()
    for source in sources:
        ways.update(source.repairable)
    mended = ", ".join(f"{remedy(field)} {count}" for field, count in ways.most_common())
    raise InputError(
        f"{bad} of {rows} rows ({bad / rows:.1%}) cannot be used, more than the "
        f"{limit:.1%} of 'max_bad_rows': {top}; the first is row {first['row']} of "
        f"'{first['file']}' ({first['detail']}). See '{folder / 'quarantine.parquet'}', then mend "
        f"the input{f', repair its rows ({mended})' if mended else ''} or raise the limit."
    )
