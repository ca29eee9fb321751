"""Euclidean k-means on many short vectors: Lloyd on samples that grow until they hold all points.

The start decides more than the iterations: from random points, twenty iterations over all points
end at a higher inertia than k-means++ and a few passes (benchmarks/s2l_clustering.py). So the
restarts are made on 256 points per cluster, and the best goes on to samples eight times as large.
Each begins where the one before ended, so few iterations see all points. Blocks of points are
summed in their order, so the result does not depend on the number of threads.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from siftline.selectors.arrays import Float32s, Float64s, Ints
from siftline.selectors.starts import kmeans_plusplus

# As many as faiss trains on. With 128 the inertia is 0.2 % higher; with 512 the starts, each of
# which costs as much as thirty iterations, take most of the time at 100,000 points.
SAMPLE_PER_CLUSTER = 256
GROWTH = 8
BLOCK_ROWS = 4096
# An iteration that lowers the inertia by less than this part of it is the last one.
TOLERANCE = 5e-4

Labels = npt.NDArray[np.int32]


class EuclideanClusters(NamedTuple):
    """The result of :func:`kmeans`.

    Attributes:
        labels: [rows] Number of each one's cluster.
        distance: [rows] Euclidean distance to the centroid of its cluster.
        centroids: [clusters, dimensions] float32.
        inertia: Sum of the squared distances.
    """

    labels: Labels
    distance: Float32s
    centroids: Float32s
    inertia: float


def kmeans(
    points: Float32s, clusters: int, seed: int, iterations: int, restarts: int
) -> EuclideanClusters:
    """Cluster points by Euclidean distance.

    Memory beyond the points is a label and a distance each, the largest sample, and one block of
    4,096 by clusters for each thread.

    Args:
        points: [rows, dimensions] float32, finite. Their order matters: sort them by key to be
            independent of it.
        clusters: At most the number of rows.
        seed: Seeds samples and starts.
        iterations: Most of Lloyd's iterations on each sample and on all points.
        restarts: Starts on the first sample, of which the best goes on.
    """
    points = np.ascontiguousarray(points, dtype=np.float32)
    random = np.random.default_rng(seed)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as threads:
        sample = _draw(points, SAMPLE_PER_CLUSTER * clusters, random)
        states = random.integers(2**31, size=restarts).tolist()
        starts = list(threads.map(partial(_start, sample.astype(np.float64), clusters), states))
        clusterings = [_lloyd(sample, start, iterations, threads) for start in starts]
        best = min(clusterings, key=lambda each: each.inertia)
        while len(sample) < len(points):
            sample = _draw(points, GROWTH * len(sample), random)
            best = _lloyd(sample, best.centroids, iterations, threads)
    return best


def _draw(points: Float32s, size: int, random: np.random.Generator) -> Float32s:
    """Return so many of the points, in their order, or all of them."""
    if size >= len(points):
        return points
    return points[np.sort(random.choice(len(points), size, replace=False))]


def _start(sample: Float64s, clusters: int, state: int) -> Float32s:
    """Return k-means++ centroids. In float32 scikit-learn takes twice as long: it converts."""
    start, _ = kmeans_plusplus(sample, clusters, random_state=state)
    centroids: Float32s = start.astype(np.float32)
    return centroids


def _lloyd(
    points: Float32s, centroids: Float32s, iterations: int, threads: ThreadPoolExecutor
) -> EuclideanClusters:
    """Move centroids to the means of their points until little changes."""
    labels = np.empty(len(points), dtype=np.int32)
    square = np.empty(len(points), dtype=np.float32)
    before = np.inf
    for left in reversed(range(iterations + 1)):
        sums, counts = _assign(points, centroids, labels, square, threads)
        inertia = float(square.sum(dtype=np.float64))
        if not left or before - inertia <= TOLERANCE * inertia:
            break
        before = inertia
        centroids = _means(sums, counts, points, square)
    return EuclideanClusters(labels, np.sqrt(square, out=square), centroids, inertia)


def _assign(
    points: Float32s,
    centroids: Float32s,
    labels: Labels,
    square: Float32s,
    threads: ThreadPoolExecutor,
) -> tuple[Float64s, Ints]:
    """Label points in place by the nearest centroid; return each cluster's sum and count."""
    clusters, dimensions = centroids.shape
    # |x - c|^2 = |x|^2 - 2 x c + |c|^2, and |x|^2 does not matter for which is nearest.
    weights = np.ascontiguousarray(-2 * centroids.T)
    offsets = np.einsum("ij,ij->i", centroids, centroids)

    def label(block: slice) -> tuple[Float64s, Ints]:
        rows = points[block]
        scores = rows @ weights
        scores += offsets
        nearest = scores.argmin(axis=1)
        labels[block] = nearest
        difference = rows - centroids[nearest]
        square[block] = np.einsum("ij,ij->i", difference, difference)
        sums = np.empty((clusters, dimensions))
        for column in range(dimensions):
            sums[:, column] = np.bincount(nearest, rows[:, column], minlength=clusters)
        return sums, np.bincount(nearest, minlength=clusters)

    totals = np.zeros((clusters, dimensions))
    counts = np.zeros(clusters, dtype=np.int64)
    for part, count in threads.map(label, _blocks(len(points))):
        totals += part
        counts += count
    return totals, counts


def _blocks(rows: int) -> Iterator[slice]:
    """Return the slices of consecutive rows that are labelled together."""
    for start in range(0, rows, BLOCK_ROWS):
        yield slice(start, start + BLOCK_ROWS)


def _means(
    sums: Float64s,
    counts: Ints,
    points: Float32s,
    square: Float32s,
) -> Float32s:
    """Return the new centroids; an empty cluster takes one of the farthest points."""
    means = sums / np.maximum(counts, 1)[:, None]
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        farthest = np.argsort(-square, kind="stable")[: len(empty)]
        means[empty] = points[farthest]
    return means.astype(np.float32)
