"""The adapter to the variable-length kernel, on functions with the signatures of four releases."""

import math
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import engine, tiny_model, torch

from siftline.contracts import progress
from siftline.models.engine import attention, blocks, varlen
from siftline.models.engine.forward import Network
from siftline.models.engine.layout import FlashLayout, flash_levels, layout_of
from siftline.models.engine.packing import Pack, Prefix, pack, plan_packs
from siftline.models.likelihood import Encoded

CPU = torch.device("cpu")
FLOAT = torch.float32


def kernel(
    tensors: tuple[Any, ...],
    ends: tuple[Any, Any],
    longest: tuple[int, int],
    scale: float | None,
    causal: bool,
    grouped: bool,
) -> tuple[Any, Any]:
    """Attend segment by segment, the last query to the last key.

    It holds its arguments to what kernels want, and leaves nonsense where a segment has no keys.
    """
    q, k, v = tensors
    assert grouped or q.shape[1] == k.shape[1]
    for tensor, end, most in zip((q, k), ends, longest, strict=True):
        assert tensor.stride(-1) == 1
        assert end.dtype == torch.int32
        assert end[0] == 0
        assert end[-1] == len(tensor)
        assert int(end.diff().min()) >= 0
        assert int(end.diff().max()) <= most
    assert len(ends[0]) == len(ends[1])
    assert causal or longest[0] > 1  # else grouped queries are taken for a batch without gaps
    repeats = q.shape[1] // k.shape[1]
    mixed = torch.full((*q.shape[:2], v.shape[2]), math.nan, dtype=q.dtype)
    logsum = torch.full((q.shape[1], len(q)), math.inf, dtype=torch.promote_types(q.dtype, FLOAT))
    for number in range(len(ends[0]) - 1):
        own, seen = (slice(end[number], end[number + 1]) for end in ends)
        keys, values = (each[seen].repeat_interleave(repeats, 1) for each in (k, v))
        if not len(keys) or not len(q[own]):
            continue
        scores = torch.einsum("qhd,khd->hqk", q[own], keys) * (scale or q.shape[2] ** -0.5)
        if causal:
            assert len(keys) == scores.shape[1]
            scores += torch.full(scores.shape[1:], -math.inf).triu(1)
        mixed[own] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), values)
        logsum[:, own] = scores.logsumexp(-1)
    return mixed, logsum


def _asked(found: tuple[Any, Any], return_aux: Any) -> Any:
    return found if return_aux is not None and return_aux.lse else found[0]


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
    ends, longest = (cu_seq_q, cu_seq_k), (max_q, max_k)
    return _asked(kernel((query, key, value), ends, longest, None, is_causal, False), return_aux)


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
    assert window_size in ((-1, 0), (-1, -1))
    ends, longest, causal = (cu_seq_q, cu_seq_k), (max_q, max_k), window_size == (-1, 0)
    return _asked(kernel((query, key, value), ends, longest, scale, causal, True), return_aux)


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
    assert window_size in ((-1, 0), (-1, -1))
    ends, longest, causal = (cu_seq_q, cu_seq_k), (max_q, max_k), window_size == (-1, 0)
    found = kernel((query, key, value), ends, longest, scale, causal, enable_gqa)
    return _asked(found, return_aux)


def rows_of(shapes: list[tuple[int, ...]]) -> list[Encoded]:
    """Rows that begin as others do: each is made of numbered parts of some length."""
    rows = []
    for number, parts in enumerate(shapes):
        ids = [1000 * part + place for part in parts for place in range(17 + 9 * part)]
        rows.append(Encoded((*ids, 5000 + number, *range(number + 1)), 3, len(ids) - 3, False))
    return rows


def attended(laid: Pack, scale: float, q: Any, k: Any, v: Any) -> Any:
    """Each token attends to those of its row up to itself, one token after the other."""
    reads: dict[int, list[int]] = {place: [] for place in range(len(laid.ids))}
    for span in laid.spans:
        for place in range(span.start, span.start + span.length):
            reads[place] += range(span.start, place + 1)
    for prefix in laid.prefixes:
        for place in range(prefix.start + prefix.length, prefix.stop):
            reads[place] += range(prefix.start, prefix.start + prefix.length)
    repeats = q.shape[1] // k.shape[1]
    found = []
    for place, seen in reads.items():
        keys, values = (each[seen].repeat_interleave(repeats, 1) for each in (k, v))
        weights = (torch.einsum("hd,khd->hk", q[place], keys) * scale).softmax(-1)
        found.append(torch.einsum("hk,khd->hd", weights, values))
    return torch.stack(found)


