"""Tests of budgets and of the columns that the selectors share."""

import numpy as np
import pytest
from corpora import corpus_of, likelihood
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from siftline.contracts.columns import mean_logprob
from siftline.contracts.figures import shares
from siftline.contracts.stable_hash import stable_hash
from siftline.selectors.budget import Budget, prompt_codes, resolve_budget, unit_keys

parse = TypeAdapter(Budget).validate_python


@pytest.mark.parametrize("budget", [1, 2000, "50%", "0.5%", "100%", 0.5, "0.5", "1/2"])
def test_good_budgets_are_kept_as_they_are(budget: object) -> None:
    assert parse(budget) == budget


@pytest.mark.parametrize(
    "budget", [0, -1, True, 1.0, 1.5, 0.0, "50", "0%", "101%", "-5%", "half", None, "%"]
)
def test_bad_budgets_say_what_is_expected(budget: object) -> None:
    with pytest.raises(ValidationError, match=r"expected a (whole number|share)"):
        parse(budget)


@pytest.mark.parametrize(
    ("budget", "total", "rows"),
    [
        (5, 10, 5),
        (20, 10, 10),
        ("50%", 7, 3),
        (0.5, 7, 3),
        ("1/2", 7, 3),
        ("1%", 7, 1),
        ("100%", 7, 7),
        ("50%", 0, 0),
    ],
)
def test_resolved(budget: int | float | str, total: int, rows: int) -> None:
    assert resolve_budget(budget, total) == rows


@given(st.integers(1, 100), st.integers(0, 10**7))
def test_shares_are_exact(percent: int, total: int) -> None:
    expected = max(percent * total // 100, min(1, total))
    assert resolve_budget(f"{percent}%", total) == expected


def test_prompts_are_numbered_by_first_occurrence() -> None:
    corpus = corpus_of(["b", "a", "b"])
    assert prompt_codes(corpus).tolist() == [0, 1, 0]
    assert unit_keys(corpus, "prompt") == ["b", "a"]
    assert unit_keys(corpus, "row") == ["r0", "r1", "r2"]


def test_hash_depends_on_key_and_seed_alone() -> None:
    together = stable_hash(["a", "b"], 1)
    assert together[1] == stable_hash(["b"], 1)[0]
    assert together[1] != stable_hash(["b"], 2)[0]
    assert stable_hash([], 0).tolist() == []


def test_mean_logprob_divides_and_leaves_the_unscored_nan() -> None:
    corpus = corpus_of(["a", "b"], tables={"likelihood": likelihood([-1.5, None], tokens=4)})
    mean = mean_logprob(corpus)
    assert mean[0] == -1.5
    assert np.isnan(mean[1])


def test_shares() -> None:
    assert shares(["b", "", "b", "a"]) == {"a": 0.25, "b": 0.5, "not stated": 0.25}
    assert shares([]) == {}
