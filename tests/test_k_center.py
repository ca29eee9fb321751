"""Tests of k-center."""

import numpy as np
import pytest
from corpora import corpus_of, embedding, kept

from siftline.contracts.corpus import Corpus
from siftline.selectors.k_center import KCenter

# The mean of the four directions is at 27.6 degrees, so b comes first, then d, then a, then c.
ANGLES = {"a": 0, "b": 20, "c": 10, "d": 90}
PROMPTS = list("abcdd")


def corpus() -> Corpus:
    angles = np.deg2rad([ANGLES[name] for name in PROMPTS])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return corpus_of(PROMPTS, tables={"prompt_embedding": embedding(vectors)})


def chord(degrees: float) -> float:
    return float(2 * np.sin(np.deg2rad(degrees) / 2))


def test_prompts_by_hand() -> None:
    decided = KCenter(model="e", budget=3, unit="prompt").decide(corpus())
    assert kept(corpus(), decided) == {"r0", "r1", "r3", "r4"}
    assert decided["rank"].to_pylist() == [3, 1, None, 2, 2]
    gains = [chord(20), None, chord(10), chord(70), chord(70)]
    assert decided["gain"].to_pylist() == pytest.approx(gains, abs=1e-5)
    reasons = ["selected", "selected", "over_budget", "selected", "selected"]
    assert decided["reason"].to_pylist() == reasons


def test_a_prompt_gives_its_second_row_last() -> None:
    decided = KCenter(model="e", budget=5).decide(corpus())
    ranks = decided["rank"].to_pylist()
    assert ranks[:3] == [3, 1, 4]
    assert set(ranks[3:]) == {2, 5}
    gains = decided["gain"].to_pylist()
    assert gains[ranks.index(5)] == 0
    assert gains[ranks.index(2)] == pytest.approx(chord(70), abs=1e-5)


def test_a_dropped_row_has_its_distance_to_what_is_kept() -> None:
    decided = KCenter(model="e", budget=1).decide(corpus())
    assert kept(corpus(), decided) == {"r1"}
    gains = decided["gain"].to_pylist()
    assert gains[0] == pytest.approx(chord(20), abs=1e-5)
    assert gains[3] == gains[4] == pytest.approx(chord(70), abs=1e-5)


def test_diagnosis_by_hand() -> None:
    method = KCenter(model="e", budget=2, unit="prompt")
    found = method.diagnose(corpus(), method.decide(corpus()))
    assert (found["prompts"], found["prompts_kept"]) == (4, 2)
    assert found["largest_distance"]["selected"] == pytest.approx(chord(20), abs=1e-4)
    mean = (chord(20) + chord(10)) / 4
    assert found["mean_distance"]["selected"] == pytest.approx(mean, abs=1e-4)
    assert found["largest_distance"]["random of equal size"] >= 0
