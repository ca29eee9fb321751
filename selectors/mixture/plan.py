"""The arithmetic of a mixture: shares of groups, and a budget spread in their proportion.

Plain numbers and no corpus, so that a mixture can be planned before anything is run. Groups are
sources, tasks, or tasks within sources (their parents), in the order of their names, which breaks
ties.

The rule for shares is that of T5 and FLAN, which OPT-IML uses (arXiv 2212.12017): in proportion
to min(size, cap), to the power 1 / temperature. Ours beyond it: stated weights, floors, a maximum
of epochs as in UniMax (arXiv 2304.09151), and that what one group lacks goes to the others in
proportion to their weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from siftline.selectors.arrays import Float64s, Ints
from siftline.selectors.mixture.spending import RowTimes, take
from siftline.selectors.quotas.filling import fill
from siftline.selectors.quotas.largest_remainder import TOLERANCE, largest_remainder

_SMALLEST = -200.0  # logarithm of a share


def rates(sizes: Sequence[int] | Ints, cap: int = 0, temperature: float = 1.0) -> Float64s:
    """Return [groups] the examples-proportional shares; all 0 where no group has anything.

    Args:
        sizes: [groups] Rows or tokens.
        cap: What a group's size counts at most; 0 for no cap.
        temperature: 1 keeps proportions, higher ones even them out, infinity gives each group that
            has anything the same.
    """
    size = np.asarray(sizes, dtype=np.float64)
    filled = size > 0
    rate: Float64s = np.zeros(len(size))
    if not filled.any():
        return rate
    counted = np.minimum(size, cap) if cap else size
    power = np.log(counted[filled]) / temperature
    # Nothing underflows to 0, which would bar a group from giving what others lack.
    rate[filled] = np.exp(np.maximum(power - power.max(), _SMALLEST))
    rate /= rate.sum()
    return rate


def shares(rate: Float64s, weights: Sequence[float | None]) -> Float64s:
    """Return [groups] shares that sum to one; all 0 where nothing has a weight.

    Stated weights are shares of the whole, and groups without one divide what those leave by their
    rates. Where every group that has a rate states a weight, their scale does not matter.

    Args:
        rate: [groups] As :func:`rates` returns them.
        weights: [groups] Not negative; None for a group that states none.

    Raises:
        ValueError: The stated weights leave nothing for the others.
    """
    stated = np.array([weight is not None for weight in weights], dtype=bool)
    weight = np.array([weight or 0.0 for weight in weights], dtype=np.float64)
    open_rate = np.where(stated, 0.0, rate)
    total = float(weight.sum())
    if not open_rate.any():
        return weight / total if total > 0 else weight
    if total > 1 - TOLERANCE:
        raise ValueError(f"the stated weights sum to {total:g}")
    share: Float64s = weight + (1 - total) * open_rate / open_rate.sum()
    share /= share.sum()
    return share


class Groups(NamedTuple):
    """The groups of a mixture.

    Attributes:
        parent: [groups] Number of each one's parent, from 0; all 0 where there is one level.
        weight: [groups] Share of each within its parent.
        parent_weight: [parents] Share of each in the whole.
        size: [groups] What each has, in the budget's unit.
    """

    parent: Ints
    weight: Float64s
    parent_weight: Float64s
    size: Ints

    @property
    def share(self) -> Float64s:
        """[groups] Share of the whole."""
        share: Float64s = self.weight * self.parent_weight[self.parent]
        return share

    def room(self, epochs: int) -> Float64s:
        """Return [groups] what each may give, which is nothing without a weight."""
        return np.where(self.share > 0, epochs * self.size, 0).astype(np.float64)

    def without_empty(self) -> "Groups":
        """Return the same groups with no weight for those that have nothing."""
        weight = np.where(self.size > 0, self.weight, 0.0)
        sums = np.bincount(self.parent, weight, minlength=len(self.parent_weight))
        parents = np.where(sums > 0, self.parent_weight, 0.0)
        return self._replace(
            weight=weight / np.where(sums > 0, sums, 1.0)[self.parent],
            parent_weight=parents / (parents.sum() or 1.0),
        )

    def within_weights(self, epochs: int, floor: float = 0.0) -> int:
        """Return the largest total at which no group falls short, of its floor either."""
        room = self.room(epochs)
        wanted = self.share > 0
        share = np.maximum(self.share, floor)
        if not wanted.any():
            return 0
        return int(np.floor((room[wanted] / share[wanted]).min() + TOLERANCE))

    def spread(self, low: Float64s, high: Float64s, total: int, whole: bool) -> Float64s:
        """Return [groups] a total spread over parents, and inside each over its groups.

        Args:
            low: [groups] Least part of each.
            high: [groups] Most of each.
            total: What is to be spread; what exceeds the sum of `high` is not.
            whole: Whether groups get whole numbers; `low` and `high` must then be whole too.
        """
        count = len(self.parent_weight)
        lows, highs = (
            np.bincount(self.parent, each, minlength=count).astype(np.float64)
            for each in (low, high)
        )
        upper = _part(self.parent_weight, lows, highs, total, whole)
        parts = np.zeros(len(self.parent))
        for number, part in enumerate(upper):
            child = self.parent == number
            parts[child] = _part(self.weight[child], low[child], high[child], float(part), whole)
        return parts


def _part(weights: Float64s, low: Float64s, high: Float64s, total: float, whole: bool) -> Float64s:
    """Return [groups] a total spread by weights, in whole numbers if asked."""
    level = fill(weights, low, high, total)
    if not whole:
        return level
    return largest_remainder(level, high, round(float(level.sum()))).astype(np.float64)


class Quotas(NamedTuple):
    """What is asked of each group, and what it gives.

    Attributes:
        asked: [groups] What its share asks of each group, floors included, whatever it has.
        given: [groups] What each group gives, when what some lack has gone to others.
    """

    asked: Float64s
    given: Float64s


def quotas(groups: Groups, total: int, *, floor: float, epochs: int, whole: bool) -> Quotas:
    """Spread a budget over groups.

    Args:
        groups: The groups.
        total: The budget.
        floor: Least share of the budget for a group that has a weight; at least one unit. A group
            whose own share is larger does not feel it: unlike the floor of
            :func:`siftline.selectors.quotas.allocation.allocate`, it does not come on top.
        epochs: How often a row may be taken.
        whole: Whether groups get whole numbers.
    """
    least = float(max(1, int(floor * total + TOLERANCE))) if floor else 0.0
    low = np.where(groups.share > 0, least, 0.0)
    room = groups.room(epochs)
    asked = groups.spread(low, np.full(len(low), float(total)), total, whole)
    given = groups.spread(np.minimum(low, room), room, total, whole)
    return Quotas(asked, given)


class Mixture(NamedTuple):
    """A budget spread over the groups of a pool.

    Attributes:
        names: [groups] Their names.
        groups: Their shares and sizes.
        rows: [counted] Numbers of the rows that have a cost.
        labels: [counted] Number of each one's group.
        cost: [counted] In the budget's unit.
        coin: [counted] Place in a random order.
        wanted: The budget.
        quotas: What is asked of each group, and what it gives.
        epochs: How often a row may be taken.
    """

    names: list[str]
    groups: Groups
    rows: Ints
    labels: Ints
    cost: Ints
    coin: Ints
    wanted: int
    quotas: Quotas
    epochs: int

    def take(self, place: Ints) -> RowTimes:
        """Take rows; `place` is the order in which a group gives them if it does not give all."""
        return take(self.labels, self.cost, self.quotas.given, self.epochs, self.coin, place)

    def random(self) -> Ints:
        """Return [counted] how often a random choice of the same budget takes each row."""
        every = np.zeros(len(self.labels), dtype=np.int64)
        budget = np.array([self.quotas.given.sum()])
        return take(every, self.cost, budget, self.wanted, self.coin, self.coin).times
