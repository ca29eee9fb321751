"""`decisions.parquet`: what became of every input row, where, and why."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.parquet import read_table, write_table
from siftline.contracts.revisions import REVISIONS_FOLDER, private_ids, read_index
from siftline.pipelines.job import Job
from siftline.pipelines.scores.renewal import KEY
from siftline.pipelines.stage_results import rows_of, stage_scores

_PLACE = ["id", "source", "file", "row"]


def write_decisions(job: Job, path: Path) -> pa.Table:
    """Write one row per example, and one per quarantined input row.

    Columns: id (null in quarantine), source, file, row (number of the record in the file),
    decision (`keep`, `correct`: kept with a new response, `mask`: kept without its personal data,
    `drop`, `quarantine`), stage (the folder that decided; for a kept row the last one that revised
    it, or else the last), reason, match and similarity of the same verdict, and every scalar score
    as `table.column`: that of the last stage that has measured the row. Where a row was revised,
    `scores_of_revision` names the tables whose scores are of what it is now; the others are of what
    it was before. It is null for other rows. Where personal data was found, a text that an earlier
    stage has measured is null: it may quote it.

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
    revised = np.full(len(ids), "", dtype=object)  # how the last stage that has revised a row did
    scores: dict[str, pa.ChunkedArray] = {}
    current: dict[str, npt.NDArray[np.bool_]] = {}  # by table, rows whose response it has measured
    for number in range(len(job.recipe.stages)):
        folder = job.stage_folder(number)
        verdicts = read_table(folder / "verdicts.parquet")
        verdict = rows_of(verdicts, examples["id"])
        reached = verdict.is_valid().to_numpy(zero_copy_only=False)
        kept = pc.fill_null(verdicts["keep"].take(verdict), False)
        keep = np.where(reached, kept.to_numpy(), keep)
        new = _revisions_of(folder, ids)
        # What was revised and is kept keeps the reason that it was revised for.
        here = reached & ((revised == "") | ~keep | (new.how != ""))
        decided.by(folder.name, verdicts.take(verdict), here)
        _forget_texts(scores, new.private)
        _take_scores(folder, ids, scores, current, revised)
        revised = np.where(new.how != "", new.how, revised)
        for rows_of_table in current.values():
            rows_of_table[new.how != ""] = False
    decision = np.where(keep, np.where(revised == "", "keep", revised), "drop")
    told = examples.append_column("decision", pa.array(decision, pa.string()))
    for name, column in decided.columns.items():
        told = told.append_column(name, column)
    told = told.append_column("scores_of_revision", _of_revision(current, revised != ""))
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


def _forget_texts(scores: dict[str, pa.ChunkedArray], rows: npt.NDArray[np.bool_]) -> None:
    """Make the texts among scores null in some rows, since they may quote what these hold."""
    for name in [name for name in scores if pa.types.is_string(scores[name].type)]:
        scores[name] = pc.if_else(pa.array(rows), pa.scalar(None, pa.string()), scores[name])


def _take_scores(
    folder: Path,
    ids: pa.Array,
    scores: dict[str, pa.ChunkedArray],
    current: dict[str, npt.NDArray[np.bool_]],
    revised: npt.NDArray[np.object_],
) -> None:
    """Put the scores of a stage over those of the stages before it.

    Args:
        folder: Of the stage.
        ids: Of all examples.
        scores: By `table.column`.
        current: By table, rows that it has measured as they are.
        revised: [ids] How a row was revised before.
    """
    for name, table in stage_scores(folder / "scores").items():
        place = rows_of(table, pa.chunked_array([ids]))
        key = (table.schema.metadata or {}).get(KEY)
        if key in (b"content_hash", b"prompt_id"):
            measured = pc.is_valid(place).to_numpy(zero_copy_only=False)
            # The prompt of a row changes by a mask alone.
            measured &= (revised == "mask") | (key == b"content_hash")
            current[name] = current.get(name, np.zeros(len(ids), dtype=bool)) | measured
        for column in table.drop_columns(["id"]).column_names:
            full = f"{name}.{column}"
            scores[full] = _latest(table[column].take(place), place, scores.get(full))


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
    """Return [rows] the tables whose scores are of a row as it is; null if it was never revised.

    Args:
        current: By table, rows that it has measured as they are.
        corrected: Rows that were revised.
    """
    if not corrected.any():
        return pa.nulls(len(corrected), pa.list_(pa.string()))
    names = [
        [name for name in sorted(current) if current[name][row]] if corrected[row] else None
        for row in range(len(corrected))
    ]
    return pa.array(names, pa.list_(pa.string()))


class _Revisions(NamedTuple):
    """What a stage has made of rows.

    Attributes:
        how: [ids] `correct`, `mask` or nothing.
        private: [ids] True where it has found personal data that readers must not see.
    """

    how: npt.NDArray[np.object_]
    private: npt.NDArray[np.bool_]


def _revisions_of(folder: Path, ids: pa.Array) -> _Revisions:
    index = read_index(folder / REVISIONS_FOLDER)
    how = np.full(len(ids), "", dtype=object)
    place = pc.index_in(index["id"].combine_chunks(), value_set=ids).to_numpy()
    how[place] = index["change"].to_pylist()
    private = pc.is_in(ids, value_set=private_ids(folder)).to_numpy(zero_copy_only=False)
    return _Revisions(how, private)


def _quarantined(job: Job) -> pa.Table:
    table = read_table(
        job.ingest_folder / "quarantine.parquet", columns=["source", "file", "row", "reason"]
    )
    count = len(table)
    table = table.append_column("decision", pa.array(["quarantine"] * count, pa.string()))
    return table.append_column("stage", pa.array([job.ingest_folder.name] * count, pa.string()))
