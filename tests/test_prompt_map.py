"""Tests of the map of prompts: axes by hand, samples, and what UMAP needs."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from corpora import corpus_of, embedding, take
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import ModelError
from siftline.contracts.method import verdicts
from siftline.selectors.vectors import prompt_map as module
from siftline.selectors.vectors.prompt_map import principal_plane, project, prompt_map


def pool(prompts: Sequence[str], seed: int = 0) -> Corpus:
    random = np.random.default_rng(seed)
    vectors = {prompt: random.normal(size=5) for prompt in sorted(set(prompts))}
    table = embedding(np.array([vectors[prompt] for prompt in prompts]))
    return corpus_of(prompts, tables={"prompt_embedding": table})


def drawn(corpus: Corpus, rows: Sequence[int], **options: Any) -> dict[str, Any]:
    keep = np.isin(np.arange(len(corpus)), rows)
    reasons = np.where(keep, "selected", "over_budget")
    return prompt_map(corpus, verdicts(corpus, keep, reasons), **options)


def test_the_axes_are_those_of_the_largest_variance() -> None:
    # A cross around (5, 5, 5): 6 long along the second axis, 2 along the third.
    vectors = np.array([[5, 2, 5], [5, 8, 5], [5, 5, 4], [5, 5, 6]], dtype=np.float32)
    found = principal_plane(vectors)
    assert found.places == pytest.approx(np.array([[-3, 0], [3, 0], [0, -1], [0, 1]]), abs=1e-6)
    assert found.variance == pytest.approx((0.9, 0.1))


def test_an_axis_points_to_where_its_largest_component_is_positive() -> None:
    # The line falls along the first component, and rises less along the second.
    vectors = np.array([[0, 0], [-2, 1], [-4, 2]], dtype=np.float32)
    places = principal_plane(vectors).places[:, 0]
    assert places == pytest.approx([np.sqrt(5), 0, -np.sqrt(5)], abs=1e-6)
    assert principal_plane(-vectors).places[:, 0] == pytest.approx(-places, abs=1e-6)


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((5, 4)), np.arange(3)[:, None]])
def test_fewer_than_two_directions(vectors: npt.NDArray[Any]) -> None:
    found = principal_plane(vectors.astype(np.float32))
    assert found.places.shape == (len(vectors), 2)
    assert found.places[:, 1] == pytest.approx(np.zeros(len(vectors)), abs=1e-6)
    assert found.variance is not None
    assert found.variance[1] == pytest.approx(0)


@given(st.integers(0, 50), st.integers(2, 30), st.integers(2, 6))
def test_places_do_not_depend_on_the_order(seed: int, rows: int, dimensions: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, dimensions)).astype(np.float32)
    order = random.permutation(rows)
    places, shuffled = principal_plane(vectors).places, principal_plane(vectors[order]).places
    assert shuffled == pytest.approx(places[order], abs=1e-4)
    # Distances in a plane are no larger than in the whole, and the first axis is the longer one.
    whole = np.linalg.norm(vectors[0] - vectors[-1])
    assert np.linalg.norm(places[0] - places[-1]) <= whole + 1e-4
    assert places[:, 0].var() >= places[:, 1].var() - 1e-6


def test_a_small_pool_is_drawn_whole() -> None:
    corpus = pool(list("abcd"))
    found = drawn(corpus, [1, 3])
    assert (found["how"], found["kept"], found["dropped"]) == ("pca", 2, 2)
    assert {point["id"]: point["kept"] for point in found["points"]} == {
        "r0": False,
        "r1": True,
        "r2": False,
        "r3": True,
    }
    assert len(found["variance"]) == 2


def test_a_prompt_is_one_dot_kept_if_a_row_of_it_is() -> None:
    found = drawn(pool(list("aabb")), [1])
    # The row that stands for the prompt is one that was kept.
    assert {point["id"]: point["kept"] for point in found["points"]} == {"r1": True, "r2": False}
    assert (found["kept"], found["dropped"]) == (1, 1)


def test_the_order_of_the_rows_does_not_matter() -> None:
    corpus = pool([str(n // 2) for n in range(40)])
    order = np.random.default_rng(1).permutation(40)
    rows = np.flatnonzero(order < 9).tolist()
    first, second = drawn(corpus, range(9)), drawn(take(corpus, order.tolist()), rows)
    assert first == second


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        (5, (5, 25)),  # few are all drawn
        (20, (11, 19)),  # floors of 10 each, and of the other ten a tenth
        (100, (15, 15)),
    ],
)
def test_a_large_pool_is_sampled(
    kept: int, shown: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POINTS", 30)
    monkeypatch.setattr(module, "FEWEST_POINTS", 10)
    found = drawn(pool([str(n) for n in range(200)]), range(kept))
    flags = [point["kept"] for point in found["points"]]
    assert (found["kept"], found["dropped"]) == (kept, 200 - kept)
    assert (sum(flags), len(flags) - sum(flags)) == shown


def test_the_seed_draws_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POINTS", 10)
    monkeypatch.setattr(module, "FEWEST_POINTS", 2)
    corpus = pool([str(n) for n in range(50)])
    first, same, other = (drawn(corpus, range(9), seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert {point["id"] for point in first["points"]} != {point["id"] for point in other["points"]}


def test_umap_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ModelError, match=r"`map: umap` needs .*'umap'.*'siftline\[umap\]'"):
        drawn(pool(list("abcde")), [0], how="umap")


@pytest.mark.filterwarnings("ignore::ImportWarning")  # UMAP looks for TensorFlow
@pytest.mark.parametrize("rows", [1, 3, 4, 20])
def test_umap_places_each_prompt_and_the_same_twice(rows: int) -> None:
    pytest.importorskip("umap")
    vectors = np.random.default_rng(0).normal(size=(rows, 8)).astype(np.float32)
    first, second = (project(vectors, "umap", seed=0) for _ in range(2))
    assert first.variance is None
    assert first.places.shape == (rows, 2)
    assert np.isfinite(first.places).all()
    assert first.places.tolist() == second.places.tolist()
