"""Tests of a specialist's budget: the domain's part, and what is foreign to it."""

import numpy as np
import pytest
from corpora import corpus_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from siftline.contracts.errors import RecipeError
from siftline.selectors.quotas.domains import (
    Domains,
    Sides,
    domain_figures,
    domain_warnings,
    part_budget,
    sides_of,
)


def parts(sizes: list[int], budget: int, share: float) -> tuple[list[int], list[int]]:
    found = part_budget(np.array(sizes), budget, share)
    return found.asked.tolist(), found.given.tolist()


def test_foreign_sides_divide_the_rest_evenly() -> None:
    assert parts([500, 300, 40], 100, 0.9) == ([90, 5, 5], [90, 5, 5])


def test_a_foreign_side_that_lacks_rows_leaves_them_to_the_other() -> None:
    assert parts([500, 300, 3], 100, 0.9) == ([90, 5, 5], [90, 7, 3])


def test_what_the_domain_lacks_goes_to_the_foreign_sides() -> None:
    assert parts([20, 50, 60], 100, 0.9) == ([90, 5, 5], [20, 40, 40])


def test_what_all_foreign_sides_lack_goes_to_the_domain() -> None:
    assert parts([100, 2, 1], 50, 0.8) == ([40, 5, 5], [47, 2, 1])


def test_a_pool_without_foreign_rows_gives_what_it_has() -> None:
    assert parts([30], 20, 0.9) == ([20], [20])


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 300), st.floats(0.1, 0.99)
)
def test_the_budget_is_met_and_nobody_gives_less_for_no_reason(
    sizes: list[int], budget: int, share: float
) -> None:
    budget = min(budget, sum(sizes))
    asked, found = parts(sizes, budget, share)
    assert sum(found) == sum(asked) == budget
    assert all(0 <= got <= size for got, size in zip(found, sizes, strict=True))
    assert found[0] >= min(asked[0], sizes[0])
    if found[0] > asked[0]:  # the domain gives more only where nothing foreign is left
        assert found[1:] == sizes[1:]


def test_prompts_of_the_domain_and_foreign_ones() -> None:
    # p has a row in the domain; q is in two foreign sources, the first by name counts.
    corpus = corpus_of(list("pqpqr"), source=["chat", "forum", "code", "chat", "forum"])
    found = sides_of(corpus, np.array([0, 1, 0, 1, 2]), Domains(inside=("code",)))
    assert found.names == ["in the domain", "chat", "forum"]
    assert found.of_prompt.tolist() == [0, 1, 2]


def test_domains_can_be_tasks_and_no_task_is_foreign() -> None:
    corpus = corpus_of(list("pqr"), task=["sql", None, "python"])
    found = sides_of(corpus, np.arange(3), Domains(inside=("sql", "python"), by="task"))
    assert found.names == ["in the domain", "not stated"]
    assert found.of_prompt.tolist() == [0, 1, 0]


def test_a_name_of_nothing_that_was_read() -> None:
    corpus = corpus_of(list("pq"), task=["sql", "python"])
    with pytest.raises(RecipeError, match=r"diversity.domains.in: .*'phyton'.* mean 'python'"):
        sides_of(corpus, np.arange(2), Domains(inside=("phyton",), by="task"))


def test_figures_and_warnings_name_what_falls_short() -> None:
    sides = Sides(["in the domain", "chat"], np.zeros(1, dtype=np.int64))
    found = part_budget(np.array([30, 100]), 100, 0.9)
    assert domain_figures(sides, found) == {
        "in the domain": {"available": 30, "asked": 90, "given": 30, "share": 0.3},
        "chat": {"available": 100, "asked": 10, "given": 70, "share": 0.7},
    }
    short, foreign = domain_warnings(sides, found)
    assert "'in the domain' has 30 of the 90" in short
    assert foreign.startswith("70% of the selection is foreign")
    assert domain_warnings(sides, part_budget(np.array([300, 100]), 100, 0.9)) == []


def test_a_pool_of_the_domain_alone_is_told() -> None:
    sides = Sides(["in the domain"], np.zeros(1, dtype=np.int64))
    (warning,) = domain_warnings(sides, part_budget(np.array([300]), 100, 0.9))
    assert "Nothing in the pool is foreign" in warning


def test_in_a_recipe_the_field_is_called_in() -> None:
    domains = Domains.model_validate({"in": ["code"], "share": 0.9})
    assert domains == Domains(inside=("code",), share=0.9)
    assert domains.model_dump(mode="json") == {"in": ["code"], "share": 0.9, "by": "source"}
    assert Domains.model_validate(domains.model_dump(mode="json")) == domains


@pytest.mark.parametrize("fields", [{"in": []}, {"in": ["a"], "share": 1.01}, {"share": 0.9}])
def test_what_is_no_domain(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Domains.model_validate(fields)


def test_a_share_of_one_is_the_domain_alone_as_far_as_it_goes() -> None:
    assert parts([50, 9, 9], 20, 1.0) == ([20, 0, 0], [20, 0, 0])
    assert parts([50, 9, 9], 54, 1.0) == ([54, 0, 0], [50, 2, 2])
