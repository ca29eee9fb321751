"""The dataset card: `curated/README.md`, read by people and by `datasets.load_dataset`."""

import json

import yaml

from siftline.contracts.parquet import read_schema
from siftline.pipelines.job import Job
from siftline.pipelines.manifest import Summary
from siftline.pipelines.output.export import DATA
from siftline.pipelines.output.splits import TRAIN
from siftline.pipelines.output.training_order import TRAINING_ORDER

_INTRODUCTION = """\
Instruction data for supervised fine-tuning, curated by siftline {siftline} from {sources}.
Recipe `{recipe}`, version {version}. `decisions.parquet` in the folder above has the reason for
every input row, and `report.html` tells the whole story. The rows are in
`data`, a folder that pandas, Arrow and polars open.
"""


def dataset_card(job: Job, summary: Summary) -> str:
    """Return the card as Markdown with a YAML head.

    Args:
        job: The run.
        summary: What it has done.
    """
    splits = list(dict.fromkeys(_split(name) for name in summary.export.files))
    head = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": name, "path": f"{DATA}/{name}-*.parquet"} for name in splits
                ],
            }
        ],
        "tags": ["siftline", "instruction-tuning"],
    }
    sources = summary.ingest.summary.sources
    introduction = _INTRODUCTION.format(
        siftline=summary.siftline,
        recipe=summary.recipe,
        version=summary.version,
        sources="one source" if len(sources) == 1 else f"{len(sources)} sources",
    )
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False).rstrip(),
        "---",
        f"# {summary.recipe}",
        "",
        introduction,
        "## Columns",
        "",
        "`messages` (role, content), `id`, `prompt_id` (equal for responses to one prompt),",
        "`source`, `task`, `origin` (who wrote the response), `file` and `row` of the input,",
        "`metadata` (JSON). `tools`, and `tool_calls` of a turn, where they occur, are JSON texts.",
        *_more_columns(job, summary),
        "",
        *_training_order(job, splits),
        "## Sources",
        "",
        "| source | licence | rows read | quarantined | curated |",
        "|---|---|---:|---:|---:|",
        *_source_rows(job, summary),
        "",
        *_written_rows(summary),
        "## Stages",
        "",
        "| stage | rows in | kept | dropped |",
        "|---|---:|---:|---|",
        *_stage_rows(summary),
        "",
    ]
    return "\n".join(lines)


def _split(name: str) -> str:
    """Return the split that a file of the dataset belongs to."""
    return name.removeprefix(f"{DATA}/").partition("-")[0]


def _more_columns(job: Job, summary: Summary) -> list[str]:
    """Return what is said of columns that few datasets have."""
    names = read_schema(job.curated_folder / summary.export.files[0]).names
    if "repeat" not in names:
        return []
    return ["`repeat` is 0 where a row stands for the first time, then 1, 2 and so on."]


def _training_order(job: Job, splits: list[str]) -> list[str]:
    if splits == [TRAIN]:
        return []
    order = json.loads((job.curated_folder / TRAINING_ORDER).read_text(encoding="utf-8"))
    rows = [f"| `{each['name']}` | {each['rows']} |" for each in order["splits"]]
    common = f"{order['overlap']['ids']} rows are in both. " if "overlap" in order else ""
    lines = ["## Training order", "", "| split | rows |", "|---|---:|", *rows, ""]
    return [*lines, common + order["note"], ""]


def markdown_cell(text: str) -> str:
    """Return a text that cannot leave its table cell or become markup."""
    flat = " ".join(text.split())
    for character in "\\`*_[]<>|!#":
        flat = flat.replace(character, f"\\{character}" if character != "<" else "&lt;")
    return flat


def _source_rows(job: Job, summary: Summary) -> list[str]:
    licences: dict[str, set[str]] = {}
    for item in job.recipe.inputs:
        licences.setdefault(item.source, set()).add(item.license or "not stated")
    rows = []
    for name, count in summary.ingest.summary.sources.items():
        if summary.stages:
            last = summary.stages[-1].sources.get(name)
            curated = last.kept if last else 0
        else:
            curated = count.examples
        licence = ", ".join(sorted(licences.get(name, {"not stated"})))
        rows.append(
            f"| {markdown_cell(name)} | {markdown_cell(licence)} | {count.rows} "
            f"| {sum(count.quarantined.values())} | {curated} |"
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


def _stage_rows(summary: Summary) -> list[str]:
    rows = []
    for stage in summary.stages:
        dropped = ", ".join(f"{slug} {count}" for slug, count in stage.reasons_dropped.items())
        rows.append(f"| {stage.folder} | {stage.rows} | {stage.kept} | {dropped or 'none'} |")
    return rows
