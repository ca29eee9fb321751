"""Tests of spherical k-means."""

import numpy as np
import pytest

from siftline.selectors.vectors import spherical_kmeans as module
from siftline.selectors.vectors.spherical_kmeans import spherical_kmeans


def unit(angles: list[float]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    radians = np.deg2rad(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_two_bundles_of_directions_are_found() -> None:
    found = spherical_kmeans(unit([0, 10, 20, 90, 100, 110]), 2, seed=0)
    first, second = found.labels[0], found.labels[3]
    assert first != second
    assert found.labels.tolist() == [first] * 3 + [second] * 3
    # The centroid lies at 10 degrees, so the middle vector is on it and its neighbours 10 off.
    near = np.cos(np.deg2rad(10))
    assert found.similarity == pytest.approx([near, 1, near, near, 1, near], abs=1e-6)


def test_centroids_have_length_one_and_float32() -> None:
    vectors = unit(list(range(0, 300, 7)))
    found = spherical_kmeans(vectors, 5, seed=3)
    assert np.linalg.norm(found.centroids, axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    assert found.centroids.dtype == np.float32


def test_the_same_seed_gives_the_same_clusters() -> None:
    vectors = unit(list(np.random.default_rng(0).uniform(0, 360, 200)))
    once, twice = (spherical_kmeans(vectors, 12, seed=5) for _ in range(2))
    assert once.labels.tolist() == twice.labels.tolist()
    assert once.similarity.tobytes() == twice.similarity.tobytes()


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(list(np.random.default_rng(1).uniform(0, 360, 100)))
    whole = spherical_kmeans(vectors, 6, seed=0)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    blocks = spherical_kmeans(vectors, 6, seed=0)
    assert whole.labels.tolist() == blocks.labels.tolist()


def test_every_vector_its_own_cluster() -> None:
    found = spherical_kmeans(unit([0, 60, 120, 180]), 4, seed=0)
    assert sorted(found.labels.tolist()) == [0, 1, 2, 3]


def test_more_clusters_than_distinct_vectors() -> None:
    labels = spherical_kmeans(unit([0, 0, 0, 90, 90]), 4, seed=0).labels.tolist()
    assert len(set(labels[:3])) == len(set(labels[3:])) == 1
    assert labels[0] != labels[3]


def test_an_empty_cluster_takes_the_farthest_vector() -> None:
    vectors = unit([0, 1, 2, 50])
    labels = np.zeros(4, dtype=np.int64)
    similarity = np.array([1, 1, 1, 0.6], dtype=np.float32)
    centroids = module._centroids(vectors, labels, similarity, 2)
    assert centroids[1] == pytest.approx(vectors[3], abs=1e-6)


def test_a_start_on_a_sample_finds_the_same_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STARTS_PER_CLUSTER", 4)
    monkeypatch.setattr(module, "FEWEST_STARTS", 4)
    angles = [base + n / 100 for n in range(60) for base in (0.0, 1.5, 3.0)]
    found = spherical_kmeans(unit(angles), 3, seed=1)
    assert len({tuple(found.labels[base::3].tolist()) for base in range(3)}) == 3
    assert all(len(set(found.labels[base::3].tolist())) == 1 for base in range(3))
