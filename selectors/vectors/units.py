"""Rows or prompts with their vectors, in an order that is random and fixed.

The order is that of a hash of seed and key. So neither the order of the rows nor of the shards
matters, "the first of equals" is the one with the smallest hash, and the first few units are a
random sample of all.
"""

from typing import NamedTuple

import numpy as np

from siftline.contracts.corpus import Corpus
from siftline.contracts.stable_hash import stable_hash
from siftline.selectors.arrays import Bools, Float32s, Float64s, Ints
from siftline.selectors.budget import Unit, unit_codes, unit_keys
from siftline.selectors.choices import random_order
from siftline.selectors.ranking import places, rank_in, rank_within
from siftline.selectors.vectors.embeddings import On, vectors_of

# Cosines are compared on this grid of decimals: equal vectors in different places of a matrix
# product may differ in the last bits.
DECIMALS = 6
BLOCK_ROWS = 8192


class VectorUnits(NamedTuple):
    """Rows or prompts with their vectors, in random order.

    Attributes:
        of_row: [rows] Number of each row's unit.
        first_row: [units] Number of its first row.
        rows: [units] How many rows it has.
        vectors: [units, dimensions] float32 of length one.
    """

    of_row: Ints
    first_row: Ints
    rows: Ints
    vectors: Float32s

    def __len__(self) -> int:
        return len(self.first_row)


def embedded_units(corpus: Corpus, unit: Unit, on: On, seed: int) -> VectorUnits:
    """Return the units of a corpus that is not empty.

    Args:
        corpus: Has the embeddings.
        unit: Rows; or prompts, whose rows must have the same vector.
        on: Whose embeddings are taken.
        seed: Seeds the random order.
    """
    place = places(random_order(unit_keys(corpus, unit), seed))
    of_row = place[unit_codes(corpus, unit)]
    first_row, rows = np.unique(of_row, return_index=True, return_counts=True)[1:]
    return VectorUnits(of_row, first_row, rows, vectors_of(corpus, on)[first_row])


def turns(units: VectorUnits, ids: list[str], seed: int, leading: Bools | None = None) -> Ints:
    """Return [rows] 0 for the row of a unit that comes first, 1 for the second, and so on.

    Args:
        units: The units.
        ids: [rows] Keys whose hashes order the rows of a unit.
        seed: Seeds the hashes.
        leading: [rows] True for rows that come before the others of their unit.
    """
    late = np.zeros(len(ids), dtype=bool) if leading is None else ~leading
    return rank_within(units.of_row, places(np.lexsort((stable_hash(ids, seed), late)))) - 1


def rank_rows(
    units: VectorUnits, order: Ints, unit: Unit, budget: int, turn: Ints, passed: Ints
) -> Ints:
    """Return [rows] the rank of the rows that a budget buys, 0 for the others.

    Prompts bring all their rows, which share a rank. Rows come in turns: the first row of each
    prompt in the prompts' order, then the second ones.

    Args:
        units: The prompts.
        order: Prompts in the order of choice, as many as the budget or all.
        unit: What the budget counts.
        budget: What is left of the budget for rows that are not chosen already.
        turn: [rows] As :func:`turns` gives it.
        passed: Rows that are not ranked, because they are chosen already.
    """
    if unit == "prompt":
        return rank_in(order, len(units))[units.of_row]
    place = np.full(len(units), len(units))
    held = np.unique(units.of_row[passed])
    place[held] = held - len(units)  # their other rows come first in the later turns
    place[order] = np.arange(len(order))
    late = np.zeros(len(turn), dtype=bool)
    late[passed] = True
    bought = min(budget, len(turn) - len(passed))
    rows = np.lexsort((units.of_row, place[units.of_row], turn, late))[:bought]
    return rank_in(rows, len(turn))


def best_of_units(units: VectorUnits, score: Float64s) -> Float64s:
    """Return [units] the highest score among the rows of each, NaN where none has one."""
    best = np.full(len(units), -np.inf)
    np.maximum.at(best, units.of_row, np.nan_to_num(score, nan=-np.inf))
    return np.where(np.isneginf(best), np.nan, best)


def nearest_similarity(vectors: Float32s, chosen: Float32s) -> Float32s:
    """Return [rows] the largest cosine of each vector to those that are chosen, block by block."""
    similarity = np.full(len(vectors), -1, dtype=np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        for first in range(0, len(chosen), BLOCK_ROWS // 4):
            cosine = vectors[block] @ chosen[first : first + BLOCK_ROWS // 4].T
            np.maximum(similarity[block], cosine.max(axis=1), out=similarity[block])
    return similarity
