"""The curated dataset: Parquet that `datasets.load_dataset` and the trainers open.

The files lie in a folder of their own, `data`, beside the card: pandas, Arrow and polars take every
file of a folder that they are given for Parquet.

One row per conversation: `messages`, then where it comes from. Fields of turns beside role and
content, and the columns `tools` and `media`, exist only where some row has them; what differs from
row to row, such as the arguments of a call, is JSON in them: as Arrow structs, the arguments of one
tool would appear as nulls in every other. Where a response
was corrected, `original_response` holds the one that was read; where a mixture repeats rows,
`repeat` tells the first (0) from those that follow.

Where a stage makes several splits, `training_order.json` says in which order they are to be used.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts import progress
from siftline.contracts.corpus import TURN, Corpus
from siftline.contracts.parquet import write_table
from siftline.contracts.publishing import published
from siftline.contracts.records import write_json
from siftline.pipelines.job import Job
from siftline.pipelines.manifest import ExportManifest
from siftline.pipelines.output.splits import TRAIN, Split, splits_of
from siftline.pipelines.output.survey import file_slices, survey
from siftline.pipelines.output.training_order import TRAINING_ORDER, training_order

DATA = "data"  # the folder of the Parquet files, and of nothing else

_PROVENANCE = ["id", "prompt_id", "source", "task", "origin", "file", "row", "metadata"]
_ORIGINAL = "original_response"
_REPEAT = "repeat"


def export(job: Job, corpus: Corpus) -> ExportManifest:
    """Write the rows that every stage has kept, in corpus order unless the recipe states another.

    The dataset card is written later, since it tells of the whole run.

    Args:
        job: The run.
        corpus: What the last stage has left.

    Raises:
        RecipeError: The recipe orders rows by a score that no stage has; nothing is written.
    """
    started = time.monotonic()
    output = job.recipe.output
    splits = splits_of(corpus, output.order_by, output.descending, job.recipe.seed)
    found = survey(corpus)
    extra = _extra_columns(corpus, splits, found.columns)
    schema = _curated_schema(extra, found.turn_fields)
    slices = {split.name: list(file_slices(found.sizes[split.rows])) for split in splits}
    files = {name: _names(name, len(each)) for name, each in slices.items()}
    revised = dict(
        zip(*corpus.revisions.select(["id", "previous"]).to_pydict().values(), strict=True)
    )
    rows = sum(len(split.rows) for split in splits)
    progress.start("export", rows)
    with published(job.curated_folder) as building:
        (building / DATA).mkdir(parents=True)
        for split in splits:
            for name, each in zip(files[split.name], slices[split.name], strict=True):
                part = Split(split.name, split.rows[each], split.repeat[each])
                # Not named, so that it is gone before the next one is gathered.
                write_table(_gathered(corpus, part, schema, revised), building / name)
                progress.advance(len(part.rows))
        if splits[0].name != TRAIN:
            write_json(building / TRAINING_ORDER, training_order(corpus, splits, files))
    progress.finish()
    return ExportManifest(
        files=tuple(name for names in files.values() for name in names),
        rows=rows,
        seconds=round(time.monotonic() - started, 3),
    )


def _names(split: str, count: int) -> list[str]:
    """Return the paths of a split's files."""
    return [f"{DATA}/{split}-{n:05d}-of-{count:05d}.parquet" for n in range(count)]


def _extra_columns(corpus: Corpus, splits: list[Split], optional: Sequence[str]) -> list[str]:
    """Return the columns that only some datasets have."""
    extra = list(optional)
    if _any_revised(corpus):
        extra.append(_ORIGINAL)
    if any(split.repeat.any() for split in splits):
        extra.append(_REPEAT)
    return extra


def _any_revised(corpus: Corpus) -> bool:
    ids = corpus.rows["id"]
    return bool(len(ids) and pc.any(pc.is_in(ids, value_set=corpus.revisions["id"])).as_py())


def _gathered(corpus: Corpus, split: Split, schema: pa.Schema, revised: dict[str, str]) -> pa.Table:
    """Read rows, each shard that holds some of them once, and put them in their order."""
    shards = corpus.rows["shard"].to_numpy()[split.rows]
    positions = corpus.rows["position"].to_numpy()[split.rows]
    tables = [schema.empty_table()]
    read = [np.empty(0, dtype=np.int64)]
    for number in np.unique(shards):
        here = np.flatnonzero(shards == number)
        shard = corpus.take(int(number), positions[here])
        tables.append(_curated(shard, schema, revised, split.repeat[here]))
        read.append(here)
    table = pa.concat_tables(tables)
    order = np.argsort(np.concatenate(read), kind="stable")
    in_order = bool((np.diff(order) == 1).all())
    return table if in_order else table.take(pa.array(order))


def _curated_schema(extra: list[str], fields: Sequence[str]) -> pa.Schema:
    turn = pa.struct([TURN.field(name) for name in ("role", "content", *fields)])
    columns: list[tuple[str, Any]] = [("messages", pa.list_(turn))]
    columns += [(name, pa.int32() if name == _REPEAT else pa.string()) for name in extra]
    columns += [(name, pa.int64() if name == "row" else pa.string()) for name in _PROVENANCE]
    return pa.schema(columns)


def _curated(
    shard: pa.Table,
    schema: pa.Schema,
    revised: dict[str, str],
    repeat: npt.NDArray[np.int64],
) -> pa.Table:
    """Turn examples into curated rows.

    Args:
        shard: Examples.
        schema: Of the curated rows.
        revised: The response that was read, by id, where it is another one now.
        repeat: [rows] How often the row was written before.
    """
    columns: dict[str, Any] = {}
    for name in schema.names:
        if name == "messages":
            columns[name] = _with_fields(shard[name].combine_chunks(), schema.field(name).type)
        elif name == _ORIGINAL:
            columns[name] = [revised.get(row_id) for row_id in shard["id"].to_pylist()]
        elif name == _REPEAT:
            columns[name] = pa.array(repeat, pa.int32())
        else:
            columns[name] = shard[name]
    return pa.table(columns, schema=schema)


def _with_fields(messages: pa.ListArray, kind: pa.ListType) -> pa.ListArray:
    """Return messages whose turns have the fields of a type only."""
    names = [field.name for field in kind.value_type]
    lists = messages if isinstance(messages, pa.ListArray) else pa.concat_arrays(messages.chunks)
    turns = pc.list_flatten(lists)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    fields = [pc.struct_field(turns, name) for name in names]
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(fields, names)).cast(kind)
