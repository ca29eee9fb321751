"""Embeddings of texts by sentence-transformers: float32, of length one.

Texts are batched by length under a token budget, longest first, so that the batches, and with
them the bits of the result, depend on the set of texts only.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage
from siftline.models.batching import batch_tokens, run_in_halves
from siftline.models.likelihood import OnBatch, plan

if TYPE_CHECKING:  # an optional dependency, and slow to import
    from sentence_transformers import SentenceTransformer


class Embeddings(NamedTuple):
    """The vectors of the texts of one call.

    Attributes:
        vectors: [texts, dimensions] float32, each of Euclidean length one.
        usage: What the call has cost.
    """

    vectors: npt.NDArray[np.float32]
    usage: Usage


class Embedder(Protocol):
    """A model that turns texts into vectors."""

    @property
    def dimensions(self) -> int:
        """The number of components of a vector."""
        ...

    def for_conversations(self, max_tokens: int) -> "Embedder":
        """Return the embedder to use for whole conversations.

        A causal model weighs later tokens more, since they have seen more of the text
        (:class:`siftline.models.engine.pooling.MeanStateEmbedder`). Any other embedder pools in its
        own way and has its own window, and is returned as it is.

        Args:
            max_tokens: A causal model cuts a longer conversation there.
        """
        ...

    def embed(
        self,
        texts: Sequence[str],
        *,
        max_batch_tokens: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> Embeddings:
        """Embed texts.

        Args:
            texts: The texts; one that is longer than the model's window is cut.
            max_batch_tokens: The most tokens in one forward pass, padding included; None takes what
                suits the device.
            on_batch: Called after each batch with the numbers of texts and of tokens, padding not
                counted.

        Raises:
            ModelError: The model gives something that is not a finite number.
        """
        ...


class SentenceEmbedder:
    """An embedder in the format of sentence-transformers.

    Attributes:
        name: The model's name in the recipe, for messages.
        dimensions: The number of components of a vector.
    """

    def __init__(self, model: "SentenceTransformer", name: str) -> None:
        self.name = name
        self._model = model.eval()
        self._lock = threading.Lock()
        self.dimensions = int(self._encode([name]).shape[1])

    def for_conversations(self, max_tokens: int) -> "SentenceEmbedder":
        """Return this embedder; see :class:`Embedder`."""
        return self

    def embed(
        self,
        texts: Sequence[str],
        *,
        max_batch_tokens: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> Embeddings:
        """Embed texts; see :class:`Embedder`."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        with self._lock:
            lengths = self._lengths(texts)
            budget = max_batch_tokens or batch_tokens(self._model.device.type)

            def run(batch: Sequence[int]) -> None:
                vectors[batch] = self._encode([texts[row] for row in batch])
                if on_batch:
                    on_batch(len(batch), sum(lengths[row] for row in batch))

            calls = run_in_halves(plan(lengths, texts, budget), run, f"'{self.name}'")
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"The embedder '{self.name}' gave a vector that is not finite; "
                "use dtype 'float32', or another model."
            )
        return Embeddings(vectors, Usage(calls, sum(lengths)))

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, cut to the window."""
        if not texts:
            return []
        limit = self._model.max_seq_length
        coded = self._model.tokenizer(list(texts), truncation=True, max_length=limit)
        return [len(ids) for ids in coded["input_ids"]]

    def _encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Embed one batch: [texts, dimensions]."""
        vectors = self._model.encode(
            texts,
            batch_size=len(texts),
            convert_to_numpy=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)
