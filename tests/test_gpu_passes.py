"""Tests of the size of passes on a GPU, which a CPU can tell too."""

import numpy as np
import pytest
from tiny_models import tiny_model

from siftline.models.engine.captured_passes import IGNORED, filled_up
from siftline.models.training.gpu_passes import is_launch_bound, most_tokens

torch = pytest.importorskip("torch")


def test_a_small_model_gets_what_its_memory_holds() -> None:
    model = tiny_model("Llama")  # keeps 4 * (34 * 32 * 2 + 3 * 300) bytes of a token
    assert most_tokens(model, 12304 * 10_000) == 10_000
    assert most_tokens(model, 12304 * 100) == 8192  # halved where it does not fit
    assert most_tokens(torch.nn.Linear(2, 2), 1e12) == 8192  # of which nothing is known


def test_passes_are_captured_where_they_are_bound_by_launches() -> None:
    assert is_launch_bound(tiny_model("Llama"))
    assert not is_launch_bound(tiny_model("GPT2"))  # it has dropout
    assert not is_launch_bound(tiny_model("Llama", attention_dropout=0.1))
    with torch.device("meta"):
        assert not is_launch_bound(torch.nn.Linear(20_000, 10_000))


@pytest.mark.parametrize(
    ("shape", "learned", "expected"),
    [
        ((3, 10), 5, [(8, 64), (5,), (5,), (5,)]),
        ((8, 64), 9, [(8, 64), (10,), (10,), (10,)]),
        ((9, 65), 1025, [(16, 128), (1280,), (1280,), (1280,)]),
    ],
)
def test_batches_are_filled_up_to_few_shapes(
    shape: tuple[int, int], learned: int, expected: list[tuple[int, ...]]
) -> None:
    places = [np.arange(learned)] * 3
    found = filled_up(np.ones(shape, dtype=np.int64), *places)
    assert [each.shape for each in found] == expected
    assert found[0].sum() == shape[0] * shape[1]
    assert all((each[:learned] == np.arange(learned)).all() for each in found[1:])
    assert (found[3][learned:] == IGNORED).all()
    assert not found[1][learned:].any()
    assert not found[2][learned:].any()
