"""What `siftline run` prints."""

from rich import box
from rich.console import Console
from rich.table import Table

from siftline.pipelines.manifest import StageManifest
from siftline.pipelines.run import RunResult
from siftline.pipelines.run_directory import INGEST
from siftline.terminal import shown


def print_result(result: RunResult, out: Console) -> None:
    """Print what a run has done: the stages, what was spent, and where things are."""
    # Without vertical rules most reasons fit into a line of 80 characters.
    title = shown(f"{result.recipe} {result.version}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    for name, justify in (
        ("stage", "left"),
        ("rows in", "right"),
        ("kept", "right"),
        ("dropped", "left"),
        ("seconds", "right"),
        ("tokens", "right"),
    ):
        # A reason is a name to look up: a long one goes on in the next line, and is never cut.
        wraps = name == "dropped"
        table.add_column(name, justify=justify, no_wrap=not wraps, overflow="fold")  # type: ignore[arg-type]
    sources = result.ingest.summary.sources.values()
    rows = sum(source.rows for source in sources)
    used = sum(source.used for source in sources)
    examples = sum(source.examples for source in sources)
    bad: dict[str, int] = {}
    for source in sources:
        for slug, count in source.quarantined.items():
            bad[slug] = bad.get(slug, 0) + count
    table.add_row(
        INGEST, f"{rows:,}", f"{examples:,}", _reasons(bad), f"{result.ingest.seconds:.1f}", ""
    )
    for stage in result.stages:
        table.add_row(
            shown(stage.folder),
            f"{stage.rows:,}",
            f"{stage.kept:,}",
            _reasons(stage.reasons_dropped),
            f"{stage.seconds:.1f}",
            f"{stage.tokens:,}" if stage.tokens else "",
        )
    out.print(table)
    if result.reused:
        out.print("Nothing has changed since this version was finished: it is reused.")
    out.print(
        f"{result.export.rows:,} rows curated; {result.model_calls:,} model calls, "
        f"{result.scored:,} scores computed, {result.cached:,} from the cache."
    )
    if examples != used:
        out.print(f"input    {used:,} rows gave {examples:,} examples, one for each response.")
    _print_remarks(result, out)
    folder = shown(result.folder / "curated")
    out.print(
        f"dataset  {folder}, {result.export.format}, {_kind(result)} in data/", soft_wrap=True
    )
    out.print(f"reasons  {shown(result.folder / 'decisions.parquet')}", soft_wrap=True)
    out.print(f"report   {shown(result.folder / 'report.html')}", soft_wrap=True)


def _changed(stage: StageManifest) -> str:
    """Return what a stage has changed in the rows that it keeps; '' for nothing."""
    counts = ((stage.masked, "masked"), (stage.revised, "with a new response"))
    return ", ".join(f"{count:,} of {stage.rows:,} rows {what}" for count, what in counts if count)


def _print_remarks(result: RunResult, out: Console) -> None:
    for stage in result.stages:
        if changed := _changed(stage):
            out.print(f"changed  {shown(stage.folder)}: {changed}.", soft_wrap=True)
    for remark in result.ingest.remarks:
        out.print(f"input    {shown(remark)}", soft_wrap=True)
    for warning in result.ingest.warnings:
        out.print(f"[yellow]warning[/]  {shown(warning)}", soft_wrap=True)
    for stage in result.stages:
        for warning in stage.warnings:
            out.print(
                f"[yellow]warning[/]  {shown(stage.folder)}: {shown(warning)}", soft_wrap=True
            )


def _kind(result: RunResult) -> str:
    return "JSON lines" if result.export.files[0].endswith(".jsonl") else "Parquet"


def _reasons(counts: dict[str, int]) -> str:
    return shown(", ".join(f"{slug} {count:,}" for slug, count in counts.items()))
