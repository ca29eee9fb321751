"""Tests of simple choices: random, stratified, the best, and what a budget buys."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.choices import best_of_each, best_order, random_order, spend, stratified


def test_a_key_keeps_its_place_whatever_the_others_are() -> None:
    keys = [f"k{number}" for number in range(40)]
    order = [keys[number] for number in random_order(keys, 7)]
    fewer = keys[::-3]
    found = [fewer[number] for number in random_order(fewer, 7)]
    assert found == [key for key in order if key in fewer]
    assert found != [fewer[number] for number in random_order(fewer, 8)]
    assert random_order([], 7).tolist() == []


def test_the_best_come_first_and_those_without_a_score_last() -> None:
    score = np.array([1.0, np.nan, 3.0, 1.0, -np.inf, np.nan])
    assert best_order(score).tolist() == [2, 0, 3, 4, 1, 5]
    assert best_order(score, np.array([5, 4, 3, 2, 1, 0])).tolist() == [2, 3, 0, 4, 5, 1]


def test_the_best_of_each_group() -> None:
    groups = np.array([1, 0, 1, 0, 2, 1])
    score = np.array([5.0, 1.0, 9.0, 1.0, 7.0, 9.0])
    among = np.array([True, True, True, True, False, True])
    assert best_of_each(groups, score, among).tolist() == [1, 2]


def test_a_budget_is_spent_until_it_is_reached() -> None:
    cost = np.array([4, 3, 2, 1])
    order = np.array([2, 0, 3, 1])
    assert spend(order, cost, 2).tolist() == [2]
    assert spend(order, cost, 3).tolist() == [2, 0]  # the last one exceeds it
    assert spend(order, cost, 0).tolist() == []
    assert spend(order, cost, 99).tolist() == [2, 0, 3, 1]


def test_strata_by_hand() -> None:
    strata = np.array([0, 0, 0, 0, 1, 1, 0, 0])  # 6 and 2: of 4, 3 and 1
    order = np.array([7, 6, 5, 4, 3, 2, 1, 0])
    assert stratified(order, strata, 4).tolist() == [7, 6, 3, 5]
    assert stratified(order, strata, 4, floor=2).tolist() == [7, 6, 5, 4]


def test_strata_by_their_costs() -> None:
    strata, order = np.array([0, 0, 1, 1]), np.arange(4)
    cost = np.array([5, 5, 15, 15])  # 10 and 30: of 20, 5 and 15
    assert stratified(order, strata, 20, cost=cost).tolist() == [0, 2]


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 50), st.integers(0, 3))
def test_strata_give_the_budget_exactly_in_proportion(
    strata: list[int], budget: int, floor: int
) -> None:
    labels = np.array(strata, dtype=int)
    chosen = stratified(np.arange(len(strata)), labels, budget, floor=floor)
    assert len(set(chosen.tolist())) == len(chosen) == min(budget, len(strata))
    if not floor and strata and budget >= len(set(strata)):
        for stratum in set(strata):
            share = min(budget, len(strata)) * strata.count(stratum) / len(strata)
            assert abs(int((labels[chosen] == stratum).sum()) - share) < 1 + 1e-6