RELEASES: list[Callable[..., Any]] = [torch_2_10, torch_2_11, torch_2_12]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple), min_size=1, max_size=9
    ),
    st.sampled_from([1, 2, 4]),
    st.booleans(),
    st.sampled_from([{}, {"_BLOCK": 5}, {"_BLOCK": 16, "_BYTES_ON_CPU": 2**13}]),
)
def test_every_kernel_attends_as_each_token_by_itself(
    shapes: list[tuple[int, ...]], key_heads: int, token_major: bool, sizes: dict[str, int]
) -> None:
    rows = rows_of(shapes)
    plan = plan_packs(rows, 4096)
    for batch in plan.batches:
        laid = pack(batch, rows, plan.riders)
        torch.manual_seed(0)
        # As models hand them over, in either order in memory.
        q, k, v = (
            torch.randn(len(laid.ids), heads, 8, dtype=torch.float64).transpose(0, 1)
            if token_major
            else torch.randn(heads, len(laid.ids), 8, dtype=torch.float64)
            for heads in (4, key_heads, key_heads)
        )
        flat = [each.transpose(0, 1) for each in (q, k, v)]
        expected = attended(laid, 0.3, *flat)
        with attention.laid_out(layout_of(laid, CPU, flash=False)), patch.dict(vars(blocks), sizes):
            found = attention.packed_attention(q[None], k[None], v[None], 0.3)[0]
        torch.testing.assert_close(found, expected)
        layout = layout_of(laid, CPU, flash=True)
        assert isinstance(layout, FlashLayout)
        for release in RELEASES:
            found = varlen.attend(release, layout, flat[0], flat[1], flat[2], 0.3)
            torch.testing.assert_close(found, expected)
            assert found.is_contiguous()


@pytest.mark.parametrize("release", RELEASES)
def test_a_model_scores_through_every_kernel_as_row_by_row(
    release: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(tiny_model("Llama", max_position_embeddings=512).double(), "tiny")
    monkeypatch.setattr(varlen, "kernel_of_torch", lambda: release)
    network._flash = True
    # Three levels: four rows behind two questions behind one system prompt, and a row by itself.
    rows = [
        Encoded(
            tuple(each.ids[place] % 300 for place in range(len(each.ids))),
            3,
            len(each.ids) - 3,
            False,
        )
        for each in rows_of([(0, 1, 2), (0, 1, 2), (0, 1), (0, 2), (0, 2), (1,), (2, 2)])
    ]
    plan = plan_packs(rows, 4096)
    laid = pack(plan.batches[0], rows, plan.riders)
    assert {prefix.level for prefix in laid.prefixes} == {0, 1, 2}
    found = network.score_pack(laid)
    alone = torch.cat([network.score_padded([rows[row]]) for row, _ in laid.rows])
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-6)  # logsumexp in float32


def test_segments_by_hand() -> None:
    # Twelve tokens: a prefix of 2 with 2 + 1 behind it, 1 alone in between by level, then another
    # of 1 with 3 + 2.
    prefixes = (Prefix(0, 2, 5, 0), Prefix(6, 1, 12, 0))
    (level,) = flash_levels(prefixes, CPU)
    assert level.queries == (2, 12)
    assert level.keys == (0, 7)
    # Three read the first two keys, two read nothing, four keys are read by nobody, five read one.
    assert level.query_ends.tolist() == [0, 3, 5, 5, 10]
    assert level.key_ends.tolist() == [0, 2, 2, 6, 7]
    assert (level.longest_query, level.longest_key) == (5, 4)
    assert level.outside is not None
    assert level.outside.tolist() == [3, 4]


def test_a_single_prefix_needs_no_gaps() -> None:
    (level,) = flash_levels((Prefix(0, 4, 9, 0),), CPU)
    assert level.query_ends.tolist() == [0, 5]
    assert level.key_ends.tolist() == [0, 4]
    assert level.outside is None


def test_a_kernel_that_cannot_be_causal_is_refused() -> None:
    def strange(q: Any, k: Any, v: Any) -> Any:
        raise AssertionError

    layout = layout_of(pack(*_one_row()), CPU, flash=True)
    assert isinstance(layout, FlashLayout)
    states = torch.zeros(2, 1, 8)
    with pytest.raises(NotImplementedError, match="neither 'window_size' nor 'is_causal'"):
        varlen.attend(strange, layout, states, states, states, 1.0)


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
