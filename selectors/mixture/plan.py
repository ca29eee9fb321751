"""The arithmetic of a mixture: shares of groups, a budget in their proportion, rows that spend it.

Plain numbers and no corpus, so that a mixture can be planned before anything is run. Groups are
sources, tasks, or tasks within sources (their parents); whoever calls gives them in the order of
their names, which is what breaks ties.

The rule for shares is that of T5 and FLAN, which OPT-IML uses (arXiv 2212.12017): in proportion
to min(size, cap), to the power 1 / temperature. Ours beyond it: stated weights, floors, a maximum
of epochs as in UniMax (arXiv 2304.09151), and that what one group lacks goes to the others in
proportion to their weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Rounding errors of sums of up to 1e9 tokens stay below this.
TOLERANCE = 1e-6
_SMALLEST = -200.0  # logarithm of a share


def rates(sizes: Sequence[int] | Ints, cap: int = 0, temperature: float = 1.0) -> Floats:
    """Return [groups] the examples-proportional shares; all 0 where no group has anything.

    Args:
        sizes: [groups] Rows or tokens.
        cap: What a group's size counts at most; 0 for no cap.
        temperature: 1 keeps proportions, higher ones even them out, infinity gives each group that
            has anything the same.
    """
    size = np.asarray(sizes, dtype=np.float64)
    filled = size > 0
    found: Floats = np.zeros(len(size))
    if not filled.any():
        return found
    counted = np.minimum(size, cap) if cap else size
    power = np.log(counted[filled]) / temperature
    # Nothing underflows to 0, which would bar a group from giving what others lack.
    found[filled] = np.exp(np.maximum(power - power.max(), _SMALLEST))
    found /= found.sum()
    return found


def shares(rate: Floats, weights: Sequence[float | None]) -> Floats:
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
    found: Floats = weight + (1 - total) * open_rate / open_rate.sum()
    found /= found.sum()
    return found


def fill(weights: Floats, low: Floats, high: Floats, total: float) -> Floats:
    """Return [groups] `level * weight`, no less than `low`, no more than `high`, of a given sum.

    The sum is the total, or that of `high` where this is less; lows that exceed the total shrink
    in proportion. A group of weight 0 gets nothing.

    Args:
        weights: [groups] Not negative.
        low: [groups] Fewest.
        high: [groups] Most; at least `low`.
        total: To be spread.
    """
    free = weights > 0
    floor = np.where(free, np.minimum(low, high), 0.0)
    if floor.sum() >= total:
        return floor * (total / floor.sum()) if total > 0 else np.zeros(len(floor))
    roof = np.where(free, np.minimum(high, total), 0.0)
    found = np.zeros(len(weights))
    while free.any():
        left = total - found[~free].sum()
        level = left * (weights[free] / weights[free].sum())
        bounded = np.clip(level, floor[free], roof[free])
        excess = bounded.sum() - left
        # Where floors cost more than roofs save, floors are settled first, and the reverse.
        settled = bounded > level if excess > 0 else bounded < level
        if abs(excess) <= TOLERANCE or not settled.any():
            settled[:] = True
        rows = np.flatnonzero(free)[settled]
        found[rows] = bounded[settled]
        free[rows] = False
    return found


def rounded(level: Floats, room: Floats, total: int) -> Floats:
    """Return whole numbers by largest remainder, equal ones in the order of the groups.

    Args:
        level: [groups] Sums to the total.
        room: [groups] Most, whole numbers.
        total: The sum.
    """
    whole = np.minimum(np.floor(level + TOLERANCE), room)
    remainder = np.where(whole < room, np.round(level - whole, 6), -1.0)
    whole[np.argsort(-remainder, kind="stable")[: total - int(whole.sum())]] += 1
    return whole


class Groups(NamedTuple):
    """The groups of a mixture.

    Attributes:
        parent: [groups] Number of the parent, from 0; all 0 where there is one level.
        weight: [groups] Share within the parent.
        parent_weight: [parents] Share of the whole.
        size: [groups] What each has, in the budget's unit.
    """

    parent: Ints
    weight: Floats
    parent_weight: Floats
    size: Ints

    @property
    def share(self) -> Floats:
        """[groups] Share of the whole."""
        found: Floats = self.weight * self.parent_weight[self.parent]
        return found

    def room(self, epochs: int) -> Floats:
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

    def spread(self, low: Floats, high: Floats, total: int, whole: bool) -> Floats:
        """Return [groups] a total spread over parents, and inside each over its groups.

        Args:
            low: [groups] Fewest.
            high: [groups] Most.
            total: To be spread; what exceeds the sum of `high` is not.
            whole: In whole numbers, which `low` and `high` must be too.
        """
        count = len(self.parent_weight)
        lows, highs = (
            np.bincount(self.parent, each, minlength=count).astype(np.float64)
            for each in (low, high)
        )
        upper = _part(self.parent_weight, lows, highs, total, whole)
        found = np.zeros(len(self.parent))
        for number, part in enumerate(upper):
            mine = self.parent == number
            found[mine] = _part(self.weight[mine], low[mine], high[mine], float(part), whole)
        return found


def _part(weights: Floats, low: Floats, high: Floats, total: float, whole: bool) -> Floats:
    level = fill(weights, low, high, total)
    return rounded(level, high, round(float(level.sum()))) if whole else level


class Quotas(NamedTuple):
    """What is asked of each group, and what it gives.

    Attributes:
        asked: [groups] By its share, floors included, whatever it has.
        given: [groups] When what some lack has gone to others.
    """

    asked: Floats
    given: Floats


def quotas(groups: Groups, total: int, *, floor: float, epochs: int, whole: bool) -> Quotas:
    """Spread a budget over groups.

    Args:
        groups: The groups.
        total: The budget.
        floor: Least share of the budget for a group that has a weight; at least one unit.
        epochs: How often a row may be taken.
        whole: In whole numbers.
    """
    least = float(max(1, int(floor * total + TOLERANCE))) if floor else 0.0
    low = np.where(groups.share > 0, least, 0.0)
    room = groups.room(epochs)
    asked = groups.spread(low, np.full(len(low), float(total)), total, whole)
    given = groups.spread(np.minimum(low, room), room, total, whole)
    return Quotas(asked, given)


class Taken(NamedTuple):
    """The rows that spend a budget.

    Attributes:
        times: [rows] How often each is taken.
        whole: [groups] True where every row is taken, once or more often.
    """

    times: Ints
    whole: Bools


def take(labels: Ints, cost: Ints, quota: Floats, epochs: int, coin: Ints, place: Ints) -> Taken:
    """Take rows until each group's quota is spent.

    The sum of the costs is at most that of the quotas, and less than one row below it: a row that
    costs more than what is left of the quota is passed over, and what no row fits into goes to
    the next group. Groups that give everything come first, so that how often their rows repeat
    does not depend on `place`.

    Args:
        labels: [rows] Number of the group, from 0.
        cost: [rows] In the budget's unit; 1 for rows, so that every quota is met exactly.
        quota: [groups] To be spent.
        epochs: How often a row may be taken.
        coin: [rows] Random order, which decides what repeats once more than the rest.
        place: [rows] Order in which a group gives rows if it does not give all.
    """
    size = np.bincount(labels, cost, minlength=len(quota))
    whole: Bools = (quota >= size - TOLERANCE) & (size > 0)
    members = np.split(
        np.argsort(labels, kind="stable"),
        np.cumsum(np.bincount(labels, minlength=len(quota)))[:-1],
    )
    times = np.zeros(len(labels), dtype=np.int64)
    left = 0.0
    for group in [*np.flatnonzero(whole), *np.flatnonzero(~whole & (quota > 0))]:
        rows = members[group]
        order = rows[np.argsort((coin if whole[group] else place)[rows], kind="stable")]
        most = size[group] * (epochs if whole[group] else 1)
        wanted = min(quota[group] + left, most)
        passes = int((wanted + TOLERANCE) // size[group]) if whole[group] else 0
        rest = wanted - passes * size[group]
        times[order] = passes
        if rest > TOLERANCE or not whole[group]:
            times[_fitting(order, cost, rest)] += 1
        left += quota[group] - float((times[order] * cost[order]).sum())
    return Taken(times, whole)


def _fitting(order: Ints, cost: Ints, room: float) -> Ints:
    """Return the rows that are taken when each is that still fits, the first ones first."""
    taken = []
    while True:
        order = order[cost[order] <= room + TOLERANCE]
        first = order[np.cumsum(cost[order]) <= room + TOLERANCE]
        taken.append(first)
        if not len(first):
            return np.concatenate(taken)
        order = order[len(first) :]
        room -= float(cost[first].sum())


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

    def take(self, place: Ints) -> Taken:
        """Take rows; `place` is the order in which a group gives them if it does not give all."""
        return take(self.labels, self.cost, self.quotas.given, self.epochs, self.coin, place)

    def random(self) -> Ints:
        """Return [counted] how often a random choice of the same budget takes each row."""
        every = np.zeros(len(self.labels), dtype=np.int64)
        budget = np.array([self.quotas.given.sum()])
        return take(every, self.cost, budget, self.wanted, self.coin, self.coin).times
