"""The report of S2L: its choice beside the pool and the baselines, and cluster by cluster."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from siftline.contracts.figures import DECIMALS, mean, quartiles, shares
from siftline.selectors.arrays import Bools, Float32s, Float64s, Ints
from siftline.selectors.choices import best_order, random_order, spend, stratified
from siftline.selectors.ranking import places
from siftline.selectors.trajectories.clusters import centroids_of
from siftline.selectors.trajectories.units import TrajectoryUnits

# Mean final loss of the selected, as a multiple of the pool's, above which the report warns (ours).
HIGH_LOSS = 1.25
ROWS_PER_CLUSTER = 3
CENTROID_DECIMALS = 7


class Compared(NamedTuple):
    """The result of :func:`compared`.

    Attributes:
        figures: A value for each choice, by the name of the figure, then of the choice.
        warnings: Sentences for the report.
        length: [units] Logarithm of 1 + the response's length in characters.
    """

    figures: dict[str, Any]
    warnings: list[str]
    length: Float64s

    def explained_by(self, labels: Ints) -> float:
        """Return the share of the lengths' variance that lies between clusters (eta squared)."""
        total = float(((self.length - self.length.mean()) ** 2).sum())
        count = np.maximum(np.bincount(labels), 1)
        means = np.bincount(labels, self.length) / count
        within = float(((self.length - means[labels]) ** 2).sum())
        return round(1 - within / total, DECIMALS) if total > 0 else 0.0


def compared(units: TrajectoryUnits, chosen: Bools, budget: int, seed: int) -> Compared:
    """Compare a choice with the pool and with the baselines at the same budget.

    Args:
        units: The pool.
        chosen: [units] True for those that are taken.
        budget: What the baselines may spend, in the unit of the costs.
        seed: Seeds the baselines, which draw from another stream than the method.
    """
    cost = units.cost
    order = random_order([f"baseline {key}" for key in units.keys], seed)
    sources = np.unique(units.sources.astype(str), return_inverse=True)[1]
    choices = {
        "pool": np.arange(len(chosen)),
        "selected": np.flatnonzero(chosen),
        "random": np.sort(spend(order, cost, budget)),
        "stratified_random": np.sort(stratified(order, sources, budget, cost=cost)),
        "longest": np.sort(spend(best_order(units.chars, places(order)), cost, budget)),
    }
    some = {name: choice for name, choice in choices.items() if len(choice)}
    final = units.points[:, -1].astype(np.float64)
    figures: dict[str, Any] = {
        "mean_final_loss": {name: mean(final[choice]) for name, choice in some.items()},
        "response_chars_quartiles": {
            name: quartiles(units.chars[choice]) for name, choice in choices.items()
        },
        "share_by_source": {name: shares(units.sources[choice]) for name, choice in some.items()},
        "cost_in_units_of_the_budget": {
            name: int(cost[choice].sum()) for name, choice in choices.items()
        },
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
    units: TrajectoryUnits,
    points: Float32s,
    labels: Ints,
    chosen: Bools,
    quota: Ints,
    ids: Sequence[str],
) -> list[dict[str, Any]]:
    """Return what is shown of each cluster, the largest first.

    Args:
        units: The pool.
        points: [units, checkpoints] What was clustered.
        labels: [units] Number of each one's cluster.
        chosen: [units] True for those that are taken.
        quota: [clusters] What each was asked for, in the unit of the budget.
        ids: [rows] Ids of the corpus.

    Returns:
        The `curves` of :mod:`siftline.reports.pictures`, and beside each the `centroid`.
    """
    size = np.bincount(labels)
    centroids = centroids_of(points, labels)
    drawn = []
    for cluster in np.argsort(-size, kind="stable"):
        members = np.flatnonzero(labels == cluster)
        if len(members):
            drawn.append(
                {
                    "name": f"cluster {cluster}",
                    "size": len(members),
                    "selected": int(chosen[members].sum()),
                    "quota": int(quota[cluster]),
                    "values": _rounded(units.points[members].mean(axis=0), DECIMALS),
                    "centroid": _rounded(centroids[cluster], CENTROID_DECIMALS),
                    "ids": [ids[row] for row in units.first_row[members[:ROWS_PER_CLUSTER]]],
                }
            )
    return drawn


def _rounded(values: Float32s, decimals: int) -> list[float]:
    return [round(float(value), decimals) for value in values]
