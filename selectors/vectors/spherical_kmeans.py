"""Spherical k-means: clusters of unit vectors by cosine, with centroids of length one."""

from typing import NamedTuple

import numpy as np

from siftline.selectors.arrays import Float32s, Ints
from siftline.selectors.starts import kmeans_plusplus

ITERATIONS = 25
# k-means++ picks its starts among so many vectors a cluster, 16,384 at least; on all of a million
# it would take several times as long as the iterations.
STARTS_PER_CLUSTER, FEWEST_STARTS = 64, 16_384
BLOCK_ROWS = 8192


class SphericalClusters(NamedTuple):
    """The result of :func:`spherical_kmeans`.

    Attributes:
        labels: [rows] Number of each one's cluster.
        similarity: [rows] Cosine to the centroid.
        centroids: [clusters, dimensions] float32 of length one.
    """

    labels: Ints
    similarity: Float32s
    centroids: Float32s


def spherical_kmeans(vectors: Float32s, clusters: int, seed: int) -> SphericalClusters:
    """Cluster unit vectors.

    Starts from k-means++, in large pools on a random sample; stops when no label changes or after
    25 iterations. An empty cluster takes the vector that is farthest from its centroid. Memory
    beyond the vectors is the sample and one block of 8,192 rows by clusters.

    Args:
        vectors: [rows, dimensions] float32 of length one. Their order matters: sort them by key
            to be independent of it.
        clusters: At most the number of rows.
        seed: Seeds the start.
    """
    centroids = _unit(_starts(vectors, clusters, seed))
    labels, similarity = _assign(vectors, centroids)
    for _ in range(ITERATIONS):
        centroids = _centroids(vectors, labels, similarity, clusters)
        before = labels
        labels, similarity = _assign(vectors, centroids)
        if np.array_equal(before, labels):
            break
    return SphericalClusters(labels, similarity, centroids)


def _starts(vectors: Float32s, clusters: int, seed: int) -> Float32s:
    size = max(STARTS_PER_CLUSTER * clusters, FEWEST_STARTS)
    if size < len(vectors):
        drawn = np.random.default_rng(seed).choice(len(vectors), size, replace=False)
        vectors = vectors[np.sort(drawn)]
    # In float32 scikit-learn converts as it goes, which takes twice as long.
    starts, _ = kmeans_plusplus(vectors.astype(np.float64), clusters, random_state=seed)
    centroids: Float32s = starts.astype(np.float32)
    return centroids


def _assign(vectors: Float32s, centroids: Float32s) -> tuple[Ints, Float32s]:
    labels = np.empty(len(vectors), dtype=np.int64)
    similarity = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        cosine = vectors[block] @ centroids.T
        labels[block] = cosine.argmax(axis=1)
        similarity[block] = cosine.max(axis=1)
    return labels, similarity


def _centroids(vectors: Float32s, labels: Ints, similarity: Float32s, clusters: int) -> Float32s:
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


def _unit(vectors: Float32s) -> Float32s:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    length[length == 0] = 1
    unit: Float32s = (vectors / length).astype(np.float32)
    return unit
