"""Prompts with their vectors, in clusters; a cluster that is too large is clustered again."""

from typing import NamedTuple

import numpy as np

from siftline.contracts.corpus import Corpus
from siftline.selectors.arrays import Float32s, Ints
from siftline.selectors.vectors.embeddings import On, vectors_of
from siftline.selectors.vectors.spherical_kmeans import spherical_kmeans

FEWEST_CLUSTERS, MOST_CLUSTERS = 256, 4096
# How often a part of a part may be clustered again: when k-means peels off a few outliers each
# time, the large part that stays is one thing.
SPLITS = 8
# Clusters for a report alone have centroids made from so many prompts.
SAMPLED = 8192


class Prompts(NamedTuple):
    """The prompts of a corpus, in the order of their `prompt_id`; or its conversations, by id.

    Attributes:
        keys: [prompts] The `prompt_id`, or the `id`.
        of_row: [rows] Number of each row's prompt.
        vectors: [prompts, dimensions] float32 of length one.
    """

    keys: list[str]
    of_row: Ints
    vectors: Float32s


class PromptClusters(NamedTuple):
    """Prompts in clusters.

    Attributes:
        labels: [prompts] Number of each one's cluster.
        similarity: [prompts] Cosine to the centroid of its cluster.
    """

    labels: Ints
    similarity: Float32s


def prompts_of(corpus: Corpus, on: On = "prompt") -> Prompts:
    """Return the prompts, or the conversations, of a corpus that is not empty.

    Args:
        corpus: Has the score `prompt_embedding`, or `conversation_embedding`.
        on: Which of them.
    """
    key = "prompt_id" if on == "prompt" else "id"
    keys, first, of_row = np.unique(
        np.array(corpus.rows[key].to_pylist()), return_index=True, return_inverse=True
    )
    return Prompts(keys.tolist(), of_row.astype(np.int64), vectors_of(corpus, on)[first])


def default_clusters(prompts: int) -> int:
    """Return how many clusters so many prompts get.

    The square root, between 256 and 4096, but never more than a quarter of the prompts, so that a
    small pool has clusters of several.
    """
    root = int(np.clip(np.sqrt(prompts), FEWEST_CLUSTERS, MOST_CLUSTERS))
    return min(root, max(1, prompts // 4))


def cluster_prompts(
    vectors: Float32s, seed: int, clusters: int | None = None, largest: float | None = None
) -> PromptClusters:
    """Cluster prompts by cosine.

    Args:
        vectors: [prompts, dimensions] of length one, in an order that depends on their set alone.
        seed: Seeds the starts of k-means.
        clusters: Their number before any is split; None for :func:`default_clusters`.
        largest: Share of the prompts above which a cluster is clustered again; None for no limit.
    """
    count = default_clusters(len(vectors)) if clusters is None else min(clusters, len(vectors))
    clustered = spherical_kmeans(vectors, count, seed)
    whole = PromptClusters(clustered.labels, clustered.similarity)
    return whole if largest is None else _split(vectors, whole, largest * len(vectors), seed)


def sampled_clusters(vectors: Float32s, order: Ints, seed: int) -> Ints:
    """Return [prompts] the cluster of each, whose centroids are made from a sample.

    Args:
        vectors: [prompts, dimensions] of length one.
        order: Numbers of all prompts; the first ones are the sample.
        seed: Seeds the start of k-means.
    """
    sample = vectors[order[:SAMPLED]]
    clustered = spherical_kmeans(sample, default_clusters(len(sample)), seed)
    return nearest_centroid(vectors, clustered.centroids)


def nearest_centroid(vectors: Float32s, centroids: Float32s) -> Ints:
    """Return [rows] the number of the centroid of the largest cosine, block by block."""
    label = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), SAMPLED):
        block = slice(start, start + SAMPLED)
        label[block] = (vectors[block] @ centroids.T).argmax(axis=1)
    return label


def _split(vectors: Float32s, clusters: PromptClusters, limit: float, seed: int) -> PromptClusters:
    """Cluster what is larger than the limit again, into as many parts as would fit.

    A cluster that k-means leaves whole, such as prompts with one vector, stays as it is.
    """
    labels, similarity = clusters.labels.copy(), clusters.similarity.copy()
    whole: set[int] = set()
    for _ in range(SPLITS):
        giants = [int(n) for n in np.flatnonzero(np.bincount(labels) > limit) if n not in whole]
        for giant in giants:
            members = np.flatnonzero(labels == giant)
            count = min(len(members), max(2, int(np.ceil(len(members) / limit))))
            clustered = spherical_kmeans(vectors[members], count, seed)
            parts, codes = np.unique(clustered.labels, return_inverse=True)
            if len(parts) == 1:
                whole.add(giant)
                continue
            # The first part keeps the number, the others get new ones.
            labels[members] = np.where(codes == 0, giant, labels.max() + codes)
            similarity[members] = clustered.similarity
    return PromptClusters(labels, similarity)
