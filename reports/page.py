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
from siftline.pipelines.stage import stage_corpus
from siftline.reports.histogram import histogram
from siftline.reports.pictures import curve_panels, map_dots

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
        if name.partition(".")[0] in tables and _is_measure(name, decisions[name].type):
            values = decisions[name].take(rows).to_numpy().astype(np.float64)
            pictures.append(histogram(name, values, keep))
    shown = [picture for picture in pictures if picture][:HISTOGRAMS_PER_STAGE]
    curves = curve_panels(manifest.pictures.get("curves", ()))
    prompt_map = map_dots(manifest.pictures.get("map", {}))
    named = [row_id for panel in curves["panels"] for row_id in panel["ids"]]
    named += [dot["id"] for dot in prompt_map["dots"]]
    return {
        "manifest": manifest,
        "histograms": shown,
        "curves": curves,
        "map": prompt_map,
        "texts": _texts(job, number, named),
        "examples": _examples(job, number, verdicts, decisions),
        "rewritten": _rewritten(job, number, verdicts),
    }


def _is_measure(name: str, kind: pa.DataType) -> bool:
    """Return whether a score says how much, and not, as the number of a cluster does, which."""
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    return bool(number) and not name.endswith(".cluster")


def _examples(
    job: Job, number: int, verdicts: pa.Table, decisions: pa.Table
) -> list[dict[str, Any]]:
    """Return a few dropped rows of each reason."""
    chosen = _first_of_each_reason(verdicts.filter(pc.invert(verdicts["keep"])))
    wanted = [row_id for ids in chosen.values() for row_id in ids]
    texts = _texts(job, number, wanted)
    scored = decisions.filter(pc.is_in(decisions["id"], value_set=pa.array(wanted, pa.string())))
    scores = {row["id"]: row for row in scored.to_pylist()}
    return [
        {"reason": reason, "rows": [{**texts[i], "scores": _scores(scores[i])} for i in ids]}
        for reason, ids in sorted(chosen.items())
    ]


def _rewritten(job: Job, number: int, verdicts: pa.Table) -> list[dict[str, Any]]:
    """Return a few rows of each reason to which a stage gave a new response, with both."""
    path = job.stage_folder(number) / "revisions.parquet"
    if not path.exists():
        return []
    new = {row["id"]: row for row in pq.read_table(path).to_pylist()}
    mine = verdicts.filter(pc.is_in(verdicts["id"], value_set=pa.array(new, pa.string())))
    chosen = _first_of_each_reason(mine)
    texts = _texts(job, number, [row_id for ids in chosen.values() for row_id in ids])
    return [
        {
            "reason": reason,
            "rows": [
                {**texts[i], "new": _excerpt(new[i]["response"]), "origin": new[i]["origin"]}
                for i in ids
            ],
        }
        for reason, ids in sorted(chosen.items())
    ]


def _first_of_each_reason(verdicts: pa.Table) -> dict[str, list[str]]:
    """Return a few ids by reason: the smallest ones, so always the same."""
    ordered = verdicts.sort_by("id")
    chosen: dict[str, list[str]] = {}
    for row_id, reason in zip(
        ordered["id"].to_pylist(), ordered["reason"].to_pylist(), strict=True
    ):
        if len(chosen.setdefault(reason, [])) < EXAMPLES_PER_REASON:
            chosen[reason].append(row_id)
    return chosen


def _texts(job: Job, number: int, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return prompt and response of rows as a stage has read them."""
    corpus = Corpus.open(job.ingest_folder / "examples")
    corpus = corpus.with_revisions(stage_corpus(job, number).revisions)
    keep = pc.is_in(corpus.rows["id"].combine_chunks(), value_set=pa.array(ids, pa.string()))
    corpus = corpus.filter(keep.to_numpy(zero_copy_only=False))
    texts = {}
    for shard in pc.unique(corpus.rows["shard"]).to_pylist():  # the others need not be read
        for row in corpus.shard(shard).to_pylist():
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
