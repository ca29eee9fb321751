"""Tests of the batches of a training step: what goes together, and what a device gets."""

import numpy as np
import pytest

from siftline.models.training.batches import batches_of, laid_out
from siftline.models.training.rows import TrainingRow


def row(size: int, first: int = 5) -> TrainingRow:
    """Return a row of a size that learns all but its first token."""
    return TrainingRow(tuple(range(first, first + size)), ((1, size),))


def sizes(*lengths: int, **limits: int) -> list[list[int]]:
    limits = {"max_tokens": 1000, **limits}
    found = batches_of([row(length) for length in lengths], **limits)
    return [[len(each.ids) for each in batch] for batch in found]


@pytest.mark.parametrize(
    ("lengths", "limits", "expected"),
    [
        ([10, 10, 10], {}, [[10, 10, 10]]),
        ([9, 10, 10, 8], {}, [[10, 10, 9, 8]]),  # 3 of 40 are padding: less than a tenth
        ([10, 5, 5], {}, [[10], [5, 5]]),
        ([10, 5, 5], {"padding": 10}, [[10, 5, 5]]),
        ([10, 5, 5], {"padding": 9}, [[10, 5], [5]]),
        ([10, 10, 10], {"max_tokens": 20}, [[10, 10], [10]]),
        ([30, 10], {"max_tokens": 20}, [[30], [10]]),  # a row is never cut
    ],
)
def test_rows_of_similar_length_go_together(
    lengths: list[int], limits: dict[str, int], expected: list[list[int]]
) -> None:
    assert sizes(*lengths, **limits) == expected


def test_batches_are_a_matter_of_the_set_of_rows() -> None:
    rows = [row(size, first) for size in (3, 9, 4) for first in (5, 2)]
    assert batches_of(rows, 20) == batches_of(rows[::-1], 20)
    assert sorted(each for batch in batches_of(rows, 20) for each in batch) == sorted(rows)


def test_a_batch_holds_what_predicts_each_learned_token() -> None:
    one = TrainingRow((5, 6, 7, 8, 1), ((2, 3), (4, 5)))
    other = TrainingRow((9, 4, 1), ((1, 3),))
    found = laid_out([one, other])
    assert found.ids.tolist() == [[9, 4, 1, 0, 0], [5, 6, 7, 8, 1]]
    assert found.targets.tolist() == [4, 1, 7, 1]
    assert found.ids[found.rows, found.columns].tolist() == [9, 4, 6, 8]
    assert {each.dtype for each in found} == {np.dtype(np.int64)}
