"""Clusters of trajectories, in the whole pool or in each of its strata."""

import numpy as np

from siftline.selectors.arrays import Float32s, Ints
from siftline.selectors.trajectories.kmeans import kmeans


def cluster(
    points: Float32s,
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
        strata: [units] Number of each one's stratum.
        clusters: Their number in each stratum, but no more than one for `fewest` units.
        fewest: Fewest units for one cluster.
        iterations: Most iterations of k-means.
        restarts: Starts of k-means, of which the best goes on.
        seed: Seeds the starts.

    Returns:
        [units] Number of each one's cluster; those of a stratum follow one another.
    """
    labels = np.zeros(len(points), dtype=np.int64)
    first = 0
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        count = max(1, min(clusters, len(members) // fewest))
        labels[members] = kmeans(points[members], count, seed, iterations, restarts).labels + first
        first += count
    return labels


def centroids_of(points: Float32s, labels: Ints) -> Float32s:
    """Return [clusters, dimensions] the mean of each cluster's points, NaN where it has none.

    k-means stops after some iterations, a step before or after these means.
    """
    count = np.bincount(labels)
    sums = np.array([np.bincount(labels, column) for column in points.T])
    sums = sums.reshape(points.shape[1], len(count)).T  # also where no point tells the width
    with np.errstate(invalid="ignore"):
        means: Float32s = (sums / count[:, None]).astype(np.float32)
    return means
