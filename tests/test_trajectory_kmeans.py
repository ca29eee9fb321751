"""Tests of Euclidean k-means: by hand, nearest centroids, the same bits, a fair inertia."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from siftline.selectors.trajectories import kmeans as module
from siftline.selectors.trajectories.kmeans import EuclideanClusters, kmeans

Floats = npt.NDArray[np.float32]


def run(points: npt.ArrayLike, clusters: int, seed: int = 0) -> EuclideanClusters:
    return kmeans(np.asarray(points, dtype=np.float32), clusters, seed, iterations=20, restarts=3)


def blobs(rows: int, kinds: int = 12, seed: int = 0) -> Floats:
    """Return noisy points around a few centres, some of which have many more than others."""
    random = np.random.default_rng(seed)
    centres = random.normal(scale=2, size=(kinds, 6))
    kind = (kinds * random.uniform(size=rows) ** 2).astype(int)
    points: Floats = (centres[kind] + random.normal(scale=0.5, size=(rows, 6))).astype(np.float32)
    return points


def squares(points: npt.ArrayLike, centroids: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return [rows, clusters] squared distances, the plain way."""
    difference = np.asarray(points, float)[:, None] - np.asarray(centroids, float)
    found: npt.NDArray[np.float64] = (difference**2).sum(axis=2)
    return found


