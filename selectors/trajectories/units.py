"""What S2L chooses among: rows or prompts that have a trajectory, in an order that is random.

The order is that of a hash of seed and key, so neither the order of the rows nor of the shards
matters, and the first units of a cluster are a random choice of it.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.models.likelihood import OK
from siftline.scorers.tables import matrix_of
from siftline.selectors.arrays import Float32s, Float64s, Ints
from siftline.selectors.choices import random_order
from siftline.selectors.ranking import places


class TrajectoryUnits(NamedTuple):
    """Rows or prompts with their trajectories, in random order.

    Attributes:
        keys: [units] Id of the row, or of the prompt.
        of_row: [rows] Number of each row's unit; -1 where the row, or its prompt, has no
            trajectory.
        first_row: [units] Number of its first row, by id.
        points: [units, checkpoints] Losses, float32; of a prompt the mean over its rows.
        cost: [units] In the budget's unit: 1, or response tokens.
        strata: [units] Number of the stratum.
        sources: [units] Name of the source; a prompt of several has the first by name.
        chars: [units] Mean length of the responses, in characters.
    """

    keys: list[str]
    of_row: Ints
    first_row: Ints
    points: Float32s
    cost: Ints
    strata: Ints
    sources: npt.NDArray[np.object_]
    chars: Float64s


def units_of(
    corpus: Corpus,
    unit: Literal["row", "prompt", "token"],
    stratify_by: Literal["source"] | None,
    seed: int,
) -> TrajectoryUnits:
    """Return the units of a corpus.

    Args:
        corpus: Has the tables `trajectory` and `statistics`.
        unit: What the budget counts; with `token`, units are rows that cost their tokens.
        stratify_by: What the strata are; None puts all units into one.
        seed: Seeds the random order.
    """
    known = pc.equal(corpus.column("trajectory.status"), OK).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(known)
    ids = corpus.rows["id"].combine_chunks()
    rows = rows[pc.sort_indices(ids.take(pa.array(rows))).to_numpy()]
    named = corpus.rows["prompt_id" if unit == "prompt" else "id"].combine_chunks()
    keys, codes, first = _in_random_order(named.take(pa.array(rows)), seed)
    of_row = pc.fill_null(pc.index_in(named, value_set=pa.array(keys, pa.string())), -1)
    of_row = of_row.to_numpy(zero_copy_only=False).astype(np.int64)
    count = np.bincount(codes, minlength=len(keys))
    sources = np.array(corpus.rows["source"].to_pylist(), dtype=object)
    names_of = _first_source(sources[rows], codes, len(keys))
    chars = to_float(corpus.column("statistics.response_chars"))[rows]
    cost = np.ones_like(count)
    if unit == "token":
        tokens = to_float(corpus.column("trajectory.response_tokens"))[rows]
        cost = np.bincount(codes, tokens, minlength=len(keys)).astype(np.int64)
    strata = np.zeros_like(count)
    if stratify_by:
        strata = np.unique(names_of.astype(str), return_inverse=True)[1]
    return TrajectoryUnits(
        keys=keys,
        of_row=of_row,
        first_row=rows[first],
        points=_means(_losses(corpus, rows), codes, count),
        cost=cost,
        strata=strata,
        sources=names_of,
        chars=np.bincount(codes, chars, minlength=len(keys)) / count,
    )


def _in_random_order(column: pa.StringArray, seed: int) -> tuple[list[str], Ints, Ints]:
    """Number the keys of a column in random order.

    Returns:
        The keys; [rows] the number of each row's key; [keys] the first row of each key.
    """
    named = pc.dictionary_encode(column)
    keys, codes = named.dictionary.to_pylist(), named.indices.to_numpy()
    first = np.unique(codes, return_index=True)[1]
    order = random_order(keys, seed)
    return [keys[number] for number in order], places(order)[codes], first[order]


def _losses(corpus: Corpus, rows: Ints) -> Float32s:
    """Return [rows, checkpoints] the losses of some rows."""
    return matrix_of(corpus.column("trajectory.losses").take(pa.array(rows)))


def _means(losses: Float32s, codes: Ints, count: Ints) -> Float32s:
    """Return the mean of each unit's rows."""
    if len(losses) == len(count):  # a row each
        points = np.empty_like(losses)
        points[codes] = losses
        return points
    sums = [np.bincount(codes, column, minlength=len(count)) for column in losses.T]
    return (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)


def _first_source(
    sources: npt.NDArray[np.object_], codes: Ints, units: int
) -> npt.NDArray[np.object_]:
    """Return each unit's source, the first by name where it has several."""
    names = np.empty(units, dtype=object)
    order = np.argsort(sources.astype(str), kind="stable")[::-1]
    names[codes[order]] = sources[order]  # the last one written is the first by name
    return names
