"""`decisions.parquet`: what became of every input row, where, and why."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.pipelines.job import Job
from siftline.pipelines.stage import write_table

_PLACE = ["id", "source", "file", "row"]


def write_decisions(job: Job, path: Path) -> pa.Table:
    """Write one row per example, and one per quarantined input row.

    Columns: id (null in quarantine), source, file, row (number of the record in the file),
    decision (`keep`, `drop`, `quarantine`), stage (the folder that decided; the last one for a
    kept row), reason, and every scalar score so far as `table.column`.

    Args:
        job: All of its stages are finished.
        path: Where to write.

    Returns:
        What was written.
    """
    examples = pa.concat_tables(
        [
            pq.read_table(shard, columns=_PLACE)
            for shard in sorted((job.ingest_folder / "examples").glob("*.parquet"))
        ]
    )
    ids = examples["id"].combine_chunks()
    reasons = np.full(len(ids), "kept", dtype=object)
    stages = np.full(len(ids), job.ingest_folder.name, dtype=object)
    keep = np.ones(len(ids), dtype=bool)
    scores: dict[str, pa.ChunkedArray] = {}
    for number in range(len(job.recipe.stages)):
        folder = job.stage_folder(number)
        verdicts = pq.read_table(folder / "verdicts.parquet")
        rows = pc.index_in(verdicts["id"].combine_chunks(), value_set=ids).to_numpy()
        keep[rows] = verdicts["keep"].to_numpy()
        reasons[rows] = verdicts["reason"].to_pylist()
        stages[rows] = folder.name
        scores.update(_scalar_scores(folder / "scores", ids))
    decided = examples.append_column("decision", pa.array(np.where(keep, "keep", "drop")))
    decided = decided.append_column("stage", pa.array(stages, pa.string()))
    decided = decided.append_column("reason", pa.array(reasons, pa.string()))
    for name in sorted(scores):
        decided = decided.append_column(name, scores[name])
    table = pa.concat_tables([decided, _quarantined(job)], promote_options="default")
    write_table(table, path)
    return table


def _scalar_scores(folder: Path, ids: pa.Array) -> dict[str, pa.ChunkedArray]:
    """Read a stage's scores, spread over all examples: null where the stage saw none."""
    spread: dict[str, pa.ChunkedArray] = {}
    names = sorted({path.stem.rpartition("-")[0] for path in folder.glob("*.parquet")})
    for name in names:
        paths = sorted(folder.glob(f"{name}-*.parquet"))
        schema = pq.read_schema(paths[0])
        columns = [f.name for f in schema if f.name == "id" or not pa.types.is_nested(f.type)]
        table = pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])
        rows = pc.index_in(ids, value_set=table["id"].combine_chunks())
        for column in columns:
            if column != "id":
                spread[f"{name}.{column}"] = table[column].take(rows)
    return spread


def _quarantined(job: Job) -> pa.Table:
    table = pq.read_table(
        job.ingest_folder / "quarantine.parquet", columns=["source", "file", "row", "reason"]
    )
    count = len(table)
    table = table.append_column("decision", pa.array(["quarantine"] * count, pa.string()))
    return table.append_column("stage", pa.array([job.ingest_folder.name] * count, pa.string()))