def same(one: EuclideanClusters, other: EuclideanClusters) -> bool:
    return all(
        np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()
        for mine, theirs in zip(one, other, strict=True)
    )


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of 4, 8, 16 ... points per cluster, and blocks of 7, so that few points need many."""
    monkeypatch.setattr(module, "SAMPLE_PER_CLUSTER", 4)
    monkeypatch.setattr(module, "GROWTH", 2)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)


def test_two_obvious_clusters() -> None:
    found = run([[0, 0], [0, 2], [10, 0], [10, 4]], 2)
    left, right = found.labels[0], found.labels[2]
    assert left != right
    assert found.labels.tolist() == [left, left, right, right]
    assert found.centroids[[left, right]].tolist() == [[0, 1], [10, 2]]
    assert found.distance.tolist() == [1, 1, 2, 2]
    assert found.inertia == 1 + 1 + 4 + 4


def test_one_cluster_lies_at_the_mean() -> None:
    found = run([[1, 0], [2, 0], [6, 3]], 1)
    assert found.labels.tolist() == [0, 0, 0]
    assert found.centroids.tolist() == [[3, 1]]
    assert found.inertia == (4 + 1) + (1 + 1) + (9 + 4)


def test_as_many_clusters_as_points() -> None:
    points = blobs(9)
    found = run(points, 9)
    assert sorted(found.labels.tolist()) == list(range(9))
    assert found.centroids[found.labels].tolist() == points.tolist()
    assert found.inertia == 0


def test_identical_points_lie_on_their_centroid() -> None:
    found = run([[1.5, -2]] * 5, 3)
    assert len(set(found.labels.tolist())) == 1
    assert found.distance.tolist() == [0] * 5
    assert np.isfinite(found.centroids).all()


def test_an_empty_cluster_takes_the_farthest_point(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both centroids start on the left, so that the second one gets nothing: equal distances go to
    # the first. The farthest point from it is 9, which it gives up.
    def start(*_: object, **__: object) -> tuple[Floats, None]:
        return np.zeros((2, 1), dtype=np.float32), None

    monkeypatch.setattr(module, "kmeans_plusplus", start)
    found = run([[0], [1], [2], [9]], 2)
    assert found.labels.tolist() == [0, 0, 0, 1]
    assert found.centroids.tolist() == [[1], [9]]


def test_each_empty_cluster_takes_another_point() -> None:
    points = np.array([[0], [1], [5], [7]], dtype=np.float32)
    square = points[:, 0] ** 2
    sums, counts = np.array([[13.0], [0], [0]]), np.array([4, 0, 0])
    assert module._means(sums, counts, points, square).tolist() == [[3.25], [7], [5]]


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("rows", [15, 100, 501])
def test_labels_are_nearest_and_the_inertia_is_the_sum(rows: int) -> None:
    points = blobs(rows)
    found = run(points, 8)
    distances = squares(points, found.centroids)
    assert found.labels.tolist() == distances.argmin(axis=1).tolist()
    assert found.distance**2 == pytest.approx(distances.min(axis=1), rel=1e-4)
    assert found.inertia == pytest.approx(distances.min(axis=1).sum(), rel=1e-5)


@pytest.mark.usefixtures("small_samples")
def test_one_thread_two_and_seven_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    points = blobs(600)
    results = []
    for threads in (1, 2, 7, 1):
        monkeypatch.setattr("os.cpu_count", lambda threads=threads: threads)
        results.append(run(points, 8))
    assert all(same(results[0], each) for each in results[1:])


def test_sums_are_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 1)
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    # In float32 a one that is added to 2^24 is lost.
    found = run(np.array([[2.0**24]] + [[1.0]] * 64), 1)
    assert found.centroids.tolist() == [[np.float32((2**24 + 64) / 65)]]


class Unpunctual(ThreadPoolExecutor):
    """Threads that finish the first of three tasks late."""

    turns = itertools.count()

    def submit(self, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        late = next(self.turns) % 3 == 0

        def run_late() -> Any:
            time.sleep(0.01 if late else 0)
            return task(*arguments, **named)

        return super().submit(run_late)


def test_sums_are_added_in_order_whichever_block_is_done_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A one that is added to 2^55 is lost, in float64 too: of all the ones only the last two count.
    points = np.array([[2.0**55], [1], [-(2.0**55)]] * 4 + [[1], [1]], dtype=np.float32)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(module, "ThreadPoolExecutor", Unpunctual)
    monkeypatch.setattr(module, "BLOCK_ROWS", 1)
    monkeypatch.setattr(module, "TOLERANCE", -1.0)  # until the last iteration
    found = kmeans(points, 1, seed=0, iterations=1, restarts=1)
    assert found.centroids.tolist() == [[np.float32(2 / 14)]]


def test_blocks_of_real_size_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    points = blobs(3 * module.BLOCK_ROWS + 5)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    one = run(points, 20)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert same(one, run(points, 20))


@pytest.mark.usefixtures("small_samples")
def test_another_seed_starts_elsewhere() -> None:
    points = blobs(200)
    assert not same(run(points, 8, seed=0), run(points, 8, seed=1))


@pytest.mark.parametrize("seed", range(3))
def test_no_worse_than_scikit_learn(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_PER_CLUSTER", 64)  # 3,200 points, then all
    points = blobs(8000, seed=seed)
    with threadpool_limits(1):  # its threads spin where other programs run
        peer = KMeans(50, n_init=1, random_state=seed).fit(points)
    # With more clusters than blobs, one good or bad start weighs little.
    mean = np.mean([run(points, 50, start).inertia for start in range(3)])
    assert mean <= 1.01 * peer.inertia_


def test_the_best_start_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[0], [1], [10], [11], [20], [21]], dtype=np.float32)
    starts = iter([[[0], [1], [15]], [[0], [10], [20]], [[20], [21], [5]]])
    monkeypatch.setattr(
        module, "kmeans_plusplus", lambda *_, **__: (np.array(next(starts), dtype=float), None)
    )
    found = run(points, 3)
    assert found.centroids.tolist() == [[0.5], [10.5], [20.5]]
    assert found.inertia == 6 * 0.25


def test_iterations_are_at_most_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[0], [1], [2], [10]], dtype=np.float32)
    monkeypatch.setattr(module, "kmeans_plusplus", lambda *_, **__: (np.array([[0.0], [1]]), None))
    # From 0 and 1: {0} and {1, 2, 10} of mean 13/3; then {0, 1, 2} and {10}.
    once = kmeans(points, 2, seed=0, iterations=1, restarts=1)
    assert once.centroids.ravel() == pytest.approx([0, 13 / 3])
    assert once.labels.tolist() == [0, 0, 0, 1]
    twice = kmeans(points, 2, seed=0, iterations=2, restarts=1)
    assert twice.centroids.ravel() == pytest.approx([1, 10])


def test_other_types_and_strides_are_read_as_they_are() -> None:
    points = blobs(300)
    expected = run(points, 8)
    wide = np.zeros((600, 12))
    wide[::2, ::2] = points
    for other in (points.astype(np.float64), np.asfortranarray(points), wide[::2, ::2]):
        assert same(expected, kmeans(other, 8, 0, 20, 3))  # type: ignore[arg-type]


def test_points_are_left_as_they_were() -> None:
    points = blobs(300)
    before = points.copy()
    points.flags.writeable = False
    run(points, 8)
    assert points.tobytes() == before.tobytes()


@pytest.mark.usefixtures("small_samples")
@settings(max_examples=40)
@given(
    points=arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.integers(1, 3)),
        elements=st.floats(-8, 8, width=16),
    ),
    clusters=st.integers(1, 6),
    seed=st.integers(0, 3),
)
def test_whatever_the_points(points: Floats, clusters: int, seed: int) -> None:
    clusters = min(clusters, len(points))
    found = run(points, clusters, seed)
    distances = squares(points, found.centroids)
    mine = distances[np.arange(len(points)), found.labels]
    assert found.centroids.shape == (clusters, points.shape[1])
    # Ties and float32 aside, no other centroid is nearer than the own one.
    assert mine == pytest.approx(distances.min(axis=1), abs=1e-3)
    assert found.distance**2 == pytest.approx(mine, abs=1e-3)
    assert found.inertia == pytest.approx(mine.sum(), abs=1e-2)
    # No worse than one cluster of all points, but for what float32 loses of the centroids.
    assert found.inertia <= squares(points, [points.mean(axis=0)]).sum() * (1 + 1e-3) + 1e-2
