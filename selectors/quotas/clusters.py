"""Quotas of clusters, and the rows that fill them: near duplicates only where nothing else does."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.selectors.arrays import Bools, Ints
from siftline.selectors.quotas.allocation import allocate
from siftline.selectors.ranking import rank_within


class CellUnits(NamedTuple):
    """Rows or prompts in cells, a cell being a cluster, or the part of it that is on one side.

    Attributes:
        prompt: [units] Number of the prompt.
        place: [units] Place in the order of choice, one order for all cells.
        prompt_cell: [prompts] Number of the cell.
        prompt_near: [prompts] True for near duplicates of an earlier prompt in the same cell.
        side: [cells] Number of the side.
    """

    prompt: Ints
    place: Ints
    prompt_cell: Ints
    prompt_near: Bools
    side: Ints


class Chosen(NamedTuple):
    """What the quotas take.

    Attributes:
        keep: [units] True for what is taken.
        rank: [units] Rank in the cell, from 1; near duplicates come after all others.
        reason: [units] A slug each.
    """

    keep: Bools
    rank: Ints
    reason: npt.NDArray[np.str_]


def quotas(units: CellUnits, budgets: Ints, floor: float, tau: float) -> Ints:
    """Return [cells, 2] how many units each cell gives that are no near duplicates, and that are.

    Args:
        units: The units.
        budgets: [sides] What is to be spread over the cells of each side; no more than it has.
        floor: Fewest units of a cell, as a share of its side's budget; at least one.
        tau: 1 keeps the cells' proportions, which are counted in prompts; 0 evens them out.
    """
    cells = len(units.side)
    kinds = 2 * units.prompt_cell + units.prompt_near
    sizes = np.bincount(kinds[units.prompt], minlength=2 * cells).reshape(cells, 2)
    prompts = np.bincount(kinds, minlength=2 * cells).reshape(cells, 2)
    quota = np.zeros((cells, 2), dtype=np.int64)
    for side, budget in enumerate(budgets.tolist()):
        of_side = np.flatnonzero(units.side == side)
        for near, fewest in enumerate((max(1, int(floor * budget)), 0)):
            size, count = sizes[of_side, near].tolist(), prompts[of_side, near].tolist()
            quota[of_side, near] = allocate(size, budget, tau, fewest, count)
            budget -= int(quota[of_side, near].sum())
    return quota


def choose(units: CellUnits, quota: Ints) -> Chosen:
    """Take the first units of each cell.

    A near duplicate has the reason `near_duplicate` if it was passed over: its place is before that
    of the last unit taken, or the cell had nothing else left. Behind that it is `over_budget`, as
    any other unit is.

    Args:
        units: The units.
        quota: [cells, 2] As :func:`quotas` returns it.
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
