"""Ingestion: every input into Arrow shards of examples, every unusable row into quarantine."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from siftline.contracts.config import Config
from siftline.contracts.errors import InputError
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.readers import read_blocks
from siftline.pipelines.ingestion.repair import remedy
from siftline.pipelines.ingestion.taking import Taking
from siftline.pipelines.ingestion.writing import SHARD_BYTES, Quarantine, Shards


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
    quarantine = Quarantine(folder / "quarantine.parquet")
    counts: dict[str, Counter[str]] = {}
    warnings: dict[str, list[str]] = {}
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as writing:
        shards = Shards(folder / "examples", shard_rows, shard_bytes, writing)
        taken = Taking(shards, quarantine, reading, on_progress)
        for item in inputs:
            count = counts.setdefault(item.source, Counter())
            files = read_blocks(item, base, max_row_bytes, runs)
            warnings.setdefault(item.source, []).extend(taken.input(item, files, count))
        shards.close()
    quarantine.close()
    summary = IngestSummary(
        sources={name: _source(count, warnings[name]) for name, count in counts.items()}
    )
    _check_share(summary, quarantine.first, max_bad_rows, folder)
    return summary


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
