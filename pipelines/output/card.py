"""The dataset card: `README.md` of a dataset, read by people and by `datasets.load_dataset`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.manifest import ExportManifest, Summary
from siftline.pipelines.output.card_columns import column_lines
from siftline.pipelines.output.card_head import card_head, rows_of_source
from siftline.pipelines.output.formats.known import LINES
from siftline.pipelines.output.trainers.known import guides

_INTRODUCTION = """\
Instruction data for supervised fine-tuning, curated by siftline {siftline} from {sources}.
Recipe `{recipe}`, version {version}. `decisions.parquet` in the folder of the run has the reason
for every input row, and `report.html` tells the whole story. The rows are in `data`{readers}.
"""

_READERS = ", a folder that pandas, Arrow and polars open"


def dataset_card(
    summary: Summary, inputs: Sequence[Input], order: Mapping[str, Any] | None = None
) -> str:
    """Return the card as Markdown with a YAML head.

    Args:
        summary: What the run has done, with what was exported.
        inputs: Of its recipe.
        order: In which the splits are to be trained on (:mod:`.training_order`), if it matters.
    """
    sources = summary.ingest.summary.sources
    introduction = _INTRODUCTION.format(
        siftline=summary.siftline,
        recipe=summary.recipe,
        version=summary.version,
        sources="one source" if len(sources) == 1 else f"{len(sources)} sources",
        readers=""
        if summary.export.format in LINES
        else ", a folder that pandas, Arrow and polars open",
    )
    lines = [
        "---",
        card_head(summary, inputs),
        "---",
        f"# {summary.recipe}",
        "",
        introduction,
        "## Columns",
        "",
        *column_lines(summary.export),
        "",
        *_training_order(summary.export, order),
        *_trainers(summary),
        "## Sources",
        "",
        "| source | licence | rows read | quarantined | curated |",
        "|---|---|---:|---:|---:|",
        *_source_rows(summary, inputs),
        "",
        *[f"- {markdown_cell(remark)}" for remark in summary.ingest.remarks],
        "",
        *_written_rows(summary),
        *_quarantined(summary),
        "## Stages",
        "",
        "| stage | rows in | kept | dropped |",
        "|---|---:|---:|---|",
        *_stage_rows(summary),
        "",
    ]
    return "\n".join(lines)


def _training_order(export: ExportManifest, order: Mapping[str, Any] | None) -> list[str]:
    if order is None:
        return []
    rows = [f"| `{name}` | {count} |" for name, count in export.splits.items()]
    common = f"{order['overlap']['ids']} rows are in both. " if "overlap" in order else ""
    lines = ["## Training order", "", "| split | rows |", "|---|---:|", *rows, ""]
    return [*lines, common + order["note"], ""]


def _trainers(summary: Summary) -> list[str]:
    """Say how each trainer is started, or why it is not."""
    rows = [f"| {name} | {guide.note} |" for name, guide in guides(summary).items()]
    if not rows:
        return []
    return ["## Trainers", "", "| trainer | how |", "|---|---|", *rows, ""]


def markdown_cell(text: str) -> str:
    """Return a text that cannot leave its table cell or become markup."""
    flat = " ".join(text.split())
    for character in "\\`*_[]<>|!#":
        flat = flat.replace(character, f"\\{character}" if character != "<" else "&lt;")
    return flat


def _source_rows(summary: Summary, inputs: Sequence[Input]) -> list[str]:
    licences: dict[str, set[str]] = {}
    for item in inputs:
        licences.setdefault(item.source, set()).add(item.license or "not stated")
    rows = []
    for name, count in summary.ingest.summary.sources.items():
        licence = ", ".join(sorted(licences.get(name, {"not stated"})))
        rows.append(
            f"| {markdown_cell(name)} | {markdown_cell(licence)} | {count.rows} "
            f"| {sum(count.quarantined.values())} | {rows_of_source(summary, name)} |"
        )
    return rows


def _written_rows(summary: Summary) -> list[str]:
    """Say so where rows are written more than once."""
    kept = summary.stages[-1].kept if summary.stages else summary.export.rows
    if summary.export.rows == kept:
        return []
    return [
        f"`curated` counts each row once; with repeated ones, {summary.export.rows} are written.",
        "",
    ]


def _quarantined(summary: Summary) -> list[str]:
    """Say what was repaired as rows were read, and why others could not be used."""
    reasons: Counter[str] = Counter()
    repairs: Counter[str] = Counter()
    for source in summary.ingest.summary.sources.values():
        reasons.update(source.quarantined)
        repairs.update(source.repaired)
    lines = []
    if repairs:
        lines.append(f"Repaired as the recipe says: {_counts(repairs)}.")
    if reasons:
        lines.append(f"In quarantine, since they could not be used: {_counts(reasons)}.")
    return [*lines, ""] if lines else []


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{slug} {count}" for slug, count in sorted(counts.items()))


def _stage_rows(summary: Summary) -> list[str]:
    rows = []
    for stage in summary.stages:
        dropped = ", ".join(f"{slug} {count}" for slug, count in stage.reasons_dropped.items())
        rows.append(f"| {stage.folder} | {stage.rows} | {stage.kept} | {dropped or 'none'} |")
    return rows
