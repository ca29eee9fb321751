"""Quotas of clusters, and the rows that fill them: near duplicates only where nothing else does."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.selectors.quotas.allocation import allocate

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Units(NamedTuple):
    """Rows or prompts in cells, a cell being a cluster, or the part of it that is on one side.

    Attributes:
        prompt: [units] number of the prompt.
        place: [units] place in the order of choice, in all cells.
        prompt_cell: [prompts] number of the cell.
        prompt_near: [prompts] true for near duplicates of an earlier one in their cell.
        side: [cells] number of the side.
    """

    prompt: Ints
    place: Ints
    prompt_cell: Ints
    prompt_near: Bools
    side: Ints


class Chosen(NamedTuple):
    """What the quotas take.

    Attributes:
        keep: [units] true for what is taken.
        rank: [units] rank in the cell, from 1; near duplicates come after all others.
        reason: [units] slugs.
    """

    keep: Bools
    rank: Ints
    reason: npt.NDArray[np.str_]


def quotas(units: Units, budgets: Ints, floor: float, tau: float) -> Ints:
    """Return [cells, 2] how many units each cell gives that are no near duplicates, and that are.

    Args:
        units: The units.
        budgets: [sides] to be spread over the cells of each; no more than it has.
        floor: Fewest units of a cell, as a share of its side's budget; at least one.
        tau: 1 keeps the proportions of the cells, in prompts, and 0 evens them out.
    """
    cells = len(units.side)
    kinds = 2 * units.prompt_cell + units.prompt_near
    sizes = np.bincount(kinds[units.prompt], minlength=2 * cells).reshape(cells, 2)
    prompts = np.bincount(kinds, minlength=2 * cells).reshape(cells, 2)
    found = np.zeros((cells, 2), dtype=np.int64)
    for side, budget in enumerate(budgets.tolist()):
        mine = np.flatnonzero(units.side == side)
        for near, fewest in enumerate((max(1, int(floor * budget)), 0)):
            size, count = sizes[mine, near].tolist(), prompts[mine, near].tolist()
            found[mine, near] = allocate(size, budget, tau, fewest, count)
            budget -= int(found[mine, near].sum())
    return found


def choose(units: Units, quota: Ints) -> Chosen:
    """Take the first units of each cell.

    A near duplicate is one by reason if it was passed over: it stands before the last one taken,
    or nothing else was left to take. What stands behind is over the budget like any other.

    Args:
        units: The units.
        quota: [cells, 2] as :func:`quotas` returns it.
    """
    cell, near = units.prompt_cell[units.prompt], units.prompt_near[units.prompt]
    sizes = np.bincount(cell[~near], minlength=len(quota))
    rank = rank_within(2 * cell + near, units.place)
    keep = rank <= quota[cell, near.astype(np.int64)]
    last = np.full(len(quota), -1)
    np.maximum.at(last, cell[keep & ~near], units.place[keep & ~near])
    passed = near & ((quota[:, 0] == sizes)[cell] | (units.place < last[cell]))
    reason = np.select([passed, keep], ["near_duplicate", "selected"], "over_budget")
    return Chosen(keep, np.where(near, rank + sizes[cell], rank), reason)


def rank_within(groups: Ints, place: Ints) -> Ints:
    """Return each one's rank, from 1, among those of its group, in the order of their places."""
    order = np.lexsort((place, groups))
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(groups), dtype=np.int64)
    rank[order] = np.arange(1, len(groups) + 1) - starts[groups[order]]
    return rank
