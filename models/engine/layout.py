"""Where the tokens of a pack lie, as an attention kernel reads them.

Every span attends to itself, and all that stands behind a prefix attends to it. Both lie in the
pack one after the other, so nothing is gathered but spans that are padded to one width.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from siftline.models.engine.packing import Pack, Prefix, Span

# Spans are attended to together while padding among them stays below this share, or this number
# of tokens. Nothing but attention ever sees the padding.
_PADDING_SHARE = 0.1
_PADDING_TOKENS = 64


class GroupLayout(NamedTuple):
    """Spans of similar length, as indices into the pack.

    Attributes:
        spans: Number of spans.
        width: Number of tokens of the longest span.
        gather: [spans * width] places of the spans' tokens, padded with the place of the span's
            first token; None where the tokens follow one another without padding.
        start: Place of the first token.
        scatter: [tokens] which of the `spans * width` are no padding; None where all are.
    """

    spans: int
    width: int
    gather: torch.Tensor | None
    start: int
    scatter: torch.Tensor | None


class BlockLayout(NamedTuple):
    """A pack as matrix products read it.

    Attributes:
        groups: The spans.
        prefixes: The spans that others attend to.
    """

    groups: tuple[GroupLayout, ...]
    prefixes: tuple[Prefix, ...]


class FlashLevel(NamedTuple):
    """Prefixes of one level as one call of the variable-length kernel reads them.

    The queries and the keys are cut into as many segments; those of a prefix meet those behind it,
    and what belongs to no prefix of the level meets a segment of length 0.

    Attributes:
        queries: The first place that reads a prefix of this level, and the place after the last.
        keys: The first place of the prefixes, and the place after the last.
        query_ends: [segments + 1] int32, cumulative lengths of the queries.
        key_ends: [segments + 1] int32, cumulative lengths of the keys.
        longest_query: The most queries of a segment.
        longest_key: The most keys of a segment.
        outside: Numbers of the queries that read no prefix; None where all do.
    """

    queries: tuple[int, int]
    keys: tuple[int, int]
    query_ends: torch.Tensor
    key_ends: torch.Tensor
    longest_query: int
    longest_key: int
    outside: torch.Tensor | None


class FlashLayout(NamedTuple):
    """A pack as calls of the variable-length kernel read it: one for the spans, one for each level.

    Attributes:
        ends: [spans + 1] int32, cumulative lengths of the spans.
        longest: Number of tokens of the longest span.
        levels: The prefixes, level by level.
    """

    ends: torch.Tensor
    longest: int
    levels: tuple[FlashLevel, ...]


Layout: TypeAlias = BlockLayout | FlashLayout


def layout_of(pack: Pack, device: torch.device, flash: bool) -> Layout:
    """Return the layout of a pack.

    Args:
        pack: The pack.
        device: Where the indices are needed.
        flash: Whether the variable-length flash kernel attends; otherwise it is done group by
            group.
    """
    if flash:
        lengths = [span.length for span in pack.spans]
        return FlashLayout(
            _ends(lengths, device), max(lengths), tuple(flash_levels(pack.prefixes, device))
        )
    groups = tuple(_group_layout(spans, device) for spans in _similar(pack.spans))
    return BlockLayout(groups, pack.prefixes)


def _ends(lengths: Sequence[int], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.cumsum([0, *lengths], dtype=np.int32)).to(device)


def _similar(spans: Iterable[Span]) -> list[list[Span]]:
    """Part spans so that those of one part need little padding to be of one length."""
    parts: list[list[Span]] = []
    tokens = 0
    for span in sorted(spans, key=lambda span: (-span.length, span.start)):
        tokens += span.length
        if parts:
            padding = parts[-1][0].length * (len(parts[-1]) + 1) - tokens
        if not parts or padding > max(_PADDING_TOKENS, _PADDING_SHARE * tokens):
            parts.append([])
            tokens = span.length
        parts[-1].append(span)
    return parts


def _group_layout(spans: Sequence[Span], device: torch.device) -> GroupLayout:
    lengths = np.array([span.length for span in spans])
    starts = np.array([span.start for span in spans])
    width = int(lengths.max())
    places = np.arange(width)[None, :]
    inside = places < lengths[:, None]
    gather = starts[:, None] + places * inside
    follows = bool(inside.all() and (np.diff(gather.ravel()) == 1).all())
    return GroupLayout(
        len(lengths),
        width,
        None if follows else torch.from_numpy(gather.ravel()).to(device),
        int(starts[0]),
        None if inside.all() else torch.from_numpy(np.flatnonzero(inside)).to(device),
    )


def flash_levels(prefixes: Sequence[Prefix], device: torch.device) -> Iterable[FlashLevel]:
    """Return the prefixes of a pack, level by level."""
    for level in range(1 + max((each.level for each in prefixes), default=-1)):
        yield _flash_level([each for each in prefixes if each.level == level], device)


def _flash_level(prefixes: Sequence[Prefix], device: torch.device) -> FlashLevel:
    """Return the segments of prefixes that stand one behind the other."""
    first, last = prefixes[0], prefixes[-1]
    longest = max(each.stop - each.start - each.length for each in prefixes)
    queries, keys = [], []
    base = query_place = first.start + first.length
    key_place = first.start
    inside = np.ones(last.stop - base, dtype=bool)
    for start, length, stop, _ in prefixes:
        inside[query_place - base : start + length - base] = False
        # Queries that read nothing here, in segments no longer than the others: a kernel sets out
        # for the longest of all.
        while query_place < start + length:
            part = min(longest, start + length - query_place)
            queries.append(part)
            keys.append(0)
            query_place += part
        if key_place < start:
            queries.append(0)
            keys.append(start - key_place)
        queries.append(stop - query_place)
        keys.append(length)
        query_place, key_place = stop, start + length
    return FlashLevel(
        (base, last.stop),
        (first.start, last.start + last.length),
        _ends(queries, device),
        _ends(keys, device),
        max(queries),
        max(keys),
        None if inside.all() else torch.from_numpy(np.flatnonzero(~inside)).to(device),
    )
