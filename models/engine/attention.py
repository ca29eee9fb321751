"""Attention over packs: spans that see themselves and their prefixes, never one another.

It takes the place of a model's own attention through the interface of `transformers`, so any model
that uses the interface can be run on packs. The layout of the pack is set around the forward pass.

Matrix products do it (siftline.models.engine.blocks); on CUDA, in half precision, the
variable-length flash kernel does (siftline.models.engine.varlen). Either way each span attends to
itself first, then all that stands behind a prefix attends to the prefix.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
import transformers

from siftline.models.engine import blocks, varlen
from siftline.models.engine.layout import FlashLayout, Layout

NAME = "siftline_packed"
"""The name of this attention in the interface of `transformers`."""

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
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attend in the next layer: layers are told by the order of their calls.

        Args:
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
    """Attend by the cache that is set, or else within the pack whose layout is.

    Args:
        query: [1, heads, tokens, size].
        key: [1, key heads, tokens, size].
        value: [1, key heads, tokens, value size].
        scale: Factor of the scores before the softmax.

    Returns:
        [1, tokens, heads, value size].
    """
    cache = _cache.get()
    if cache is not None:
        return cache.attend(query, key, value, scale).contiguous()
    return attend_within(query, key, value, scale)


def attend_within(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attend within the pack whose layout is set; see :func:`packed_attention`."""
    layout = _layout.get()
    # One row of all heads per token: [tokens, heads, size].
    q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
    if isinstance(layout, FlashLayout):
        return varlen.attend(varlen.kernel_of_torch(), layout, q, k, v, scale)[None]
    return blocks.attend(layout, q, k, v, scale)[None]


@packed_attention.register_fake
def _(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    return query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])


def scale_of(
    query: torch.Tensor, attention_mask: Any, scaling: float | None, options: Mapping[str, Any]
) -> float:
    """Return the factor of the scores of a model that wants causal attention and no more.

    Args:
        query: [..., size].
        attention_mask: What the interface of `transformers` hands over, as the two that follow.
        scaling: The factor, where the model states it.
        options: All else that the model states.

    Raises:
        NotImplementedError: The model wants more.
    """
    if attention_mask is not None:
        raise NotImplementedError("attention with a mask that the model makes itself")
    for unknown in ("softcap", "s_aux"):
        if options.get(unknown) is not None:
            raise NotImplementedError(f"attention with '{unknown}'")
    return query.shape[-1] ** -0.5 if scaling is None else float(scaling)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Serve the attention interface of `transformers`; see :func:`scale_of`."""
    scale = scale_of(query, attention_mask, scaling, options)
    # Compiled layers score packs; to look for a cache would cut their graph in two.
    cache = None if torch.compiler.is_compiling() else _cache.get()
    if cache is not None:
        return cache.attend(query, key, value, scale), None
    return packed_attention(query, key, value, scale), None


# Being absent from the interface for masks, it is given none.
transformers.AttentionInterface.register(NAME, _attention)
