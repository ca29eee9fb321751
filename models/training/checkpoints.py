"""The likelihoods of the same rows under the checkpoints of one training run.

Rows are tokenised once, since the checkpoints share their tokenizer; one checkpoint is in memory at
a time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.likelihood import Encoded, Likelihoods, OnBatch, Pair, ResponseLikelihood
from siftline.models.loading import open_language_model

if TYPE_CHECKING:  # these import torch, which is optional and slow to import
    from transformers import PreTrainedTokenizerBase

    from siftline.models.engine.transformer import TransformerModel

Coded: TypeAlias = Sequence[Encoded | ResponseLikelihood]
"""Tokenised pairs; a result stands for a pair that cannot be scored."""


def score_checkpoints(
    checkpoints: Sequence[ModelSpec],
    pairs: Sequence[Pair],
    *,
    device: str = "auto",
    max_tokens: int | None = None,
    score_eos: bool = False,
    max_batch_tokens: int | None = None,
    on_batch: OnBatch | None = None,
) -> Iterator[Likelihoods]:
    """Yield the likelihoods of pairs under one checkpoint after the other.

    Args:
        checkpoints: Local models with one tokenizer.
        pairs: Prompts and responses.
        device: A name as for :func:`siftline.models.devices.resolve_device`.
        max_tokens: The most tokens of prompt and response together; None takes the whole window.
        score_eos: Score the token that ends the response too, where it fits.
        max_batch_tokens: The most tokens in one forward pass; None takes what suits the device.
        on_batch: Called as by
            :meth:`siftline.models.likelihood.LanguageModel.log_likelihood`, for each checkpoint.

    Raises:
        ModelError: A checkpoint cannot be loaded, or has another tokenizer than the first.
    """

    def encode(first: "TransformerModel") -> Coded:
        return first.encode(pairs, max_tokens=max_tokens, score_eos=score_eos)

    yield from score_each(checkpoints, encode, device, max_batch_tokens, on_batch)


def score_each(
    checkpoints: Sequence[ModelSpec],
    encode: "Callable[[TransformerModel], Coded]",
    device: str,
    max_batch_tokens: int | None,
    on_batch: OnBatch | None,
) -> Iterator[Likelihoods]:
    """Yield the likelihoods of tokenised rows under one checkpoint after the other.

    Args:
        checkpoints: Local models with one tokenizer.
        encode: Called once, with the first checkpoint; returns the rows.
        device: As for :func:`score_checkpoints`.
        max_batch_tokens: As for :func:`score_checkpoints`.
        on_batch: As for :func:`score_checkpoints`.

    Raises:
        ModelError: A checkpoint cannot be loaded, or has another tokenizer than the first.
    """
    coded: Coded | None = None
    first_tokenizer: object = None
    for spec in checkpoints:
        model = open_language_model(spec, device)
        tokenizer = _identity(model.tokenizer)
        if coded is None:
            coded, first_tokenizer = encode(model), tokenizer
        elif tokenizer != first_tokenizer:
            raise ModelError(
                f"'{spec.name}' has another tokenizer than '{checkpoints[0].name}'; expected "
                "checkpoints of one training run."
            )
        likelihoods = model.score(coded, max_batch_tokens=max_batch_tokens, on_batch=on_batch)
        del model  # before the next one is loaded
        yield likelihoods


def _identity(tokenizer: "PreTrainedTokenizerBase") -> object:
    """Return what must be equal for two tokenizers to make the same tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend.to_str() if backend is not None else tokenizer.get_vocab()
