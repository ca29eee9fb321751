"""What S2L tells of its choice: beside the pool, beside the baselines, and cluster by cluster."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts.figures import shares
from siftline.contracts.stable_hash import stable_hash
from siftline.selectors.quotas.allocation import allocate
from siftline.selectors.trajectories.clusters import centroids_of
from siftline.selectors.trajectories.units import Units

# Mean final loss of the selected, as a multiple of the pool's, above which the report warns (ours).
HIGH_LOSS = 1.25
ROWS_PER_CLUSTER = 3

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Compared(NamedTuple):
    """The result of :func:`compared`.

    Attributes:
        figures: By name, each by choice.
        warnings: Sentences.
        length: [units] log of the response's length.
    """

    figures: dict[str, Any]
    warnings: list[str]
    length: npt.NDArray[np.float64]

    def explained_by(self, labels: Ints) -> float:
        """Return the share of the lengths' variance that lies between clusters (eta squared)."""
        total = float(((self.length - self.length.mean()) ** 2).sum())
        count = np.maximum(np.bincount(labels), 1)
        means = np.bincount(labels, self.length) / count
        within = float(((self.length - means[labels]) ** 2).sum())
        return round(1 - within / total, 4) if total > 0 else 0.0


def compared(units: Units, chosen: Bools, budget: int, seed: int) -> Compared:
    """Compare a choice with the pool and with the baselines at the same budget.

    Args:
        units: The pool.
        chosen: [units] true for those that are taken.
        budget: In the unit of their costs.
        seed: The baselines draw from another stream than the method.
    """
    coin = stable_hash([f"baseline {key}" for key in units.keys], seed)
    choices = {
        "pool": np.ones(len(chosen), dtype=bool),
        "selected": chosen,
        "random": _spend(np.argsort(coin, kind="stable"), units.cost, budget),
        "stratified_random": _stratified(units, coin, budget),
        "longest": _spend(np.lexsort((coin, -units.chars)), units.cost, budget),
    }
    final = units.points[:, -1].astype(np.float64)
    figures: dict[str, Any] = {
        "mean_final_loss": {n: _rounded(final[c].mean()) for n, c in choices.items() if c.any()},
        "response_chars_quartiles": {n: _quartiles(units.chars[c]) for n, c in choices.items()},
        "share_by_source": {n: shares(units.sources[c]) for n, c in choices.items() if c.any()},
        "cost_in_units_of_the_budget": {n: int(units.cost[c].sum()) for n, c in choices.items()},
    }
    warnings = []
    loss = figures["mean_final_loss"]
    if "selected" in loss and loss["selected"] > HIGH_LOSS * loss["pool"]:
        warnings.append(
            f"The mean final loss of what is selected is {loss['selected']:.2f}, that of the pool "
            f"{loss['pool']:.2f}: rows that the proxy cannot learn, mislabelled ones among them, "
            "are over-represented; put 'clear' before 's2l'."
        )
    return Compared(figures, warnings, np.log1p(units.chars))


def curves(
    units: Units,
    points: npt.NDArray[np.float32],
    labels: Ints,
    chosen: Bools,
    quota: Ints,
    ids: Sequence[str],
) -> list[dict[str, Any]]:
    """Return what is shown of each cluster, the largest first.

    Args:
        units: The pool.
        points: [units, checkpoints] what was clustered.
        labels: [units] number of the cluster.
        chosen: [units] true for those that are taken.
        quota: [clusters] in the unit of the budget.
        ids: [rows] of the corpus.

    Returns:
        The `curves` of :mod:`siftline.reports.pictures`, and beside each the `centroid`.
    """
    size = np.bincount(labels)
    centroids = centroids_of(points, labels)
    found = []
    for cluster in np.argsort(-size, kind="stable"):
        mine = np.flatnonzero(labels == cluster)
        if len(mine):
            found.append(
                {
                    "name": f"cluster {cluster}",
                    "size": len(mine),
                    "selected": int(chosen[mine].sum()),
                    "quota": int(quota[cluster]),
                    "values": [_rounded(v) for v in units.points[mine].mean(axis=0)],
                    "centroid": [round(float(v), 7) for v in centroids[cluster]],
                    "ids": [ids[row] for row in units.first_row[mine[:ROWS_PER_CLUSTER]]],
                }
            )
    return found


def _spend(order: Ints, cost: Ints, budget: int) -> Bools:
    """Take units in an order until the budget is reached."""
    chosen = np.zeros(len(cost), dtype=bool)
    before = np.cumsum(cost[order]) - cost[order]
    chosen[order[before < budget]] = True
    return chosen


def _stratified(units: Units, coin: npt.NDArray[np.uint64], budget: int) -> Bools:
    """Take from each source its share of the pool."""
    codes = np.unique(units.sources.astype(str), return_inverse=True)[1]
    size = np.bincount(codes, units.cost).astype(np.int64)
    chosen = np.zeros(len(units.keys), dtype=bool)
    for code, part in enumerate(allocate(size.tolist(), budget, tau=1.0, floor=0)):
        mine = np.flatnonzero(codes == code)
        mine = mine[np.argsort(coin[mine], kind="stable")]
        chosen[mine[_spend(np.arange(len(mine)), units.cost[mine], int(part))]] = True
    return chosen


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _quartiles(values: npt.NDArray[np.float64]) -> list[float]:
    return [_rounded(q) for q in np.quantile(values, (0.25, 0.5, 0.75))] if len(values) else []
