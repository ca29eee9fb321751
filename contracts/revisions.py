"""Revisions: what stages have made of rows, beside the examples, which are never edited.

A stage leaves them in a folder of its own, one file for each shard that has any, under the shard's
name. So they are read with the shard, and no run holds them all.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.examples import MESSAGES
from siftline.contracts.parquet import read_table

REVISIONS = pa.schema(
    [
        ("id", pa.string()),
        ("messages", MESSAGES),  # this and what follows: of the row as it is from now on
        ("tools", pa.string()),
        ("media", pa.string()),
        ("metadata", pa.string()),
        ("origin", pa.string()),
        ("prompt_id", pa.string()),
        ("content_hash", pa.string()),
        ("change", pa.string()),  # of this stage: `correct` or `mask`
        ("masked", pa.bool_()),  # personal data was replaced, by this stage or one before it
        ("previous", pa.string()),  # the response before, with its thought; null after a mask
    ]
)
INDEX = pa.schema(
    [
        REVISIONS.field(name)
        for name in ("id", "origin", "prompt_id", "content_hash", "change", "masked")
    ]
)
_OF_ROWS = ("messages", "tools", "media", "metadata", "origin", "prompt_id", "content_hash")

REVISIONS_FOLDER = "revisions"  # in that of a stage
SHOWN_FOLDER = "shown"  # likewise: rows that are not revised, as readers may see them


def read_index(folder: Path) -> pa.Table:
    """Read which rows a stage has revised, and what they are known by now, as :data:`INDEX`."""
    paths = sorted(folder.glob("*.parquet"))
    tables = [read_table(path, columns=INDEX.names) for path in paths]
    return pa.concat_tables([INDEX.empty_table(), *tables]).combine_chunks()


def read_shown(
    folder: Path, shards: Iterable[str], ids: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Read rows of a stage as readers may see them, by id; those that it has left alone are absent.

    Args:
        folder: Of the stage.
        shards: Names of the files that may hold the rows.
        ids: Of the rows.
    """
    wanted = pa.array(list(ids), pa.string())
    found: dict[str, dict[str, Any]] = {}
    for name in shards:
        for kind in (REVISIONS_FOLDER, SHOWN_FOLDER):
            path = folder / kind / name
            if path.exists():
                table = read_table(path)
                rows = table.filter(pc.is_in(table["id"], value_set=wanted)).to_pylist()
                found |= {row["id"]: row for row in rows}
    return found


def private_ids(folder: Path) -> pa.Array:
    """Return the ids of the rows in which a stage has found personal data.

    Args:
        folder: Of the stage.
    """
    index = read_index(folder / REVISIONS_FOLDER)
    masked = index.filter(pc.equal(index["change"], "mask"))["id"]
    paths = sorted((folder / SHOWN_FOLDER).glob("*.parquet"))
    shown = [read_table(path, columns=["id"])["id"] for path in paths]
    chunks = [chunk for column in (masked, *shown) for chunk in column.chunks]
    return pa.concat_arrays([pa.array([], pa.string()), *chunks])


def revised_rows(rows: pa.Table, path: Path) -> pa.Table:
    """Put the rows of a file of revisions in the place of what they were.

    Args:
        rows: Examples of its shard, with `id` and any other columns.
        path: The file, as :data:`REVISIONS`; where there is none, nothing changes.
    """
    if not path.exists():
        return rows
    revisions = read_table(path)
    place = pc.index_in(rows["id"], value_set=revisions["id"].combine_chunks()).combine_chunks()
    if place.null_count == len(rows):
        return rows
    old = pa.array(np.arange(len(rows)))
    for name in _OF_ROWS:
        if name in rows.column_names:
            both = pa.concat_tables([rows.select([name]), revisions.select([name])])
            taken = both.take(pc.coalesce(pc.add(place.cast(pa.int64()), len(rows)), old))
            rows = rows.set_column(rows.column_names.index(name), name, taken[name])
    return rows


def previous_responses(folders: Iterable[Path]) -> dict[str, str]:
    """Return the responses that were read, by id, where there is another one now.

    Args:
        folders: Of revisions, in the order of their stages; the last one that has the row counts.
    """
    found: dict[str, str | None] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.parquet")):
            columns = read_table(path, columns=["id", "previous"])
            found |= zip(*(each.to_pylist() for each in columns.columns), strict=True)
    return {row_id: text for row_id, text in found.items() if text is not None}
