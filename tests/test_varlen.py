"""The adapter to the variable-length kernel, on functions with the signatures of four releases."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tiny_models import engine, torch

from siftline.contracts import progress
from siftline.models.engine import attention, varlen
from siftline.models.engine.layout import FlashLayout, layout_of
from siftline.models.engine.packing import Pack, pack, plan_packs
from siftline.models.likelihood import Encoded

CPU = torch.device("cpu")


def flash_layout(laid: Pack) -> FlashLayout:
    layout = layout_of(laid, CPU, flash=True)
    assert isinstance(layout, FlashLayout)
    return layout


def kernel(
    q: Any, k: Any, v: Any, q_ends: Any, k_ends: Any, scale: float | None, grouped: bool
) -> Any:
    """Attend span by span, the last query to the last key."""
    if not grouped:
        assert q.shape[1] == k.shape[1]
    repeats = q.shape[1] // k.shape[1]
    parts = []
    for span in range(len(q_ends) - 1):
        own = slice(q_ends[span], q_ends[span + 1])
        seen = slice(k_ends[span], k_ends[span + 1])
        keys, values = (each[seen].repeat_interleave(repeats, 1) for each in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q[own], keys) * (scale or q.shape[2] ** -0.5)
        future = torch.full(scores.shape[1:], -math.inf).triu(1 + len(keys) - scores.shape[1])
        parts.append(torch.einsum("hqk,khd->qhd", (scores + future).softmax(-1), values))
    return torch.cat(parts)


def torch_2_10(
    query: Any,
    key: Any,
    value: Any,
    cu_seq_q: Any,
    cu_seq_k: Any,
    max_q: int,
    max_k: int,
    is_causal: bool = False,
    return_aux: Any = None,
) -> Any:
    assert is_causal
    return kernel(query, key, value, cu_seq_q, cu_seq_k, None, grouped=False)


def torch_2_11(
    query: Any,
    key: Any,
    value: Any,
    cu_seq_q: Any,
    cu_seq_k: Any,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> Any:
    assert window_size == (-1, 0)
    return kernel(query, key, value, cu_seq_q, cu_seq_k, scale, grouped=True)


def torch_2_12(
    query: Any,
    key: Any,
    value: Any,
    cu_seq_q: Any,
    cu_seq_k: Any,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    seqused_k: Any = None,
    block_table: Any = None,
    num_splits: int | None = None,
) -> Any:
    assert window_size == (-1, 0)
    return kernel(query, key, value, cu_seq_q, cu_seq_k, scale, grouped=enable_gqa)


@pytest.mark.parametrize("release", [torch_2_10, torch_2_11, torch_2_12])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_every_release_attends_as_group_by_group(
    release: Callable[..., Any], key_heads: int
) -> None:
    random = np.random.default_rng(3)
    prompt = tuple(range(40))
    rows = [
        Encoded((*prompt, *random.integers(50, 90, size)), 40, size, False) for size in (5, 9, 2)
    ]
    rows.append(Encoded(tuple(range(100, 117)), 3, 14, False))
    plan = plan_packs(rows, 4096)
    laid = pack(plan.batches[0], rows, plan.riders)
    torch.manual_seed(0)
    q = torch.randn(len(laid.ids), 4, 8)
    k, v = (torch.randn(len(laid.ids), key_heads, 8) for _ in range(2))
    with attention.laid_out(layout_of(laid, CPU, flash=False)):
        expected = attention.packed_attention(
            *(each.transpose(0, 1)[None] for each in (q, k, v)), 0.3
        )[0]
    found = varlen.attend(release, flash_layout(laid), q, k, v, 0.3)
    torch.testing.assert_close(found, expected)


def test_a_kernel_that_cannot_be_causal_is_refused() -> None:
    def strange(q: Any, k: Any, v: Any) -> Any:
        raise AssertionError

    laid = flash_layout(pack(*_one_row()))
    states = torch.zeros(2, 1, 8)
    with pytest.raises(NotImplementedError, match="neither 'window_size' nor 'is_causal'"):
        varlen.attend(strange, laid, states, states, states, 1.0)


def _one_row() -> Any:
    rows = [Encoded((1, 2, 3), 1, 2, False)]
    plan = plan_packs(rows, 10)
    return plan.batches[0], rows, plan.riders


def test_the_installed_torch_has_a_kernel_that_the_adapter_knows() -> None:
    import inspect

    known = inspect.signature(varlen.kernel_of_torch()).parameters
    assert {"window_size", "is_causal"} & set(known)


def test_a_run_is_told_why_its_rows_are_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    def old(*args: Any) -> Any:
        raise NotImplementedError("torch 2.9 has no variable-length attention")

    told: list[str] = []
    monkeypatch.setattr(progress, "warn", told.append)
    monkeypatch.setattr(attention, "packed_attention", old)
    assert engine().network.longest_packed == 0
    (line,) = told
    assert "'Llama' are padded instead of packed" in line
    assert "torch 2.9 has no variable-length attention" in line
