"""Where the tokens of a pack lie, as indices that an attention kernel reads."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from siftline.models.engine.packing import Group, Pack


class GroupLayout(NamedTuple):
    """A group of spans, as indices into the pack.

    Attributes:
        spans: Number of spans.
        width: Number of tokens of the longest span.
        gather: [spans * width] places of the spans' tokens, padded with the place of the span's
            first token; None where the tokens follow one another without padding.
        start: Place of the first token.
        scatter: [tokens] which of the `spans * width` are no padding; None where all are.
        prefix: Start and length of the prefix; None where there is none.
    """

    spans: int
    width: int
    gather: torch.Tensor | None
    start: int
    scatter: torch.Tensor | None
    prefix: tuple[int, int] | None


class FlashLayout(NamedTuple):
    """A pack as one call of the variable-length kernel reads it.

    Attributes:
        keys: [keys] places of the keys, span by span; a shared prefix is repeated for each span.
        query_ends: [spans + 1] int32, cumulative lengths of the queries.
        key_ends: [spans + 1] int32, cumulative lengths of the keys.
        longest_query: Length of the longest span's queries, in tokens.
        longest_key: Length of the longest span's keys, in tokens.
        order: [tokens] places of the queries, span by span.
        back: [tokens] the inverse of `order`.
    """

    keys: torch.Tensor
    query_ends: torch.Tensor
    key_ends: torch.Tensor
    longest_query: int
    longest_key: int
    order: torch.Tensor
    back: torch.Tensor


Layout: TypeAlias = tuple[GroupLayout, ...] | FlashLayout


def layout_of(pack: Pack, device: torch.device, flash: bool) -> Layout:
    """Return the layout of a pack.

    Args:
        pack: The pack.
        device: Where the indices are needed.
        flash: Whether the variable-length flash kernel attends; otherwise it is done group by
            group.
    """
    if flash:
        return _flash_layout(pack, device)
    return tuple(_group_layout(group, device) for group in pack.groups)


def _group_layout(group: Group, device: torch.device) -> GroupLayout:
    lengths = np.array([span.length for span in group.spans])
    starts = np.array([span.start for span in group.spans])
    width = int(lengths.max())
    places = np.arange(width)[None, :]
    inside = places < lengths[:, None]
    gather = starts[:, None] + places * inside
    follows = bool(inside.all() and (np.diff(gather.ravel()) == 1).all())
    prefix = (group.prefix.start, group.prefix.length) if group.prefix else None
    return GroupLayout(
        len(lengths),
        width,
        None if follows else torch.from_numpy(gather.ravel()).to(device),
        int(starts[0]),
        None if inside.all() else torch.from_numpy(np.flatnonzero(inside)).to(device),
        prefix,
    )


def _flash_layout(pack: Pack, device: torch.device) -> FlashLayout:
    spans = [(group.prefix, span) for group in pack.groups for span in group.spans]
    queries = [np.arange(span.start, span.start + span.length) for _, span in spans]
    keys = [
        np.concatenate([np.arange(prefix.start, prefix.start + prefix.length), own])
        if prefix
        else own
        for (prefix, _), own in zip(spans, queries, strict=True)
    ]
    order = np.concatenate(queries)

    def ends(parts: Sequence[npt.NDArray[np.int64]]) -> torch.Tensor:
        lengths = [0, *(len(part) for part in parts)]
        return torch.from_numpy(np.cumsum(lengths, dtype=np.int32)).to(device)

    return FlashLayout(
        torch.from_numpy(np.concatenate(keys)).to(device),
        ends(queries),
        ends(keys),
        max(map(len, queries)),
        max(map(len, keys)),
        torch.from_numpy(order).to(device),
        torch.from_numpy(np.argsort(order)).to(device),
    )
