"""Tests of batches that do not fit the device's memory."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.errors import ModelError
from siftline.models.batching import batch_tokens, run_in_halves

torch = pytest.importorskip("torch")


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=20), max_size=6), st.integers(1, 8))
def test_what_does_not_fit_is_halved_and_nothing_is_lost(
    batches: list[list[int]], room: int
) -> None:
    done: list[int] = []

    def run(batch: Sequence[int]) -> None:
        if len(batch) > room:
            raise torch.OutOfMemoryError("too many")
        done.extend(batch)

    calls = run_in_halves(batches, run, "'a model'")
    assert done == [item for batch in batches for item in batch]
    assert calls >= sum(-(-len(batch) // room) for batch in batches)


def test_one_that_does_not_fit_is_one_sentence() -> None:
    def run(batch: Sequence[int]) -> None:
        raise torch.OutOfMemoryError("too big")

    with pytest.raises(ModelError, match=r"single text does not fit .* in 'a model'"):
        run_in_halves([[1, 2, 3]], run, "'a model'")


def test_a_gpu_takes_larger_batches() -> None:
    assert batch_tokens("cuda") > batch_tokens("cpu")
