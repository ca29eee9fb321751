"""Tests of prompts in clusters, and of clusters that are split again."""

import numpy as np
import numpy.typing as npt
import pytest
from corpora import corpus_of, embedding, take
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.vectors.clusters import cluster_prompts, default_clusters, prompts_of


def circle(degrees: npt.ArrayLike) -> npt.NDArray[np.float32]:
    radians = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def sizes(labels: npt.NDArray[np.int64]) -> list[int]:
    return sorted(np.unique(labels, return_counts=True)[1].tolist())


def test_prompts_come_once_in_the_order_of_their_keys() -> None:
    vectors = circle([30, 10, 30, 20])
    corpus = corpus_of(list("cacb"), tables={"prompt_embedding": embedding(vectors)})
    found = prompts_of(corpus)
    assert found.keys == ["a", "b", "c"]
    assert found.of_row.tolist() == [2, 0, 2, 1]
    assert found.vectors == pytest.approx(circle([10, 20, 30]), abs=1e-6)
    other = prompts_of(take(corpus, [3, 2, 1, 0]))
    assert other.vectors.tobytes() == found.vectors.tobytes()


@pytest.mark.parametrize(
    ("prompts", "clusters"), [(1, 1), (3, 1), (8, 2), (400, 100), (10**4, 256), (10**6, 1000)]
)
def test_default_number_of_clusters(prompts: int, clusters: int) -> None:
    assert default_clusters(prompts) == clusters


def test_a_giant_is_split_and_the_others_stay() -> None:
    # k-means with two clusters parts 30 degrees from 200: one has 8 of 10 prompts.
    vectors = circle([0, 1, 2, 3, 57, 58, 59, 60, 200, 201])
    whole = cluster_prompts(vectors, seed=0, clusters=2)
    assert sizes(whole.labels) == [2, 8]
    split = cluster_prompts(vectors, seed=0, clusters=2, largest=0.5)
    assert sizes(split.labels) == [2, 4, 4]
    assert len(set(split.labels[:4])) == len(set(split.labels[4:8])) == 1
    assert split.labels[8:].tolist() == whole.labels[8:].tolist()
    # The centroid of the first four lies at 1.5 degrees now.
    assert split.similarity[0] == pytest.approx(np.cos(np.deg2rad(1.5)), abs=1e-6)
    assert split.similarity[8:].tolist() == whole.similarity[8:].tolist()


def test_parts_are_split_again() -> None:
    # One cluster of 64; a limit of 4 asks for 16 parts at once, which k-means fills unevenly.
    degrees = np.concatenate([np.linspace(0, 1, 40), np.linspace(90, 180, 24)])
    found = cluster_prompts(circle(degrees), seed=0, clusters=1, largest=4 / 64)
    assert max(sizes(found.labels)) <= 4


def test_equal_vectors_are_not_split_for_ever() -> None:
    found = cluster_prompts(circle([45] * 30), seed=0, clusters=1, largest=0.1)
    assert sizes(found.labels) == [30]
    found = cluster_prompts(circle([45] * 30 + [100]), seed=0, clusters=1, largest=0.1)
    assert sizes(found.labels) == [1, 30]


def test_no_cluster_is_split_without_a_limit() -> None:
    found = cluster_prompts(circle(np.arange(50)), seed=0, clusters=1)
    assert sizes(found.labels) == [50]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.integers(1, 6),
    st.sampled_from([0.05, 0.2, 0.5, 0.9]),
)
def test_a_cluster_above_the_limit_is_one_that_cannot_be_told_apart(
    steps: list[int], clusters: int, largest: float
) -> None:
    degrees = np.sort(np.array(steps) * 9)  # far apart, or the same
    found = cluster_prompts(circle(degrees), seed=1, clusters=clusters, largest=largest)
    again = cluster_prompts(circle(degrees), seed=1, clusters=clusters, largest=largest)
    assert found.labels.tolist() == again.labels.tolist()
    for label in np.unique(found.labels):
        mine = degrees[found.labels == label]
        assert len(mine) <= largest * len(degrees) or len(set((mine % 360).tolist())) == 1
