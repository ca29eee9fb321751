"""Attention over packs by matrix products, on CPU and in float32.

The scores are computed block by block of queries, with no keys to the right of a block: products of
this kind run at the machine's full rate, three times as fast as the fused kernel of PyTorch on CPUs
(docs/decisions.md). Spans of similar length are attended to together, whatever they go on from.
"""

import math

import torch

from siftline.models.engine.cascade import Attention
from siftline.models.engine.layout import BlockLayout, GroupLayout
from siftline.models.engine.packing import Prefix

# Queries in one block: enough for a matrix product at full rate, few enough to skip the future. In
# float32 on CPU fewer are enough (docs/decisions.md).
_BLOCK = 128
_FLOAT32_BLOCK = 64
# Scores held at once, for all heads and spans of a group.
_SCORES_AT_ONCE = 2**25
# Bytes of them on CPU, for each thread: as many as its second-level cache holds, from which softmax
# and product read them again.
_BYTES_ON_CPU = 2**20
# The same where many queries read one prefix: few enough to stay in the processor's cache.
_SCORES_OF_PREFIX = 2**20


def attend(
    layout: BlockLayout, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attend within a pack.

    Args:
        layout: The pack.
        q: [tokens, heads, size].
        k: [tokens, key heads, size].
        v: [tokens, key heads, value size].
        scale: Factor of the scores before the softmax.

    Returns:
        [tokens, heads, value size].
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    logsum = None
    if layout.prefixes:
        logsum = torch.empty(q.shape[1], len(q), dtype=wide, device=q.device)
    mixed = q.new_empty(len(q), q.shape[1], v.shape[2])
    for group in layout.groups:
        _attend_group(group, q, k, v, scale, mixed, logsum)
    if logsum is not None:
        for prefix in layout.prefixes:
            _attend_prefix(prefix, q, k, v, scale, Attention(mixed, logsum))
    return mixed


def _attend_group(
    group: GroupLayout,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    result: torch.Tensor,
    logsum: torch.Tensor | None,
) -> None:
    """Write the attention of a group's spans to themselves to their places in the result."""
    heads, key_heads = q.shape[1], k.shape[1]
    shape = (group.spans, group.width, key_heads)

    def own(each: torch.Tensor) -> torch.Tensor:
        if group.gather is None:
            return each[group.start : group.start + group.spans * group.width]
        return each.index_select(0, group.gather)

    def put(flat: torch.Tensor, where: torch.Tensor) -> None:
        if group.scatter is not None:
            flat = flat.index_select(0, group.scatter)
        if group.gather is None:
            where[group.start : group.start + len(flat)] = flat
        else:
            places = group.gather if group.scatter is None else group.gather[group.scatter]
            where.index_copy_(0, places, flat)

    # [key heads, spans, heads per key head, width, size]
    queries = (own(q) * scale).view(*shape, heads // key_heads, -1).permute(2, 0, 3, 1, 4)
    # [key heads, spans, width, size]
    keys = own(k).view(*shape, -1).permute(2, 0, 1, 3).contiguous()
    values = own(v).view(*shape, -1).permute(2, 0, 1, 3).contiguous()
    mixed, sums = _attend(queries, keys, values, logsum is not None)
    put(mixed.permute(1, 3, 0, 2, 4).reshape(group.spans * group.width, heads, -1), result)
    if logsum is not None and sums is not None:
        put(sums.permute(1, 3, 0, 2).reshape(group.spans * group.width, heads), logsum.T)


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, with_sums: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attend causally.

    Args:
        q: [key heads, spans, heads per key head, width, size], scaled.
        k: [key heads, spans, width, size].
        v: [key heads, spans, width, value size].
        with_sums: Whether to return the logsumexp of the scores too.

    Returns:
        [key heads, spans, heads per key head, width, value size], and the same without the last.
    """
    key_heads, spans, repeats, width, _ = q.shape
    block, at_once = _sizes(q)
    future = torch.full((block, block), -math.inf, dtype=q.dtype, device=q.device).triu(1)
    k, v = k.flatten(0, 1), v.flatten(0, 1)
    mixed = v.new_empty(key_heads * spans, repeats, width, v.shape[2])
    wide = torch.promote_types(q.dtype, torch.float32)
    sums = v.new_empty(mixed.shape[:3], dtype=wide) if with_sums else None
    for start in range(0, width, block):
        stop = min(start + block, width)
        rows = stop - start
        queries = q[:, :, :, start:stop].reshape(len(k), repeats * rows, -1)
        size = max(1, at_once // (repeats * rows * stop))
        for first in range(0, len(k), size):
            part = slice(first, first + size)
            scores = torch.bmm(queries[part], k[part, :stop].transpose(1, 2))
            scores.view(-1, repeats, rows, stop)[..., start:] += future[:rows, :rows]
            if sums is not None:
                found, logsum = _mixed(scores, v[part, :stop])
                sums[part, :, start:stop] = logsum.view(-1, repeats, rows)
            else:
                found = torch.bmm(scores.softmax(-1), v[part, :stop])
            mixed[part, :, start:stop] = found.view(-1, repeats, rows, v.shape[2])
    shape = (key_heads, spans, repeats, width)
    return mixed.view(*shape, -1), None if sums is None else sums.view(shape)


def _sizes(q: torch.Tensor) -> tuple[int, int]:
    """Return how many queries make up a block, and how many scores are held at once."""
    on_cpu = q.device.type == "cpu"
    block = _FLOAT32_BLOCK if on_cpu and q.dtype == torch.float32 else _BLOCK
    repeats, width = q.shape[2:4]
    fitting = max(1, _SCORES_AT_ONCE // (repeats * width))
    cached = _BYTES_ON_CPU * torch.get_num_threads() // q.element_size()
    return min(block, width, fitting), cached if on_cpu else _SCORES_AT_ONCE


def _attend_prefix(
    prefix: Prefix,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    result: Attention,
) -> None:
    """Let all that stands behind a prefix attend to it."""
    start, length, stop, _ = prefix
    first = start + length
    heads, key_heads = q.shape[1], k.shape[1]
    keys = k[start:first].permute(1, 2, 0)  # [key heads, size, length]
    values = v[start:first].transpose(0, 1)  # [key heads, length, value size]
    room = _SCORES_OF_PREFIX if q.device.type == "cpu" else _SCORES_AT_ONCE
    size = max(1, room // (heads * length))
    for begin in range(first, stop, size):
        reading = slice(begin, min(begin + size, stop))
        queries = (q[reading] * scale).view(-1, key_heads, heads // key_heads, q.shape[2])
        # [key heads, heads per key head * queries, size]
        part = queries.permute(1, 2, 0, 3).reshape(key_heads, -1, q.shape[2])
        mixed, logsum = _mixed(torch.bmm(part, keys), values)
        mixed = mixed.view(heads, -1, v.shape[2]).transpose(0, 1)
        result.part(reading).absorb(Attention(mixed, logsum.view(heads, -1)))


def _mixed(scores: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix values by the softmax of scores, and return the logsumexp of these too.

    PyTorch's softmax keeps the sums to itself, and to find them again takes as long.

    Args:
        scores: [batch, queries, keys], which are overwritten.
        values: [batch, keys, value size].

    Returns:
        [batch, queries, value size], and [batch, queries] in float32 or wider.
    """
    wide = torch.promote_types(scores.dtype, torch.float32)
    # In half precision, or with both types in one operation, each step would take several times as
    # long.
    highest = scores.to(wide).amax(-1)
    weights = scores.sub_(highest[..., None].to(scores.dtype)).exp_()
    total = weights.sum(-1, dtype=wide)
    mixed = torch.bmm(weights, values).to(wide).div_(total[..., None])
    return mixed.to(values.dtype), highest + total.log_()
