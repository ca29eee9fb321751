"""Tests of the quotas of clusters, and of what fills them."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.quotas.clusters import CellUnits, choose, quotas


def prompts(
    cells: Sequence[int],
    near: Sequence[int] = (),
    side: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
) -> CellUnits:
    """Return units in cells, prompts in the order of choice; rows of a prompt come in turns."""
    counts = np.array(rows if rows is not None else [1] * len(cells))
    prompt = np.repeat(np.arange(len(cells)), counts)
    turn = np.concatenate([np.arange(count) for count in counts])
    place = np.empty(len(prompt), dtype=np.int64)
    place[np.lexsort((prompt, turn))] = np.arange(len(prompt))
    return CellUnits(
        prompt=prompt,
        place=place,
        prompt_cell=np.array(cells),
        prompt_near=np.isin(np.arange(len(cells)), near),
        side=np.array(side if side is not None else [0] * (max(cells) + 1)),
    )


def spend(units: CellUnits, budgets: Sequence[int]) -> tuple[list[int], list[str]]:
    found = choose(units, quotas(units, np.array(budgets), floor=0.001, tau=0.5))
    return np.flatnonzero(found.keep).tolist(), found.reason.tolist()


def test_the_first_of_each_cell_are_kept() -> None:
    # Sizes 4 and 1, a floor of 1 each, and two more that only the first can give.
    assert spend(prompts([0, 0, 0, 1, 0]), [4])[0] == [0, 1, 2, 3]


def test_near_duplicates_are_passed_over() -> None:
    # Of the cell's 0, 2, 4, 5 two are kept; 1 stood between them, 3 behind the last.
    kept, reasons = spend(prompts([0] * 6, near=[1, 3]), [2])
    assert kept == [0, 2]
    assert reasons == ["selected", "near_duplicate", "selected", *["over_budget"] * 3]


def test_another_cell_gives_what_near_duplicates_leave() -> None:
    # Without near duplicates the cells have 1 and 4 prompts for a budget of 4.
    kept, reasons = spend(prompts([0, 0, 0, 1, 1, 1, 1], near=[1, 2]), [4])
    assert kept == [0, 3, 4, 5]
    assert reasons[1:3] == ["near_duplicate"] * 2  # nothing else was left there


def test_near_duplicates_come_back_where_nothing_else_is_left() -> None:
    units = prompts([0, 0, 0, 1, 1], near=[1, 2, 4])
    kept, reasons = spend(units, [3])
    assert kept == [0, 1, 3]
    assert reasons == ["selected", "near_duplicate", "near_duplicate", "selected", "near_duplicate"]
    ranks = choose(units, quotas(units, np.array([3]), floor=0.001, tau=0.5)).rank.tolist()
    assert ranks == [1, 2, 3, 1, 2]


def test_a_near_duplicate_that_comes_back_ranks_after_all_others() -> None:
    units = prompts([0, 0, 0], near=[1])
    assert choose(units, quotas(units, np.array([3]), floor=0, tau=0.5)).rank.tolist() == [1, 3, 2]


def test_cells_weigh_by_their_prompts_and_not_by_their_rows() -> None:
    # Nine prompts of one row, one of 100. Floors of 1, the other 7 go 3 : 1, so 5.25 and 1.75.
    units = prompts([0] * 9 + [1], rows=[1] * 9 + [100])
    quota = quotas(units, np.array([9]), floor=0.001, tau=0.5)
    assert quota[:, 0].tolist() == [6, 3]


def test_each_side_spends_its_own_budget() -> None:
    units = prompts([0, 0, 0, 1, 1, 2, 2], side=[0, 1, 1])
    quota = quotas(units, np.array([1, 3]), floor=0.001, tau=0.5)
    assert quota[:, 0].tolist() == [1, 2, 1]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 3)), min_size=1, max_size=25
    ),
    st.integers(0, 60),
)
def test_the_budget_is_met_and_near_duplicates_are_the_last_resort(
    drawn: list[tuple[int, bool, int]], budget: int
) -> None:
    cells = np.unique([cell for cell, _, _ in drawn], return_inverse=True)[1]
    # The first prompt of a cell is near to nothing.
    first = set(np.unique(cells, return_index=True)[1].tolist())
    near = [n for n, each in enumerate(drawn) if each[1] and n not in first]
    units = prompts(cells.tolist(), near=near, rows=[rows for _, _, rows in drawn])
    budget = min(budget, len(units.prompt))
    found = choose(units, quotas(units, np.array([budget]), floor=0.001, tau=0.5))
    again = units.prompt_near[units.prompt]
    assert found.keep.sum() == budget
    if (found.keep & again).any():
        assert found.keep[~again].all()
    assert set(found.reason[found.keep & again].tolist()) <= {"near_duplicate"}
    assert set(found.reason[found.keep & ~again].tolist()) <= {"selected"}
    assert set(found.reason[~found.keep & ~again].tolist()) <= {"over_budget"}
