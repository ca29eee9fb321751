"""Sentences about what was read: what was repaired, and what rows that were used have lost."""

from siftline.pipelines.ingestion.ingest import IngestSummary, SourceIngest
from siftline.pipelines.ingestion.repair import SKIPPED, remedy


def remarks(summary: IngestSummary) -> list[str]:
    """Return a sentence for each thing that was done to the rows of a source; none if nothing."""
    return [
        f"{name}: {sentence}"
        for name, source in summary.sources.items()
        for sentence in _sentences(source)
    ]


def repaired_rows(source: SourceIngest) -> str:
    """Return how many rows of a source were repaired, by what was done; '' for none."""
    return ", ".join(f"{name} {rows:,}" for name, rows in source.repaired.items())


def _sentences(source: SourceIngest) -> list[str]:
    sentences = []
    if source.repairable:
        ways = ", ".join(f"{remedy(name)} {rows:,}" for name, rows in source.repairable.items())
        sentences.append(f"rows in quarantine that could be used: {ways}.")
    if source.repaired:
        sentences.append(f"rows used once they were repaired: {repaired_rows(source)}.")
    if source.skipped:
        left = ", ".join(f"{count:,} {SKIPPED[name]}" for name, count in source.skipped.items())
        sentences.append(f"left out of rows that are used: {left}.")
    return sentences
