"""The likelihoods of the same rows under the checkpoints of one training run.

Rows are tokenised once, since the checkpoints share their tokenizer. One model is on the device; it
gets the weights of one checkpoint after the other, which are read once and kept in the host's
memory for the next rows, as far as they fit.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.records import SEAL
from siftline.models.devices import resolve_device
from siftline.models.holding import held
from siftline.models.likelihood import Encoded, Likelihoods, OnBatch, Pair, ResponseLikelihood
from siftline.models.loading import open_language_model, open_on_host, require_weights
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.digests import counted_files, digest_of, file_digest
from siftline.models.store.files import find_model
from siftline.models.store.pretrained import load_tokenizer

if TYPE_CHECKING:  # these import torch, which is optional and slow to import
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from siftline.models.engine.transformer import TransformerModel

Coded: TypeAlias = Sequence[Encoded | ResponseLikelihood]
"""Tokenised pairs; a result stands for a pair that cannot be scored."""

# Bytes of the host's memory that the weights of checkpoints may take.
_KEPT_BYTES = 4 * 2**30
_NONE = -1
# Settings of the weights, and what the trainer says of the folder.
_OF_NO_TOKENIZER = ("config.json", "generation_config.json", SEAL)


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
    for checkpoint in checkpoints:
        require_weights(checkpoint)
    place = resolve_device(device)
    identity = (tuple(checkpoints), place, tuple(map(_digest, checkpoints)))
    opened = held(("checkpoints", place), identity, lambda: _Opened(checkpoints, place))
    coded = encode(opened.model)
    for number in range(len(checkpoints)):
        with opened.lock:  # another thread may score other rows under another checkpoint meanwhile
            model = opened.under(number)
            likelihoods = model.score(coded, max_batch_tokens=max_batch_tokens, on_batch=on_batch)
        yield likelihoods


class _Opened:
    """One model in memory, and the checkpoints whose weights it can have.

    Attributes:
        model: The model.
        lock: To be held for as long as it is to keep its weights.
    """

    def __init__(self, checkpoints: Sequence[ModelSpec], device: str) -> None:
        self.lock = threading.Lock()
        self.model = open_language_model(checkpoints[0], device)
        self._checkpoints, self._device = checkpoints, device
        self._settings = _settings_of(self.model.network.model)
        self._states: dict[int, dict[str, torch.Tensor]] = {}
        self._room = _KEPT_BYTES
        self._current = 0

    def under(self, number: int) -> "TransformerModel":
        """Return the model with the weights of a checkpoint.

        Raises:
            ModelError: They cannot be loaded, or the checkpoint has another tokenizer.
        """
        if number == self._current:
            return self.model
        state = self._states.get(number)
        if state is None:
            spec = self._checkpoints[number]
            self._require_tokenizer(spec)
            weights = open_on_host(spec, self._device)
            if _settings_of(weights) != self._settings:
                return open_language_model(spec, self._device)
            state = weights.state_dict()
            self._keep(number, state)
        self._current = _NONE  # where it fails halfway, the model has the weights of none
        self.model.network.replace_weights(state)
        self._current = number
        return self.model

    def _keep(self, number: int, state: "dict[str, torch.Tensor]") -> None:
        size = sum({value.data_ptr(): value.nbytes for value in state.values()}.values())
        if size <= self._room:
            self._states[number] = state
            self._room -= size

    def _require_tokenizer(self, spec: ModelSpec) -> None:
        """Check that a checkpoint has the tokenizer of the first."""
        first = self._checkpoints[0]
        if _tokenizer_files(spec) == _tokenizer_files(first):
            return
        tokenizer = load_tokenizer(spec, loadable_folder(find_model(spec)))
        if _identity(tokenizer) != _identity(self.model.tokenizer):
            raise ModelError(
                f"'{spec.name}' has another tokenizer than '{first.name}'; expected checkpoints of "
                "one training run."
            )


def _digest(spec: ModelSpec) -> str:
    return digest_of(find_model(spec), spec.trust_remote_code)


def _settings_of(model: "PreTrainedModel") -> object:
    """Return what must be equal for the weights of one model to do in another."""
    settings = model.config.to_dict()
    for name in ("_name_or_path", "transformers_version"):
        settings.pop(name, None)
    return settings, type(model).__name__


def _tokenizer_files(spec: ModelSpec) -> dict[str, str]:
    """Return the digests of the files that a tokenizer may be read from, by name."""
    model = find_model(spec)
    files = counted_files(model.folder, spec.trust_remote_code, weights=False, gguf=model.gguf)
    return {
        path.relative_to(model.folder).as_posix(): file_digest(path)
        for path in files
        if path.name not in _OF_NO_TOKENIZER
    }


def _identity(tokenizer: "PreTrainedTokenizerBase") -> object:
    """Return what must be equal for two tokenizers to make the same tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend.to_str() if backend is not None else tokenizer.get_vocab()
