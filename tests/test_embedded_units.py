"""Tests of units with vectors, in their random order."""

import numpy as np
import pytest
from corpora import corpus_of, embedding, take

from siftline.contracts.corpus import Corpus
from siftline.selectors.vectors.units import (
    best_of_units,
    embedded_units,
    nearest_similarity,
    rank_rows,
    turns,
)

PROMPTS = list("abcab")
NOBODY = np.empty(0, dtype=np.int64)


def corpus() -> Corpus:
    angles = np.deg2rad([{"a": 0, "b": 30, "c": 90}[name] for name in PROMPTS])
    table = embedding(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return corpus_of(PROMPTS, tables={"prompt_embedding": table})


def test_a_prompt_has_the_vector_and_the_number_of_its_rows() -> None:
    units = embedded_units(corpus(), "prompt", "prompt", seed=3)
    assert len(units) == 3
    for row, name in enumerate(PROMPTS):
        unit = units.of_row[row]
        assert units.rows[unit] == PROMPTS.count(name)
        assert PROMPTS[units.first_row[unit]] == name
        angle = np.rad2deg(np.arctan2(units.vectors[unit][1], units.vectors[unit][0]))
        assert angle == pytest.approx({"a": 0, "b": 30, "c": 90}[name], abs=1e-4)


def test_the_order_depends_on_keys_and_seed_alone() -> None:
    first = embedded_units(corpus(), "row", "prompt", seed=3)
    order = [4, 2, 0, 1, 3]
    second = embedded_units(take(corpus(), order), "row", "prompt", seed=3)
    assert second.of_row.tolist() == first.of_row[order].tolist()
    assert np.array_equal(first.vectors, second.vectors)
    orders = {tuple(embedded_units(corpus(), "row", "prompt", s).of_row) for s in range(9)}
    assert len(orders) > 3


def test_the_first_units_are_a_random_sample() -> None:
    prompts = [f"p{number:04d}" for number in range(2000)]
    table = embedding(np.ones((2000, 1)))
    pool = corpus_of(prompts, tables={"prompt_embedding": table})
    units = embedded_units(pool, "prompt", "prompt", seed=0)
    assert units.first_row[:400].mean() == pytest.approx(1000, abs=90)  # three standard errors


def test_turns_go_through_the_rows_of_each_prompt() -> None:
    units = embedded_units(corpus(), "prompt", "prompt", seed=0)
    turn = turns(units, [f"r{n}" for n in range(5)], seed=0)
    assert {turn[0], turn[3]} == {turn[1], turn[4]} == {0, 1}
    assert turn[2] == 0
    leading = np.array([False, False, False, True, True])
    assert turns(units, [f"r{n}" for n in range(5)], 0, leading).tolist() == [1, 1, 0, 0, 0]


def test_rows_are_ranked_in_turns_and_prompts_with_all_their_rows() -> None:
    units = embedded_units(corpus(), "prompt", "prompt", seed=0)
    a, b, c = units.of_row[:3]
    order, turn = np.array([b, c, a]), np.array([0, 0, 0, 1, 1])
    assert rank_rows(units, order, "row", 5, turn, NOBODY).tolist() == [3, 1, 2, 5, 4]
    assert rank_rows(units, order, "row", 2, turn, NOBODY).tolist() == [0, 1, 2, 0, 0]
    assert rank_rows(units, order, "row", 9, turn, NOBODY).tolist() == [3, 1, 2, 5, 4]
    assert rank_rows(units, order[:2], "prompt", 2, turn, NOBODY).tolist() == [0, 1, 2, 0, 1]


def test_rows_that_are_chosen_already_are_not_ranked() -> None:
    units = embedded_units(corpus(), "prompt", "prompt", seed=0)
    b, c = units.of_row[[1, 2]]
    # Row 0 of prompt a is chosen: its other row is the first of the second turn.
    rank = rank_rows(units, np.array([b, c]), "row", 4, np.array([0, 0, 0, 1, 1]), np.array([0]))
    assert rank.tolist() == [0, 1, 2, 3, 4]


def test_the_best_of_each_unit_and_none_where_nothing_is_known() -> None:
    units = embedded_units(corpus(), "prompt", "prompt", seed=0)
    best = best_of_units(units, np.array([1.0, np.nan, np.nan, -3.0, 2.0]))
    assert best[units.of_row[:3]] == pytest.approx([1.0, 2.0, np.nan], nan_ok=True)


def test_nearest_similarity_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    expected = (vectors[:20] @ vectors[20:].T).max(axis=1)
    monkeypatch.setattr("siftline.selectors.vectors.units.BLOCK_ROWS", 8)
    found = nearest_similarity(vectors[:20], vectors[20:])
    assert found == pytest.approx(np.maximum(expected, -1), abs=1e-6)
    assert nearest_similarity(vectors, vectors[:0]).tolist() == [-1] * 30
