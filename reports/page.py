"""The report of a run as one HTML file that needs nothing else.

All text from the data goes through Jinja's autoescape; the page has no script.
"""

from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.pipelines.corpus import Corpus
from siftline.pipelines.job import Job
from siftline.pipelines.manifest import StageManifest, Summary
from siftline.reports.histogram import histogram

EXAMPLES_PER_REASON = 3
EXCERPT_CHARS = 600
QUARANTINE_ROWS = 25
HISTOGRAMS_PER_STAGE = 8


def report_page(job: Job, summary: Summary, decisions: pa.Table) -> str:
    """Return the page.

    Args:
        job: The run, all of its stages finished.
        summary: What it has done.
        decisions: One row per input row, see :mod:`siftline.pipelines.decisions`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("siftline.reports", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["readable"] = _readable
    return environment.get_template("page.html.jinja").render(
        summary=summary,
        totals=_totals(summary),
        funnel=_funnel(summary),
        stages=[_stage(job, number, m, decisions) for number, m in enumerate(summary.stages)],
        quarantine=_quarantine(job),
        recipe=(job.version / "recipe.yaml").read_text(encoding="utf-8"),
    )


def _totals(summary: Summary) -> dict[str, int]:
    counts = summary.ingest.summary.sources.values()
    return {
        "rows": sum(count.rows for count in counts),
        "examples": sum(count.examples for count in counts),
        "quarantined": sum(sum(count.quarantined.values()) for count in counts),
        "curated": summary.export.rows,
    }


def _funnel(summary: Summary) -> list[dict[str, Any]]:
    """Return one bar per stage: the share of all examples that is left after it."""
    examples = _totals(summary)["examples"] or 1
    bars = [{"name": "ingest", "rows": examples, "share": 1.0}]
    for stage in summary.stages:
        bars.append({"name": stage.folder, "rows": stage.kept, "share": stage.kept / examples})
    return bars


def _stage(job: Job, number: int, manifest: StageManifest, decisions: pa.Table) -> dict[str, Any]:
    folder = job.stage_folder(number)
    verdicts = pq.read_table(folder / "verdicts.parquet")
    keep = verdicts["keep"].to_numpy()
    gain = verdicts["gain"].to_numpy().astype(np.float64)
    pictures = [histogram("gain", gain, keep)]
    rows = pc.index_in(verdicts["id"].combine_chunks(), value_set=decisions["id"].combine_chunks())
    tables = {path.stem.rpartition("-")[0] for path in (folder / "scores").glob("*.parquet")}
    for name in decisions.column_names:
        if name.partition(".")[0] in tables and _is_number(decisions[name].type):
            values = decisions[name].take(rows).to_numpy().astype(np.float64)
            pictures.append(histogram(name, values, keep))
    shown = [picture for picture in pictures if picture][:HISTOGRAMS_PER_STAGE]
    return {
        "manifest": manifest,
        "histograms": shown,
        "examples": _examples(job, verdicts, decisions),
    }


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _examples(job: Job, verdicts: pa.Table, decisions: pa.Table) -> list[dict[str, Any]]:
    """Return a few dropped rows of each reason: those with the smallest ids, so always the same."""
    dropped = verdicts.filter(pc.invert(verdicts["keep"])).sort_by("id")
    chosen: dict[str, list[str]] = {}
    for row_id, reason in zip(
        dropped["id"].to_pylist(), dropped["reason"].to_pylist(), strict=True
    ):
        if len(chosen.setdefault(reason, [])) < EXAMPLES_PER_REASON:
            chosen[reason].append(row_id)
    wanted = [row_id for ids in chosen.values() for row_id in ids]
    texts = _texts(job, wanted)
    scored = decisions.filter(pc.is_in(decisions["id"], value_set=pa.array(wanted, pa.string())))
    scores = {row["id"]: row for row in scored.to_pylist()}
    return [
        {"reason": reason, "rows": [{**texts[i], "scores": _scores(scores[i])} for i in ids]}
        for reason, ids in sorted(chosen.items())
    ]


def _texts(job: Job, ids: list[str]) -> dict[str, dict[str, Any]]:
    corpus = Corpus.open(job.ingest_folder / "examples")
    keep = pc.is_in(corpus.rows["id"].combine_chunks(), value_set=pa.array(ids, pa.string()))
    texts = {}
    for shard in corpus.filter(keep.to_numpy(zero_copy_only=False)).iter_shards():
        for row in shard.to_pylist():
            turns = row["messages"]
            texts[row["id"]] = {
                "id": row["id"],
                "place": f"{row['source']}: {row['file']}, row {row['row']}",
                "prompt": _excerpt("\n".join(f"{t['role']}: {t['content']}" for t in turns[:-1])),
                "response": _excerpt(turns[-1]["content"]),
            }
    return texts


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT_CHARS else text[:EXCERPT_CHARS] + " ..."


def _scores(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a row's scores as text, those that it has."""
    return [
        (name, _readable(value)) for name, value in row.items() if "." in name and value is not None
    ]


def _quarantine(job: Job) -> list[dict[str, Any]]:
    table = pq.read_table(job.ingest_folder / "quarantine.parquet").slice(0, QUARANTINE_ROWS)
    return [{**row, "raw": _excerpt(row["raw"] or "")} for row in table.to_pylist()]


def _number(value: int) -> str:
    """Write 1234567 as 1,234,567."""
    return f"{value:,}"


def _readable(value: Any) -> str:
    """Write a number of a diagnosis so that it can be read at a glance."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
