"""The logits of a model in training, at the places from which something is learned and no others.

The vocabulary projection and the softmax over it, there and back, are a fifth of a small model's
step; most places of a batch are prompts and padding.
"""

from contextlib import nullcontext
from typing import Any

import torch

from siftline.contracts import progress
from siftline.models.engine.capabilities import has_plain_projection
from siftline.models.engine.causal_attention import causal, refusal


class LearnedLogits:
    """A causal model, asked for logits at chosen places of padded rows.

    Padding is on the right, where a causal model does not look, so no mask is needed.
    """

    def __init__(self, model: torch.nn.Module, longest: int, half: bool) -> None:
        """Find out how a model can be run.

        Args:
            model: A causal model of `transformers` or `peft`.
            longest: Tokens of the longest row that it is to learn from.
            half: Whether it multiplies in half precision.
        """
        self._model: Any = model.eval()
        peft: Any = getattr(model, "get_base_model", None)
        causal_model: Any = model if peft is None else peft()
        self._causal: Any = causal_model
        plain = has_plain_projection(causal_model)
        self._body: Any = causal_model.base_model if plain else None
        self._head: Any = self._causal.get_output_embeddings()
        # In float32 the attention of PyTorch is as good on a CPU.
        self._attends = half or self._causal.device.type != "cpu"
        if self._attends and (reason := refusal(self._causal, longest)):
            self._attends = False
            progress.warn(
                f"A '{type(self._causal).__name__}' is trained with its own attention, which takes "
                f"longer: {reason}."
            )

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
        with causal(self._causal) if self._attends else nullcontext():
            if self._body is not None:
                states = self._body(input_ids=ids, use_cache=False)[0]
                places = rows * ids.shape[1] + columns
                logits: torch.Tensor = self._head(states.flatten(0, 1).index_select(0, places))
                return logits
            used, kept = columns.unique(return_inverse=True)
            logits = self._model(input_ids=ids, logits_to_keep=used, use_cache=False).logits
        return logits[rows, kept]
