"""What a causal model is and can do, as far as the engine has to know.

It is read off the model's configuration, or tried on a few tokens.
"""

import math
from typing import Any

import torch
from transformers import PreTrainedModel


def weight_counts(model: PreTrainedModel) -> tuple[int, int]:
    """Return the numbers of weights that a token is multiplied with.

    Returns:
        Those of the layers, and those of the vocabulary projection.
    """
    head: Any = model.get_output_embeddings()
    table: Any = model.get_input_embeddings()
    total = sum(weight.numel() for weight in model.base_model.parameters())
    return total - table.weight.numel(), head.weight.numel()


def has_flash_kernel(model: PreTrainedModel) -> bool:
    """Return whether the variable-length flash kernel can serve the model."""
    return model.device.type == "cuda" and model.dtype in (torch.bfloat16, torch.float16)


def attention_limit(model: PreTrainedModel) -> int | None:
    """Return the most tokens of a row all of which the model attends to; None for no limit.

    Attention over packs knows no sliding window and no chunks; shorter rows do not need them.
    """
    config = model.config.get_text_config()
    limits = [
        int(limit)
        for name in ("sliding_window", "attention_chunk_size")
        if (limit := getattr(config, name, None))
    ]
    return min(limits, default=None)


def cache_limit(model: PreTrainedModel) -> float:
    """Return the most tokens of a text up to which the keys and values that are kept are right.

    Beyond `keep_window_size` (Doge) each token chooses anew which keys it sees.
    """
    limit = getattr(model.config.get_text_config(), "keep_window_size", None)
    return math.inf if limit is None else int(limit)


@torch.inference_mode()
def has_plain_projection(model: PreTrainedModel) -> bool:
    """Return whether logits are `lm_head(hidden states)`, by trying it on a few tokens.

    It is not so where logits are scaled or capped (Granite, Gemma 2, Cohere). The same operations
    on the same shapes give the same bits, so only equal bits count: a cap is nearly the identity
    on small logits.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or model.base_model is model:
        return False
    ids = scattered_tokens(model, 16)[None]
    expected = model(ids, use_cache=False).logits
    own = head(model.base_model(ids, use_cache=False)[0])
    return bool(torch.equal(own.float(), expected.float()))


@torch.inference_mode()
def looks_ahead(model: PreTrainedModel, size: int) -> bool:
    """Return whether what a model says after `size` tokens changes with those that follow."""
    ids = scattered_tokens(model, 2 * size)[None]
    short = model(ids[:, :size], use_cache=False).logits.float()
    long = model(ids, use_cache=False).logits[:, :size].float()
    # Rounding gives 1e-6 of the spread in float32 and 0.02 in bfloat16, a BERT about 1.
    return bool((long - short).abs().mean() > 0.1 * short.std())


def cached_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of the keys and values of a token, as far as a configuration says.

    A model without attention (Mamba) keeps none that grow; it is counted as one with a single head.
    """
    config: Any = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 1
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * key_heads * size * model.dtype.itemsize)


def scattered_tokens(model: PreTrainedModel, count: int) -> torch.Tensor:
    """Return [count] tokens on the model's device, spread over its vocabulary by a prime."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    return torch.arange(count, device=model.device) * 7919 % vocabulary
