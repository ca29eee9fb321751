"""The rows of a split in their order, read from the shards that hold them."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from siftline.contracts.columns import LANGUAGE
from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.examples import PARTS, Message, with_thought
from siftline.pipelines.output.splits import Split
from siftline.pipelines.output.survey import Survey, file_slices


def pieces(split: Split, found: Survey) -> list[Split]:
    """Return a split in pieces that are small enough to be in memory, at least one."""
    slices = file_slices(found.sizes[split.rows])
    return [Split(split.name, split.rows[each], split.repeat[each]) for each in slices]


def gathered(corpus: Corpus, split: Split) -> pa.Table:
    """Read the rows of a split, each shard that holds some of them once, and put them in order.

    A column more has their language, if a stage has told it.
    """
    shards = corpus.rows["shard"].to_numpy()[split.rows]
    positions = corpus.rows["position"].to_numpy()[split.rows]
    tables = [EXAMPLES.empty_table()]
    read = [np.empty(0, dtype=np.int64)]
    for number in np.unique(shards):
        here = np.flatnonzero(shards == number)
        tables.append(corpus.take(int(number), positions[here]))
        read.append(here)
    table = pa.concat_tables(tables)
    order = np.argsort(np.concatenate(read), kind="stable")
    in_order = bool((np.diff(order) == 1).all())
    table = table if in_order else table.take(pa.array(order))
    if LANGUAGE not in corpus.score_columns:
        return table
    return table.append_column("language", corpus.column(LANGUAGE).take(pa.array(split.rows)))


def with_thoughts_inside(rows: pa.Table) -> pa.Table:
    """Return rows whose thoughts stand in the content of their turns, in blocks `<think>`.

    Args:
        rows: Examples.
    """
    made = [_thinking(row) for row in rows.select(["messages", "media"]).to_pylist()]
    for name in ("messages", "media"):
        place = rows.column_names.index(name)
        column = pa.array([row[name] for row in made], rows.schema.field(name).type)
        rows = rows.set_column(place, name, column)
    return rows


def _thinking(row: dict[str, Any]) -> dict[str, Any]:
    media = json.loads(row["media"]) if row["media"] else {}
    turns = []
    for place, turn in enumerate(row["messages"]):
        if turn["reasoning"] and (parts := media.get(PARTS, {}).get(str(place))):
            block = with_thought(Message(role="", content="", reasoning=turn["reasoning"]))
            media[PARTS][str(place)] = [{"type": "text", "text": block}, *parts]
        turns.append({**turn, "content": with_thought(turn), "reasoning": None})
    return {"messages": turns, "media": json.dumps(media) if media else None}
