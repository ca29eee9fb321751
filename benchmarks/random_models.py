"""Llamas of random weights, made where they run: speed depends on a shape alone."""

from typing import Any

import torch
import transformers

# Hidden, intermediate, layers, heads, key heads, vocabulary: of SmolLM2 135M, Llama 3.2 1B, 3 8B.
SHAPES = {
    "smollm2": (576, 1536, 30, 9, 3, 49152),
    "1B": (2048, 8192, 16, 32, 8, 128256),
    "8B": (4096, 14336, 32, 32, 8, 128256),
}
TINY = (64, 128, 2, 4, 2, 512)  # to try a script


def random_llama(
    shape: tuple[int, ...], dtype: torch.dtype, device: str, **settings: Any
) -> transformers.PreTrainedModel:
    """Return a Llama of a shape.

    Args:
        shape: As in :data:`SHAPES`.
        dtype: Number type of its weights.
        device: Where they are made.
        settings: Of its configuration, in the place of a window of 8,192 tokens, a projection of
            its own, and no token that begins or ends a text.
    """
    hidden, inner, layers, heads, key_heads, vocabulary = shape
    usual = {
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        dtype=dtype,
        **{**usual, **settings},
    )
    torch.manual_seed(0)
    with torch.device(device):
        made: Any = transformers.LlamaForCausalLM(config)
    model: transformers.PreTrainedModel = made.to(dtype).eval()
    return model
