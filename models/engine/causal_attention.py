"""Causal attention over padded rows, with gradients, in place of a model's own.

In bfloat16 the gradients of PyTorch's fused attention on a CPU take five times as long as its
forward pass; plain matrix products take a third of that (docs/decisions.md). And a model that makes
its mask itself asks the device what is in it, for which a GPU has to come to rest.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from siftline.models.device_errors import in_one_line, is_of_device
from siftline.models.engine.attention import scale_of
from siftline.models.engine.capabilities import attention_limit, scattered_tokens

NAME = "siftline_causal"
"""The name of this attention in the interface of `transformers`."""

# Tokens of a row up to which all of its scores are held at once, on a CPU.
_WHOLE_SCORES = 512
# Mean difference in nats between the log-probabilities of both attentions above which a model keeps
# its own; as for packs (siftline.models.engine.forward).
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 0.25


@contextmanager
def causal(model: PreTrainedModel) -> Iterator[None]:
    """Let a model use this attention for the forward passes inside the block."""
    usual = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


@torch.inference_mode()
def refusal(model: PreTrainedModel, longest: int) -> str | None:
    """Return why a model must keep its own attention; None where this one does.

    Args:
        model: The model, not in training.
        longest: Tokens of the longest row that goes through it.
    """
    limit = attention_limit(model)
    if limit is not None and longest > limit:
        return f"a row of {longest} tokens does not fit its window of {limit}"
    ids = scattered_tokens(model, 2 * min(24, limit or 24)).view(2, -1)
    expected = model(input_ids=ids, use_cache=False).logits
    try:
        with causal(model):
            found = model(input_ids=ids, use_cache=False).logits
    except Exception as error:  # whatever the model's own code says to an unknown attention
        if is_of_device(error):
            raise
        return in_one_line(error)
    one, other = (each.float().log_softmax(-1) for each in (expected, found))
    difference = float((one - other).abs().mean())
    if difference <= _TOLERANCE.get(model.dtype, _HALF_TOLERANCE):
        return None
    return f"its logits would differ by {difference:.2g} nats"


def causal_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend from each token to itself and those before it.

    Args:
        query: [rows, heads, tokens, size].
        key: [rows, key heads, tokens, size].
        value: [rows, key heads, tokens, value size].
        scale: Factor of the scores before the softmax.
        dropout: Share of the weights that are left out.

    Returns:
        [rows, heads, tokens, value size].
    """
    half = query.dtype in (torch.bfloat16, torch.float16)
    if half and query.device.type == "cpu" and query.shape[2] <= _WHOLE_SCORES:
        return _by_products(query, key, value, scale, dropout)
    result: torch.Tensor = torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        is_causal=True,
        scale=scale,
        dropout_p=dropout,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return result


def _by_products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, dropout: float
) -> torch.Tensor:
    rows, heads, tokens, _ = query.shape
    keys = key.shape[1]
    repeats = heads // keys  # queries of how many heads read one head of keys
    q = query.reshape(rows * keys, repeats * tokens, -1)
    k, v = (each.reshape(rows * keys, tokens, -1) for each in (key, value))
    future = q.new_full((tokens, tokens), float("-inf")).triu(1).repeat(repeats, 1)
    scores = torch.baddbmm(future, q, k.transpose(1, 2), alpha=scale)
    weights = torch.nn.functional.dropout(scores.softmax(-1), dropout)
    return torch.bmm(weights, v).view(rows, heads, tokens, -1)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Serve the attention interface of `transformers`; see `scale_of`."""
    scale = scale_of(query, attention_mask, scaling, options)
    return causal_attention(query, key, value, scale, dropout).transpose(1, 2), None


# Being absent from the interface for masks, it is given none.
transformers.AttentionInterface.register(NAME, _attention)
