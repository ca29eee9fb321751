"""Clusters of trajectories, in the whole pool or in each of its strata."""

import numpy as np
import numpy.typing as npt

from siftline.selectors.trajectories.kmeans import kmeans

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def cluster(
    points: Floats,
    strata: Ints,
    *,
    clusters: int,
    fewest: int,
    iterations: int,
    restarts: int,
    seed: int,
) -> Ints:
    """Cluster points by k-means, those of each stratum by themselves.

    Args:
        points: [units, dimensions] in an order that depends on their set alone, as the result does.
        strata: [units] number of the stratum.
        clusters: In each stratum, but no more than one for `fewest` units.
        fewest: Units for one cluster.
        iterations: Of k-means.
        restarts: Of k-means.
        seed: Of the starts.

    Returns:
        [units] number of the cluster; those of a stratum follow one another.
    """
    labels = np.zeros(len(points), dtype=np.int64)
    first = 0
    for stratum in np.unique(strata):
        mine = np.flatnonzero(strata == stratum)
        count = max(1, min(clusters, len(mine) // fewest))
        labels[mine] = kmeans(points[mine], count, seed, iterations, restarts).labels + first
        first += count
    return labels


def centroids_of(points: Floats, labels: Ints) -> Floats:
    """Return [clusters, dimensions] the mean of each cluster's points, NaN where it has none.

    k-means stops after some iterations, a step before or after these means.
    """
    count = np.bincount(labels)
    sums = [np.bincount(labels, column) for column in points.T]
    with np.errstate(invalid="ignore"):
        means: Floats = (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)
    return means
