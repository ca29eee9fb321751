"""What a finished stage has left: its scores, and the corpus after it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus, put_in
from siftline.contracts.errors import DamagedError
from siftline.contracts.parquet import read_schema, read_table
from siftline.contracts.revisions import REVISIONS_FOLDER
from siftline.pipelines.scores.renewal import KEY, RENEWS


def after_stage(corpus: Corpus, folder: Path) -> Corpus:
    """Return a corpus as a finished stage leaves it, with the scores of that stage.

    Vectors are left out: they are large, and the cache has them for a stage that names their
    scorer itself.

    Args:
        corpus: What reached the stage.
        folder: Of the stage.

    Raises:
        DamagedError: The stage has judged other rows than these.
    """
    verdicts = read_table(folder / "verdicts.parquet", columns=["id", "keep"])
    if not verdicts["id"].equals(corpus.rows["id"]):
        raise DamagedError(folder / "verdicts.parquet", "it judges other rows than reach its stage")
    for name, table in stage_scores(folder / "scores").items():
        place = rows_of(table, corpus.rows["id"])
        told = table.schema.metadata or {}
        found = table.drop_columns(["id"]).take(place)
        if RENEWS in told:
            found = put_in(corpus.tables[name], found, pc.is_valid(place))
        corpus = corpus.with_scores(name, found, told.get(KEY, b"content_hash").decode())
    corpus = corpus.with_revisions(folder / REVISIONS_FOLDER)
    return corpus.filter(verdicts["keep"].to_numpy())


def read_score_tables(folder: Path, ids: pa.ChunkedArray) -> dict[str, pa.Table]:
    """Read a finished stage's scores by table, without vectors and texts.

    Args:
        folder: With `<table>-<shard>.parquet`.
        ids: In whose order the rows are wanted; null where the stage has no score.
    """
    return {
        name: table.drop_columns(["id"]).take(rows_of(table, ids))
        for name, table in stage_scores(folder).items()
    }


def stage_scores(folder: Path) -> dict[str, pa.Table]:
    """Read a finished stage's scores by table, with the column `id`, without vectors and texts.

    Args:
        folder: With `<table>-<shard>.parquet`.
    """
    names = sorted({path.stem.rpartition("-")[0] for path in folder.glob("*.parquet")})
    tables = {}
    for name in names:
        paths = sorted(folder.glob(f"{name}-*.parquet"))
        schema = read_schema(paths[0])
        columns = [field.name for field in schema if not pa.types.is_nested(field.type)]
        if columns != ["id"]:
            tables[name] = pa.concat_tables([read_table(path, columns=columns) for path in paths])
    return tables


def rows_of(table: pa.Table, ids: pa.ChunkedArray) -> pa.Array:
    """Return [ids] the number of each one's row in a table; null where it has none."""
    if table["id"].equals(ids):
        return pa.array(np.arange(len(ids), dtype=np.int32))
    return pc.index_in(ids.combine_chunks(), value_set=table["id"].combine_chunks())
