"""Rows or prompts with their vectors, in an order that is random and fixed.

The order is that of a hash of seed and key. So neither the order of the rows nor of the shards
matters, "the first of equals" is the one with the smallest hash, and the first few units are a
random sample of all.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts.corpus import Corpus
from siftline.contracts.stable_hash import stable_hash
from siftline.selectors.budget import Unit, unit_codes, unit_keys

# Cosines are compared on this grid of decimals: equal vectors in different places of a matrix
# product may differ in the last bits.
DECIMALS = 6
BLOCK_ROWS = 8192

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Units(NamedTuple):
    """Units in random order.

    Attributes:
        of_row: [rows] number of each row's unit.
        first_row: [units] a row of it.
        rows: [units] how many rows it has.
        vectors: [units, dimensions] float32 of length one.
    """

    of_row: Ints
    first_row: Ints
    rows: Ints
    vectors: Floats

    def __len__(self) -> int:
        return len(self.first_row)


def embedded_units(corpus: Corpus, unit: Unit, table: str, seed: int) -> Units:
    """Return the units of a corpus that is not empty.

    Args:
        corpus: Has the score table.
        unit: Rows, or prompts, whose rows must have the same vector.
        table: Name of the score table with the column `vector`.
        seed: Of the order.
    """
    place = np.argsort(np.argsort(stable_hash(unit_keys(corpus, unit), seed), kind="stable"))
    of_row = place[unit_codes(corpus, unit)]
    first_row, rows = np.unique(of_row, return_index=True, return_counts=True)[1:]
    column = corpus.column(f"{table}.vector")
    vectors = column.flatten().to_numpy().reshape(-1, column.type.list_size)[first_row]
    return Units(of_row, first_row, rows, vectors)


def turns(
    units: Units, ids: list[str], seed: int, leading: npt.NDArray[np.bool_] | None = None
) -> Ints:
    """Return [rows] 0 for the row of a unit that comes first, 1 for the second, and so on.

    Args:
        units: The units.
        ids: [rows] whose hashes order the rows of a unit.
        seed: Of the hashes.
        leading: [rows] true for rows that come before the others of their unit.
    """
    late = np.zeros(len(ids), dtype=bool) if leading is None else ~leading
    order = np.lexsort((stable_hash(ids, seed), late, units.of_row))
    starts = np.r_[0, np.cumsum(units.rows)[:-1]]
    turn = np.empty(len(ids), dtype=np.int64)
    turn[order] = np.arange(len(ids)) - starts[units.of_row[order]]
    return turn


def rank_rows(units: Units, order: Ints, unit: Unit, budget: int, turn: Ints, passed: Ints) -> Ints:
    """Return [rows] the rank of the rows that a budget buys, 0 for the others.

    Prompts bring all their rows, which share a rank. Rows come in turns: the first row of each
    prompt in the prompts' order, then the second ones.

    Args:
        units: Prompts.
        order: Prompts in the order of choice, as many as the budget or all.
        unit: Of the budget.
        budget: What is left of it for rows that are not chosen already.
        turn: [rows] as :func:`turns` gives it.
        passed: Rows that are not ranked, because they are chosen already.
    """
    if unit == "prompt":
        rank = np.zeros(len(units), dtype=np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        return rank[units.of_row]
    place = np.full(len(units), len(units))
    held = np.unique(units.of_row[passed])
    place[held] = held - len(units)  # their other rows come first in the later turns
    place[order] = np.arange(len(order))
    late = np.zeros(len(turn), dtype=bool)
    late[passed] = True
    rows = np.lexsort((units.of_row, place[units.of_row], turn, late))[
        : min(budget, len(turn) - len(passed))
    ]
    rank = np.zeros(len(turn), dtype=np.int64)
    rank[rows] = np.arange(1, len(rows) + 1)
    return rank


def ranks(rank: Ints) -> dict[int, int]:
    """Return the rank by row of the rows that have one, for the verdicts."""
    return {int(row): int(rank[row]) for row in np.flatnonzero(rank)}


def best_of_units(units: Units, score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return [units] the highest score among the rows of each, NaN where none has one."""
    best = np.full(len(units), -np.inf)
    np.maximum.at(best, units.of_row, np.nan_to_num(score, nan=-np.inf))
    return np.where(np.isneginf(best), np.nan, best)


def nearest_similarity(vectors: Floats, chosen: Floats) -> Floats:
    """Return [rows] the largest cosine of each vector to those that are chosen, block by block."""
    found = np.full(len(vectors), -1, dtype=np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        for first in range(0, len(chosen), BLOCK_ROWS // 4):
            cosine = vectors[block] @ chosen[first : first + BLOCK_ROWS // 4].T
            np.maximum(found[block], cosine.max(axis=1), out=found[block])
    return found


def order_by(score: npt.NDArray[np.float64]) -> Ints:
    """Return units from the highest score to the lowest, equals and then those without in order."""
    order: Ints = np.argsort(np.nan_to_num(-score, nan=np.inf), kind="stable")
    return order
