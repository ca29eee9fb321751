"""The logits of a model in training, at the places from which something is learned and no others.

The vocabulary projection and the softmax over it, there and back, are a fifth of a small model's
step; most places of a batch are prompts and padding.
"""

from typing import Any

import torch

from siftline.models.engine.capabilities import has_plain_projection


class LearnedLogits:
    """A causal model, asked for logits at chosen places of padded rows.

    Padding is on the right, where a causal model does not look, so no mask is needed.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model: Any = model.eval()
        peft: Any = getattr(model, "get_base_model", None)
        causal: Any = peft() if peft else model
        self._body: Any = causal.base_model if has_plain_projection(causal) else None
        self._head: Any = causal.get_output_embeddings()

    def __call__(
        self, ids: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
    ) -> torch.Tensor:
        """Return logits, with their gradients.

        Args:
            ids: [rows, width] tokens, padded on the right.
            rows: [places] the row of each place.
            columns: [places] its column.

        Returns:
            [places, vocabulary].
        """
        if self._body is not None:
            states = self._body(input_ids=ids, use_cache=False)[0]
            logits: torch.Tensor = self._head(states[rows, columns])
            return logits
        used, places = columns.unique(return_inverse=True)
        logits = self._model(input_ids=ids, logits_to_keep=used, use_cache=False).logits
        return logits[rows, places]
