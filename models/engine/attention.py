"""Attention over packs: spans that see themselves and a prefix, never one another.

It takes the place of a model's own attention through the interface of `transformers`, so any model
that uses the interface can be run on packs. The layout of the pack is set around the forward pass.

On CPU and in float32 the scores are computed block by block of queries, with no keys to the right
of a block: matrix products of this kind run at the machine's full rate, three times as fast as the
fused kernel of PyTorch on CPUs (docs/decisions.md). On CUDA, in half precision, one call of the
variable-length flash kernel serves the pack.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
import transformers

from siftline.models.engine import varlen
from siftline.models.engine.layout import FlashLayout, GroupLayout, Layout

NAME = "siftline_packed"
"""The name of this attention in the interface of `transformers`."""

# Queries in one block: enough for a matrix product at full rate, few enough to skip the future.
_BLOCK = 128
# Scores held at once by one block, for all heads and spans of a group.
_SCORES_AT_ONCE = 2**25


_layout: ContextVar[Layout] = ContextVar("layout")


@contextmanager
def laid_out(layout: Layout) -> Iterator[None]:
    """Use a layout for the forward passes inside the block."""
    token = _layout.set(layout)
    try:
        yield
    finally:
        _layout.reset(token)


class KeyValueCache(Protocol):
    """A cache that attends itself, with keys and values kept from earlier forward passes."""

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Attend in one layer.

        Args:
            layer: Number of the layer.
            query: As for :func:`packed_attention`.
            key: As for :func:`packed_attention`.
            value: As for :func:`packed_attention`.
            scale: As for :func:`packed_attention`.

        Returns:
            As :func:`packed_attention` does.
        """
        ...


_cache: ContextVar[KeyValueCache | None] = ContextVar("cache", default=None)


@contextmanager
def cached(cache: KeyValueCache) -> Iterator[None]:
    """Let a cache attend inside the block."""
    token = _cache.set(cache)
    try:
        yield
    finally:
        _cache.reset(token)


# An operator of its own, so that a compiled model calls it as it is.
@torch.library.custom_op("siftline::packed_attention", mutates_args=())
def packed_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attend within the pack whose layout is set.

    Args:
        query: [1, heads, tokens, size].
        key: [1, key heads, tokens, size].
        value: [1, key heads, tokens, value size].
        scale: Factor of the scores before the softmax.

    Returns:
        [1, tokens, heads, value size].
    """
    layout = _layout.get()
    # One row of all heads per token: [tokens, heads, size].
    q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
    if isinstance(layout, FlashLayout):
        return varlen.attend(varlen.kernel_of_torch(), layout, q, k, v, scale)[None]
    result = q.new_empty(len(q), q.shape[1], v.shape[2])
    for group in layout:
        _attend_group(group, q, k, v, scale, result)
    return result[None]


@packed_attention.register_fake
def _(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    return query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])


def _attend_group(
    group: GroupLayout,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    result: torch.Tensor,
) -> None:
    """Write the attention of a group's spans to their places in the result."""
    heads, key_heads = q.shape[1], k.shape[1]
    shape = (group.spans, group.width, key_heads)

    def own(each: torch.Tensor) -> torch.Tensor:
        if group.gather is None:
            return each[group.start : group.start + group.spans * group.width]
        return each.index_select(0, group.gather)

    # [key heads, spans, heads per key head, width, size]
    queries = (own(q) * scale).view(*shape, heads // key_heads, -1).permute(2, 0, 3, 1, 4)
    # [key heads, spans, width, size]
    keys = own(k).view(*shape, -1).permute(2, 0, 1, 3).contiguous()
    values = own(v).view(*shape, -1).permute(2, 0, 1, 3).contiguous()
    past = None
    if group.prefix:
        start, length = group.prefix
        past = tuple(each[start : start + length].transpose(0, 1) for each in (k, v))
    mixed = _attend(queries, keys, values, past)
    flat = mixed.permute(1, 3, 0, 2, 4).reshape(group.spans * group.width, heads, -1)
    if group.scatter is not None:
        flat = flat.index_select(0, group.scatter)
    if group.gather is None:
        result[group.start : group.start + len(flat)] = flat
    else:
        places = group.gather if group.scatter is None else group.gather[group.scatter]
        result.index_copy_(0, places, flat)


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, past: tuple[torch.Tensor, ...] | None
) -> torch.Tensor:
    """Attend causally, and to all of the past.

    Args:
        q: [key heads, spans, heads per key head, width, size], scaled.
        k: [key heads, spans, width, size].
        v: [key heads, spans, width, value size].
        past: Keys and values of the prefix that all spans share, [key heads, past, size] and
            [key heads, past, value size]; None where there is none.

    Returns:
        [key heads, spans, heads per key head, width, value size].
    """
    key_heads, spans, repeats, width, _ = q.shape
    batch = key_heads * spans
    past_length = past[0].shape[1] if past else 0
    room = _SCORES_AT_ONCE // (batch * repeats * (past_length + width))
    block = max(1, min(_BLOCK, width, room))
    future = torch.full((block, block), -math.inf, dtype=q.dtype, device=q.device).triu(1)
    k, v = k.flatten(0, 1), v.flatten(0, 1)
    blocks = []
    for start in range(0, width, block):
        stop = min(start + block, width)
        rows = stop - start
        part = q[:, :, :, start:stop].reshape(batch, repeats * rows, -1)
        scores = torch.bmm(part, k[:, :stop].transpose(1, 2)).view(batch, repeats, rows, stop)
        scores[..., start:] += future[:rows, :rows]
        if past is None:
            mixed = torch.bmm(scores.softmax(-1).view(batch, repeats * rows, stop), v[:, :stop])
        else:
            mixed = _with_past(part, scores, v[:, :stop], past, key_heads)
        blocks.append(mixed.view(key_heads, spans, repeats, rows, -1))
    return torch.cat(blocks, dim=3) if len(blocks) > 1 else blocks[0]


def _with_past(
    q: torch.Tensor,
    own: torch.Tensor,
    v: torch.Tensor,
    past: tuple[torch.Tensor, ...],
    key_heads: int,
) -> torch.Tensor:
    """Finish one block of queries whose spans share a past: [batch, queries, value size]."""
    keys, values = past
    batch, queries, _ = q.shape
    together = q.reshape(key_heads, -1, q.shape[2])  # all spans read the same keys
    scores = torch.bmm(together, keys.transpose(1, 2)).view(batch, queries, -1)
    own = own.view(batch, queries, -1)
    weights = torch.cat([scores, own], dim=2).softmax(-1)
    before, now = torch.split(weights, [scores.shape[2], own.shape[2]], dim=2)
    mixed = torch.bmm(before.reshape(key_heads, -1, before.shape[2]), values)
    return mixed.view(batch, queries, -1).baddbmm(now, v)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Serve the attention interface of `transformers`.

    Raises:
        NotImplementedError: The model wants what attention over packs does not have.
    """
    if attention_mask is not None:
        raise NotImplementedError("attention with a mask that the model makes itself")
    for unknown in ("softcap", "s_aux"):
        if options.get(unknown) is not None:
            raise NotImplementedError(f"attention with '{unknown}'")
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    cache = _cache.get()
    if cache is not None:
        return cache.attend(module.layer_idx, query, key, value, scale), None
    return packed_attention(query, key, value, scale), None


# Being absent from the interface for masks, it is given none.
transformers.AttentionInterface.register(NAME, _attention)
