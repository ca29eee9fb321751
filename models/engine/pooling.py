"""Embeddings from a causal language model: the mean of its last hidden states.

An alternative to a sentence embedder that sees texts as the target model does. The vectors of
causal models lie close together, so compare them with one another only, never with a threshold
made for sentence embedders. All tokens weigh the same, or the i-th token weighs i, because later
tokens have seen more of the text.
"""

import copy
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage
from siftline.models.batching import batch_tokens, run_in_halves
from siftline.models.embedding import Embeddings
from siftline.models.engine.packing import Pack, Unit, fill, pack
from siftline.models.engine.rope import by_regime
from siftline.models.engine.transformer import TransformerModel
from siftline.models.likelihood import Encoded, OnBatch
from siftline.models.rendering import Prompt


class MeanStateEmbedder:
    """A causal model as an embedder; see :class:`siftline.models.embedding.Embedder`.

    Attributes:
        dimensions: The number of components of a vector.
    """

    def __init__(self, model: TransformerModel) -> None:
        self._model = model
        self._network = model.network
        if self._network.longest_packed == 0:
            raise ModelError(
                f"'{model.name}' cannot be run on packs, which its mean hidden states need; "
                "name a sentence-transformers model, such as 'builtin:minilm'."
            )
        self.dimensions = int(self._network.model.config.get_text_config().hidden_size)
        self._weighted = False
        self._limit = min(model.window, self._network.longest_packed or model.window)
        self._lock = threading.Lock()

    def for_conversations(self, max_tokens: int) -> "MeanStateEmbedder":
        """Return an embedder of the same model in which the i-th token of a text weighs i.

        Args:
            max_tokens: A longer text is cut there, as at the model's window.
        """
        other = copy.copy(self)  # with the same lock, since the model is the same
        other._weighted = True
        other._limit = min(self._limit, max_tokens)
        return other

    def embed(
        self,
        texts: Sequence[str],
        *,
        max_batch_tokens: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> Embeddings:
        """Embed texts; see :class:`siftline.models.embedding.Embedder`."""
        rows = self._encode(texts)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        lengths = [len(row.ids) - 1 for row in rows]
        order = sorted(range(len(rows)), key=lambda row: (-lengths[row], rows[row].ids))
        batches: list[list[Unit]] = []
        for part in by_regime([lengths[row] for row in order], self._network.rope):
            numbers = [order[place] for place in part]
            units = [Unit(0, (row,), lengths[row], lengths[row]) for row in numbers]
            budget = max_batch_tokens or batch_tokens(self._network.device.type)
            batches += fill(units, budget)

        def run(batch: Sequence[Unit]) -> None:
            numbers = [row for unit in batch for row in unit.rows]
            laid = pack(batch, rows, {row: [row] for row in numbers})
            means = self._means(laid)
            vectors[numbers] = torch.nn.functional.normalize(means).cpu().numpy()
            if on_batch:
                on_batch(len(batch), len(laid.ids))

        with self._lock:
            calls = run_in_halves(batches, run, f"'{self._model.name}'")
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"'{self._model.name}' gave a hidden state that is not finite; use dtype "
                "'float32', or another model."
            )
        return Embeddings(vectors, Usage(calls, sum(lengths)))

    def _means(self, rows: Pack) -> torch.Tensor:
        """Return the mean of the last hidden states of each row: [rows, hidden] float32."""
        if not self._weighted:
            return self._network.mean_states(rows)
        return weighted_means(self._states(rows), rows.positions)

    def _states(self, rows: Pack) -> torch.Tensor:
        """Return the last hidden states of a pack: [tokens, hidden] float32.

        The network returns only their unweighted means; the states are caught on the way.
        """
        caught: list[torch.Tensor] = []

        def catch(module: torch.nn.Module, inputs: object, output: Any) -> None:
            caught.append(output[0][0].float())

        handle = self._network.model.base_model.register_forward_hook(catch)
        try:
            self._network.mean_states(rows)
        finally:
            handle.remove()
        return caught[0]

    def _encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokenise texts, cut to the limit; the last token of a row is not computed."""
        rows = []
        for ids in self._model.pairs.encode_prompts([Prompt.of_text(text) for text in texts]):
            kept = (ids or self._end_token())[: self._limit]
            rows.append(Encoded((*kept, 0), len(kept), 1, False))
        return rows

    def _end_token(self) -> tuple[int, ...]:
        """Return the end token, which stands for a text without tokens."""
        end = self._model.tokenizer.eos_token_id
        if end is None:
            raise ModelError(
                f"The tokenizer of '{self._model.name}' made no tokens of a text, and has no end "
                "token to stand for it; embed with another model."
            )
        return (int(end),)


def weighted_means(states: torch.Tensor, positions: npt.NDArray[np.int64]) -> torch.Tensor:
    """Return means of states in which the i-th of a row, from 1, weighs i / sum(i).

    Args:
        states: [tokens, hidden] the states of rows, one row after the other, without padding.
        positions: [tokens] the position of each token in its row, from 0.

    Returns:
        [rows, hidden].
    """
    starts = np.flatnonzero(positions == 0)
    lengths = np.diff([*starts, len(positions)]).tolist()
    means = []
    for part in torch.split(states, lengths):
        places = torch.arange(1, len(part) + 1, device=part.device, dtype=part.dtype)
        means.append(places @ part / places.sum())
    return torch.stack(means)
