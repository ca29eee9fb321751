"""The curated dataset: Parquet that `datasets.load_dataset` and the trainers open.

One row per conversation: `messages`, a list of role and content, then where it comes from. Tools
and tool calls are JSON texts in columns of their own, which exist only where some row has them:
as Arrow structs, the arguments of one tool would appear as nulls in every other. Where a response
was corrected, `original_response` holds the one that was read.
"""

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.pipelines.corpus import MESSAGES, Corpus
from siftline.pipelines.job import Job
from siftline.pipelines.manifest import ExportManifest
from siftline.pipelines.stage import stage_corpus

ROWS_PER_FILE = 100_000

_PROVENANCE = ["id", "prompt_id", "source", "task", "origin", "file", "row", "metadata"]
_TOOL_COLUMNS = ("tools", "tool_calls")
_ORIGINAL = "original_response"


def export(job: Job) -> ExportManifest:
    """Write the rows that every stage has kept, in corpus order.

    The dataset card is written later, since it tells of the whole run.
    """
    started = time.monotonic()
    corpus = stage_corpus(job, len(job.recipe.stages))
    building = job.version / ".curated.tmp"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    extra = [name for name in _TOOL_COLUMNS if _occurs(corpus, name)]
    if _any_revised(corpus):
        extra.append(_ORIGINAL)
    count = max(1, -(-len(corpus) // ROWS_PER_FILE))
    names = tuple(f"train-{n:05d}-of-{count:05d}.parquet" for n in range(count))
    for name, table in zip(names, _files(corpus, extra), strict=True):
        pq.write_table(table, building / name, compression="zstd")
    shutil.rmtree(job.curated_folder, ignore_errors=True)
    building.replace(job.curated_folder)
    seconds = round(time.monotonic() - started, 3)
    return ExportManifest(files=names, rows=len(corpus), seconds=seconds)


def _occurs(corpus: Corpus, name: str) -> bool:
    """Return whether any row has tools, or tool calls."""
    return any(
        json.loads(metadata).get(name)
        for shard in corpus.iter_shards()
        for metadata in shard["metadata"].to_pylist()
        if f'"{name}"' in metadata
    )


def _any_revised(corpus: Corpus) -> bool:
    ids = corpus.rows["id"]
    return bool(len(ids) and pc.any(pc.is_in(ids, value_set=corpus.revisions["id"])).as_py())


def _files(corpus: Corpus, extra: list[str]) -> Iterator[pa.Table]:
    """Yield the tables of the files, each of `ROWS_PER_FILE` rows but the last."""
    waiting = _curated_schema(extra).empty_table()
    revised = dict(
        zip(*corpus.revisions.select(["id", "previous"]).to_pydict().values(), strict=True)
    )
    for shard in corpus.iter_shards():
        waiting = pa.concat_tables([waiting, _curated(shard, extra, revised)])
        while len(waiting) > ROWS_PER_FILE:
            yield waiting.slice(0, ROWS_PER_FILE)
            waiting = waiting.slice(ROWS_PER_FILE)
    yield waiting


def _curated_schema(extra: list[str]) -> pa.Schema:
    columns: list[tuple[str, Any]] = [("messages", MESSAGES)]
    columns += [(name, pa.string()) for name in extra]
    columns += [(name, pa.int64() if name == "row" else pa.string()) for name in _PROVENANCE]
    return pa.schema(columns)


def _curated(shard: pa.Table, extra: list[str], revised: dict[str, str]) -> pa.Table:
    """Turn examples into curated rows; tools move from the metadata to their columns.

    Args:
        shard: Examples.
        extra: Columns that exist in this dataset.
        revised: The response that was read, by id, where it is another one now.
    """
    metadata = [json.loads(text) for text in shard["metadata"].to_pylist()]
    columns: dict[str, Any] = {"messages": shard["messages"]}
    for name in extra:
        if name == _ORIGINAL:
            columns[name] = [revised.get(row_id) for row_id in shard["id"].to_pylist()]
            continue
        values = [row.pop(name, None) for row in metadata]
        columns[name] = [json.dumps(v, ensure_ascii=False) if v else None for v in values]
    columns |= {name: shard[name] for name in _PROVENANCE if name != "metadata"}
    columns["metadata"] = [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in metadata]
    return pa.table(columns, schema=_curated_schema(extra))
