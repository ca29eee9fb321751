"""`decisions.parquet`: what became of every input row, where, and why."""

from pathlib import Path
from typing import Any

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
    decided = _Decided(len(ids), job.ingest_folder.name)
    keep = np.ones(len(ids), dtype=bool)
    corrected = np.zeros(len(ids), dtype=bool)
    scores: dict[str, pa.ChunkedArray] = {}
    current: dict[str, npt.NDArray[np.bool_]] = {}  # by table, rows whose response it has measured
    for number in range(len(job.recipe.stages)):
        folder = job.stage_folder(number)
        verdicts = read_table(folder / "verdicts.parquet")
        verdict = rows_of(verdicts, examples["id"])
        reached = verdict.is_valid().to_numpy(zero_copy_only=False)
        kept = pc.fill_null(verdicts["keep"].take(verdict), False)
        keep = np.where(reached, kept.to_numpy(), keep)
        # A kept correction keeps its reason.
        decided.by(folder.name, verdicts.take(verdict), reached & ~(corrected & keep))
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
    told = examples.append_column("decision", pa.array(decision, pa.string()))
    for name, column in decided.columns.items():
        told = told.append_column(name, column)
    told = told.append_column("scores_of_revision", _of_revision(current, corrected))
    for name in sorted(scores):
        told = told.append_column(name, scores[name])
    table = pa.concat_tables([told, _quarantined(job)], promote_options="default")
    write_table(table, path)
    return table


class _Decided:
    """Where and why each row was decided: by the last stage that it reached.

    Attributes:
        columns: `stage`, `reason`, `match` and `similarity`.
    """

    def __init__(self, rows: int, stage: str) -> None:
        self.columns: dict[str, Any] = {
            "stage": pa.repeat(stage, rows),
            "reason": pa.repeat("kept", rows),
            "match": pa.nulls(rows, pa.string()),
            "similarity": pa.nulls(rows, pa.float64()),
        }

    def by(self, stage: str, verdicts: pa.Table, rows: npt.NDArray[np.bool_]) -> None:
        """Take what a stage says of some rows.

        Args:
            stage: Its folder.
            verdicts: [rows] Its verdicts, null where it has none.
            rows: [rows] True where it counts.
        """
        here = pa.array(rows)
        for name, old in self.columns.items():
            new = pa.scalar(stage) if name == "stage" else verdicts[name]
            self.columns[name] = pc.if_else(here, new, old)


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
