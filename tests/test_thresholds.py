"""Tests of thresholds: policies, groups, ties, floors, and groups that vanish."""

from typing import Any

import numpy as np
import pytest
from corpora import corpus_of
from pydantic import ValidationError

from siftline.filters.thresholds import Threshold, group_names, passing, vanishing

NAN = float("nan")


def passed(scores: list[float], groups: str | None = None, **fields: Any) -> list[bool]:
    names = np.array(list(groups or "a" * len(scores)), dtype=object)
    found = passing(Threshold(**fields), np.array(scores), names)
    return list(found.rows.tolist())


def test_the_median_drops_what_is_not_above_it() -> None:
    assert passed([0.1, 0.2, 0.3, 0.4, 0.5]) == [False, False, False, True, True]
    assert passed([0.1, 0.2, 0.3, 0.4]) == [False, False, True, True]  # the median is 0.25


def test_ties_at_the_median_do_not_pass_unless_nothing_would_be_left() -> None:
    assert passed([0.1, 0.5, 0.5, 0.9]) == [False, False, False, True]
    assert passed([0.1, 1.0, 1.0, 1.0]) == [False, True, True, True]
    groups = np.array(list("aabb"), dtype=object)
    found = passing(Threshold(), np.array([0.5, 0.5, 0.1, 0.2]), groups)
    assert found.ties == ("a",)


def test_quantile_and_absolute() -> None:
    scores = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert passed(scores, policy="quantile", value=0.25) == [False, False, True, True, True]
    assert passed(scores, policy="absolute", value=0.4) == [False, False, False, False, True]
    assert passed([0.2, 0.2], policy="absolute", value=0.2) == [False, False]  # no way out here


def test_each_group_has_its_own_threshold_and_the_floor_is_for_all() -> None:
    scores = [0.1, 0.2, 0.8, 0.9]
    assert passed(scores, "aabb") == [False, True, False, True]
    assert passed(scores, "aabb", floor=0.5) == [False, False, False, True]


def test_what_has_no_score_neither_passes_nor_counts() -> None:
    assert passed([NAN, 0.1, 0.2, 0.3, NAN]) == [False, False, False, True, False]
    assert passed([NAN, NAN]) == [False, False]


def test_groups_are_of_a_source_or_a_task_of_it() -> None:
    corpus = corpus_of(["p"] * 3, source=["s", "s", "t"], task=["x", None, "x"])
    assert group_names(corpus, "corpus").tolist() == ["corpus"] * 3
    assert group_names(corpus, "source").tolist() == ["s", "s", "t"]
    assert group_names(corpus, "task").tolist() == ["s, task x", "s", "t, task x"]


def test_a_group_that_is_about_to_vanish_is_named() -> None:
    groups = np.array(["a"] * 10 + ["b"] * 10, dtype=object)
    kept = np.array([True] * 10 + [False] * 10)
    assert vanishing(kept, groups, 0.1, fewest=10) == ["b"]
    assert vanishing(kept, groups, 0.1, fewest=11) == []


@pytest.mark.parametrize(
    "fields",
    [{"policy": "quantile"}, {"policy": "absolute", "value": 2}, {"value": 0.5}],
)
def test_a_value_that_does_not_fit_its_policy_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="value"):
        Threshold(**fields)
