"""The report in a few lines of Markdown, for Prefect's artifacts and for logs."""

from siftline.pipelines.manifest import Summary


def markdown_summary(summary: Summary) -> str:
    """Return totals and the table of stages.

    It holds numbers, reason slugs and names that the recipe's schema restricts, no data.
    """
    sources = summary.ingest.summary.sources.values()
    rows = sum(source.rows for source in sources)
    quarantined = sum(sum(source.quarantined.values()) for source in sources)
    repaired = sum(sum(source.repaired.values()) for source in sources)
    lines = [
        f"# {summary.recipe} {summary.version}",
        "",
        f"{rows:,} rows read, {quarantined:,} quarantined, {repaired:,} repairs, "
        f"**{summary.export.rows:,} curated** as {summary.export.format}. "
        f"{summary.model_calls:,} model calls, {summary.tokens:,} tokens, "
        f"{summary.cached:,} scores from the cache.",
        "",
        "| stage | rows in | kept | dropped | seconds | tokens |",
        "|---|---:|---:|---|---:|---:|",
    ]
    for stage in summary.stages:
        dropped = ", ".join(f"{slug} {count:,}" for slug, count in stage.reasons_dropped.items())
        lines.append(
            f"| {stage.folder} | {stage.rows:,} | {stage.kept:,} | {dropped or 'none'} "
            f"| {stage.seconds:.1f} | {stage.tokens:,} |"
        )
    return "\n".join(lines) + "\n"
