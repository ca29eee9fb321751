"""`decisions.parquet`: what became of every input row, where, and why."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.parquet import read_table, write_table
from siftline.pipelines.job import Job
from siftline.pipelines.scores.renewal import KEY
from siftline.pipelines.stage_results import rows_of, stage_scores

_PLACE = ["id", "source", "file", "row"]


def write_decisions(job: Job, path: Path) -> pa.Table:
    """Write one row per example, and one per quarantined input row.

    Columns: id (null in quarantine), source, file, row (number of the record in the file),
    decision (`keep`, `correct`: kept with a new response, `drop`, `quarantine`), stage (the folder
    that decided; for a kept row the last one that revised it, or else the last), reason, match and
    similarity of the same verdict, and every scalar score as `table.column`: that of the last stage
    that has measured the row. Where a response was replaced, `scores_of_revision` names the tables
    whose scores are of the new one; the others are of one before it. It is null for other rows.

    Args:
        job: All of its stages are finished.
        path: Where to write.

    Returns:
        What was written.
    """
    examples = pa.concat_tables(
        [
            read_table(shard, columns=_PLACE)
            for shard in sorted(job.examples_folder.glob("*.parquet"))
        ]
    )
    ids = examples["id"].combine_chunks()
    reasons = np.full(len(ids), "kept", dtype=object)
    stages = np.full(len(ids), job.ingest_folder.name, dtype=object)
    match = np.full(len(ids), None, dtype=object)
    similarity = np.full(len(ids), np.nan)
    keep = np.ones(len(ids), dtype=bool)
    corrected = np.zeros(len(ids), dtype=bool)
    scores: dict[str, pa.ChunkedArray] = {}
    current: dict[str, npt.NDArray[np.bool_]] = {}  # by table, rows whose response it has measured
    for number in range(len(job.recipe.stages)):
        folder = job.stage_folder(number)
        verdicts = read_table(folder / "verdicts.parquet")
        rows = pc.index_in(verdicts["id"].combine_chunks(), value_set=ids).to_numpy()
        keep[rows] = verdicts["keep"].to_numpy()
        decided_here = ~(corrected & keep)[rows]  # a kept correction keeps its reason
        reasons[rows[decided_here]] = verdicts["reason"].filter(pa.array(decided_here)).to_pylist()
        stages[rows[decided_here]] = folder.name
        here = verdicts.filter(pa.array(decided_here))
        match[rows[decided_here]] = here["match"].to_pylist()
        similarity[rows[decided_here]] = here["similarity"].to_numpy()
        for name, table in stage_scores(folder / "scores").items():
            place = rows_of(table, examples["id"])
            if (table.schema.metadata or {}).get(KEY) == b"content_hash":
                measured = pc.is_valid(place).to_numpy(zero_copy_only=False)
                current[name] = current.get(name, np.zeros(len(ids), dtype=bool)) | measured
            for column in table.drop_columns(["id"]).column_names:
                key = f"{name}.{column}"
                scores[key] = _latest(table[column].take(place), place, scores.get(key))
        revised = _revised_rows(folder, ids)
        corrected |= revised
        for rows_of_table in current.values():
            rows_of_table[revised] = False
    decision = np.where(keep, np.where(corrected, "correct", "keep"), "drop")
    decided = examples.append_column("decision", pa.array(decision, pa.string()))
    decided = decided.append_column("stage", pa.array(stages, pa.string()))
    decided = decided.append_column("reason", pa.array(reasons, pa.string()))
    decided = decided.append_column("match", pa.array(match, pa.string()))
    near = pa.array(similarity, pa.float64(), from_pandas=True)
    decided = decided.append_column("similarity", near)
    decided = decided.append_column("scores_of_revision", _of_revision(current, corrected))
    for name in sorted(scores):
        decided = decided.append_column(name, scores[name])
    table = pa.concat_tables([decided, _quarantined(job)], promote_options="default")
    write_table(table, path)
    return table


def _latest(new: pa.ChunkedArray, place: pa.Array, old: pa.ChunkedArray | None) -> pa.ChunkedArray:
    """Return the scores of a stage, and those of earlier ones for rows that it has not measured.

    So a row that an early stage has dropped keeps the score that it was dropped for.
    """
    if old is None:
        return new
    return pc.if_else(pc.is_valid(place), new, old.cast(new.type))


def _of_revision(
    current: dict[str, npt.NDArray[np.bool_]], corrected: npt.NDArray[np.bool_]
) -> pa.Array:
    """Return [rows] the tables whose scores are of a row's last response; null if it is the first.

    Args:
        current: By table, rows whose last response it has measured.
        corrected: Rows that have a new response.
    """
    if not corrected.any():
        return pa.nulls(len(corrected), pa.list_(pa.string()))
    names = [
        [name for name in sorted(current) if current[name][row]] if corrected[row] else None
        for row in range(len(corrected))
    ]
    return pa.array(names, pa.list_(pa.string()))


def _revised_rows(folder: Path, ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Return [ids] true for the rows to which a stage gave a new response."""
    path = folder / "revisions.parquet"
    revised = read_table(path, columns=["id"])["id"] if path.exists() else pa.array([], "string")
    mask: npt.NDArray[np.bool_] = pc.is_in(ids, value_set=revised).to_numpy(zero_copy_only=False)
    return mask


def _quarantined(job: Job) -> pa.Table:
    table = read_table(
        job.ingest_folder / "quarantine.parquet", columns=["source", "file", "row", "reason"]
    )
    count = len(table)
    table = table.append_column("decision", pa.array(["quarantine"] * count, pa.string()))
    return table.append_column("stage", pa.array([job.ingest_folder.name] * count, pa.string()))
