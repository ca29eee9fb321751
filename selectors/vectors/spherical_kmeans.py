"""Spherical k-means: clusters of unit vectors by cosine, with centroids of length one."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.cluster import kmeans_plusplus

ITERATIONS = 25
# k-means++ picks its starts among so many vectors a cluster, 16,384 at least; on all of a million
# it would take several times as long as the iterations.
STARTS_PER_CLUSTER, FEWEST_STARTS = 64, 16_384
BLOCK_ROWS = 8192

Floats = npt.NDArray[np.float32]


class Clusters(NamedTuple):
    """The result of k-means.

    Attributes:
        labels: [rows] number of the cluster.
        similarity: [rows] cosine to the centroid.
        centroids: [clusters, dimensions] float32 of length one.
    """

    labels: npt.NDArray[np.int64]
    similarity: Floats
    centroids: Floats


def spherical_kmeans(vectors: Floats, clusters: int, seed: int) -> Clusters:
    """Cluster unit vectors.

    Starts from k-means++, in large pools on a random sample; stops when no label changes or after
    25 iterations. An empty cluster takes the vector that is farthest from its centroid. Memory
    beyond the vectors is the sample and one block of 8,192 rows by clusters.

    Args:
        vectors: [rows, dimensions] float32 of length one. Their order matters: sort them by key
            to be independent of it.
        clusters: At most the number of rows.
        seed: Of the start.
    """
    centroids = _unit(_starts(vectors, clusters, seed))
    labels, similarity = _assign(vectors, centroids)
    for _ in range(ITERATIONS):
        centroids = _centroids(vectors, labels, similarity, clusters)
        before = labels
        labels, similarity = _assign(vectors, centroids)
        if np.array_equal(before, labels):
            break
    return Clusters(labels, similarity, centroids)


def _starts(vectors: Floats, clusters: int, seed: int) -> Floats:
    size = max(STARTS_PER_CLUSTER * clusters, FEWEST_STARTS)
    if size < len(vectors):
        drawn = np.random.default_rng(seed).choice(len(vectors), size, replace=False)
        vectors = vectors[np.sort(drawn)]
    # In float32 scikit-learn converts as it goes, which takes twice as long.
    starts, _ = kmeans_plusplus(vectors.astype(np.float64), clusters, random_state=seed)
    found: Floats = starts.astype(np.float32)
    return found


def _assign(vectors: Floats, centroids: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    labels = np.empty(len(vectors), dtype=np.int64)
    similarity = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        cosine = vectors[block] @ centroids.T
        labels[block] = cosine.argmax(axis=1)
        similarity[block] = cosine.max(axis=1)
    return labels, similarity


def _centroids(
    vectors: Floats, labels: npt.NDArray[np.int64], similarity: Floats, clusters: int
) -> Floats:
    sums = np.zeros((clusters, vectors.shape[1]), dtype=np.float64)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = labels[start : start + BLOCK_ROWS]
        order = np.argsort(block, kind="stable")  # reduceat is many times faster than add.at
        present, firsts = np.unique(block[order], return_index=True)
        rows = vectors[start + order].astype(np.float64)
        sums[present] += np.add.reduceat(rows, firsts, axis=0)
    empty = np.flatnonzero(np.bincount(labels, minlength=clusters) == 0)
    farthest = np.argsort(similarity, kind="stable")[: len(empty)]
    sums[empty] = vectors[farthest]
    return _unit(sums.astype(np.float32))


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    length[length == 0] = 1
    unit: Floats = (vectors / length).astype(np.float32)
    return unit
