"""What a stage makes of rows, written beside the examples: new responses, and masks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus
from siftline.contracts.examples import Message, hashes, with_thought
from siftline.contracts.method import MASKED, REVISED, Method
from siftline.contracts.parquet import write_table
from siftline.contracts.publishing import writing
from siftline.contracts.revisions import REVISIONS, REVISIONS_FOLDER, SHOWN_FOLDER

_GIVEN = ["id", "messages", "tools", "media", "metadata"]  # of a mask, and of what is shown


class Revised(NamedTuple):
    """How many rows have got a new response, and in how many personal data was replaced."""

    responses: int = 0
    masked: int = 0


def write_revisions(method: Method, corpus: Corpus, verdicts: pa.Table, folder: Path) -> Revised:
    """Write what a method makes of the rows that it keeps.

    Args:
        method: Of the stage.
        corpus: The rows that reached it.
        verdicts: One for each of them.
        folder: Of the stage.

    Raises:
        RuntimeError: The method breaks its contract.
    """
    if not len(corpus):
        return Revised()
    if type(method).mask is not Method.mask:
        return Revised(masked=_write_masks(method, corpus, verdicts, folder))
    if type(method).revise is not Method.revise:
        return Revised(responses=_write_responses(method, corpus, verdicts, folder))
    return Revised()


def _write_responses(method: Method, corpus: Corpus, verdicts: pa.Table, folder: Path) -> int:
    revised = method.revise(corpus, verdicts)
    _check(method, revised, REVISED)
    new = {row["id"]: row for row in revised.to_pylist()}
    wanted = pc.is_in(corpus.rows["id"].combine_chunks(), value_set=pa.array(new, pa.string()))
    rows = corpus.filter(wanted.to_numpy(zero_copy_only=False))
    first = corpus.previous_responses()
    masked = set(corpus.revised.filter(corpus.revised["masked"])["id"].to_pylist())
    for number in _shards(rows):
        records = [
            {
                **_answered(row, new[row["id"]]),
                "change": "correct",
                "masked": row["id"] in masked,
                "previous": first.get(row["id"], with_thought(row["messages"][-1])),
            }
            for row in rows.shard(number).to_pylist()
        ]
        _write(pa.Table.from_pylist(records, schema=REVISIONS), corpus, number, folder)
    return len(rows)


def _answered(row: Mapping[str, Any], revised: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with another response, which has no thought and no calls."""
    *turns, last = row["messages"]
    turns.append(Message(role=last["role"], content=revised["response"]))
    return _identified({**row, "messages": turns, "origin": revised["origin"]})


def _write_masks(method: Method, corpus: Corpus, verdicts: pa.Table, folder: Path) -> int:
    ids = corpus.rows["id"].combine_chunks()
    origins = corpus.rows["origin"]
    masked = 0
    for table in method.mask(corpus, verdicts):
        _check(method, table, MASKED)
        place = pc.index_in(table["id"].combine_chunks(), value_set=ids)
        (number,) = set(corpus.rows["shard"].take(place).to_pylist())
        table = table.append_column("origin", origins.take(place))
        replaces = table.filter(table["replaces"])
        records = [
            {**_identified(row), "change": "mask", "masked": True, "previous": None}
            for row in replaces.to_pylist()
        ]
        if records:
            _write(pa.Table.from_pylist(records, schema=REVISIONS), corpus, number, folder)
        shown = table.filter(pc.invert(table["replaces"])).select(_GIVEN)
        if len(shown):
            _write(shown, corpus, number, folder, SHOWN_FOLDER)
        masked += len(records)
    return masked


def _identified(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the hashes of what it holds now."""
    content, prompt = hashes(row["messages"], row["tools"], row["media"])
    return {**row, "content_hash": content, "prompt_id": prompt}


def _write(
    table: pa.Table, corpus: Corpus, number: int, folder: Path, kind: str = REVISIONS_FOLDER
) -> None:
    with writing(folder / kind):
        (folder / kind).mkdir(exist_ok=True)
    write_table(table, folder / kind / corpus.shards[number].name)


def _shards(corpus: Corpus) -> npt.NDArray[np.int32]:
    numbers: npt.NDArray[np.int32] = np.unique(corpus.rows["shard"].to_numpy())
    return numbers


def _check(method: Method, table: pa.Table, schema: pa.Schema) -> None:
    if not table.schema.equals(schema):
        raise RuntimeError(f"'{method.kind}' revised with the columns {table.schema.names}")
