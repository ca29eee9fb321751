"""Prompts with their vectors, in clusters; a cluster that is too large is clustered again."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts.corpus import Corpus
from siftline.selectors.vectors.spherical_kmeans import spherical_kmeans

FEWEST_CLUSTERS, MOST_CLUSTERS = 256, 4096
# How often a part of a part may be clustered again: when k-means peels off a few outliers each
# time, the large part that stays is one thing.
SPLITS = 8
# Clusters for a report alone have centroids made from so many prompts.
SAMPLED = 8192

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


On = Literal["prompt", "conversation"]


class Prompts(NamedTuple):
    """The prompts of a corpus, in the order of their `prompt_id`; or its conversations, by id.

    Attributes:
        keys: [prompts] the `prompt_id`, or the `id`.
        of_row: [rows] number of each row's prompt.
        vectors: [prompts, dimensions] float32 of length one.
    """

    keys: list[str]
    of_row: Ints
    vectors: Floats


class PromptClusters(NamedTuple):
    """Prompts in clusters.

    Attributes:
        labels: [prompts] number of the cluster.
        similarity: [prompts] cosine to its centroid.
    """

    labels: Ints
    similarity: Floats


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
    column = corpus.column(f"{on}_embedding.vector")
    vectors = column.flatten().to_numpy().reshape(-1, column.type.list_size)[first]
    return Prompts(keys.tolist(), of_row.astype(np.int64), np.ascontiguousarray(vectors))


def default_clusters(prompts: int) -> int:
    """Return how many clusters so many prompts get.

    The square root, between 256 and 4096, but never more than a quarter of the prompts, so that a
    small pool has clusters of several.
    """
    root = int(np.clip(np.sqrt(prompts), FEWEST_CLUSTERS, MOST_CLUSTERS))
    return min(root, max(1, prompts // 4))


def cluster_prompts(
    vectors: Floats, seed: int, clusters: int | None = None, largest: float | None = None
) -> PromptClusters:
    """Cluster prompts by cosine.

    Args:
        vectors: [prompts, dimensions] of length one, in an order that depends on their set alone.
        seed: Of the starts.
        clusters: Their number before any is split; None for :func:`default_clusters`.
        largest: Share of the prompts above which a cluster is clustered again; None for no limit.
    """
    count = default_clusters(len(vectors)) if clusters is None else min(clusters, len(vectors))
    found = spherical_kmeans(vectors, count, seed)
    if largest is None:
        return PromptClusters(found.labels, found.similarity)
    return _split(vectors, found.labels, found.similarity, largest * len(vectors), seed)


def sampled_clusters(vectors: Floats, order: Ints, seed: int) -> Ints:
    """Return [prompts] the cluster of each, whose centroids are made from a sample.

    Args:
        vectors: [prompts, dimensions] of length one.
        order: Numbers of all prompts; the first ones are the sample.
        seed: Of the start.
    """
    sample = vectors[order[:SAMPLED]]
    found = spherical_kmeans(sample, default_clusters(len(sample)), seed)
    return nearest_centroid(vectors, found.centroids)


def nearest_centroid(vectors: Floats, centroids: Floats) -> Ints:
    """Return [rows] the number of the centroid of the largest cosine, block by block."""
    label = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), SAMPLED):
        block = slice(start, start + SAMPLED)
        label[block] = (vectors[block] @ centroids.T).argmax(axis=1)
    return label


def _split(
    vectors: Floats, labels: Ints, similarity: Floats, limit: float, seed: int
) -> PromptClusters:
    """Cluster what is larger than the limit again, into as many parts as would fit.

    What cannot be told apart, such as prompts with one vector, stays as it is.
    """
    labels, similarity = labels.copy(), similarity.copy()
    whole: set[int] = set()
    for _ in range(SPLITS):
        giants = [int(n) for n in np.flatnonzero(np.bincount(labels) > limit) if n not in whole]
        for giant in giants:
            mine = np.flatnonzero(labels == giant)
            count = min(len(mine), max(2, int(np.ceil(len(mine) / limit))))
            found = spherical_kmeans(vectors[mine], count, seed)
            parts, codes = np.unique(found.labels, return_inverse=True)
            if len(parts) == 1:
                whole.add(giant)
                continue
            # The first part keeps the number, the others get new ones.
            labels[mine] = np.where(codes == 0, giant, labels.max() + codes)
            similarity[mine] = found.similarity
    return PromptClusters(labels, similarity)
