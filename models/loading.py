"""From a recipe's model to a model in memory.

`load_*` functions keep what they have loaded, as long as its files stay as they are: a model is
loaded once per process and device, and once more when its files are replaced. `open_*` functions
load a model anew, which is gone when nobody holds it any more. Either way, what is loaded is what
was digested (:func:`siftline.models.store.digests.unchanged`).
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from siftline.contracts import progress
from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.chat_messages import ChatOptions
from siftline.models.device_errors import device_errors_told
from siftline.models.devices import resolve_device, resolve_dtype
from siftline.models.embedding import Embedder, SentenceEmbedder
from siftline.models.entailment import EntailmentModel
from siftline.models.fingerprint import fingerprint
from siftline.models.generation import GenerativeModel
from siftline.models.holding import held
from siftline.models.remote.engines import how_it_is_served
from siftline.models.store.builtin import TOY, builtin_name
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.digests import ModelFolder, digest_of, is_embedder, unchanged
from siftline.models.store.files import find_model
from siftline.models.store.packages import require
from siftline.models.store.pretrained import (
    load_causal_model,
    load_sentence_transformer,
    load_sequence_classifier,
    load_tokenizer,
)
from siftline.models.toy import ToyEmbedder, ToyLanguageModel

if TYPE_CHECKING:  # these import torch, which is optional and slow to import
    from transformers import PreTrainedModel

    from siftline.models.engine.transformer import TransformerModel

Loaded = TypeVar("Loaded")


def load_language_model(spec: ModelSpec, device: str = "auto") -> GenerativeModel:
    """Return the language model that a recipe names; the same object for the same arguments.

    Args:
        spec: The model: on a server, the toy, or one of this machine.
        device: A name as for :func:`siftline.models.devices.resolve_device`.

    Raises:
        ModelError: It cannot be found or loaded, or the device is not there.
    """
    if spec.is_asked:
        # What is served depends on files and an engine, which may be others in a later run.
        known = fingerprint(spec)
        identity = tuple(sorted(known.items()))
        asked = how_it_is_served(spec, known["version"]) if spec.serve else "asked on its server"
        progress.tell(f"{spec.name}, {asked}")
        return held(("server", spec), identity, lambda: _on_server(spec))
    if builtin_name(spec.name) == TOY:
        return held(("toy", spec), None, ToyLanguageModel)
    return load_transformer(spec, device)


def load_transformer(spec: ModelSpec, device: str = "auto") -> "TransformerModel":
    """Return a language model of this machine; the same object for the same arguments.

    Args:
        spec: A local model or one of the Hub.
        device: As for :func:`load_language_model`.

    Raises:
        ModelError: It cannot be found or loaded, is no local model, or the device is not there.
    """
    require_weights(spec)
    place = resolve_device(device)
    return _while_unchanged("language", spec, place, _language)


def require_weights(spec: ModelSpec) -> None:
    """Check that a model has weights here.

    Raises:
        ModelError: It is on a server, or the toy.
    """
    if spec.is_asked or builtin_name(spec.name) == TOY:
        raise ModelError(f"'{spec.name}' has no weights here; expected a folder or a Hub id.")


def open_language_model(spec: ModelSpec, device: str = "auto") -> "TransformerModel":
    """Load a language model of this machine anew; see :func:`load_transformer`."""
    require_weights(spec)
    return _language(spec, find_model(spec), resolve_device(device))


def open_weights(spec: ModelSpec, device: str, full: bool = False) -> "PreTrainedModel":
    """Load the bare model of `transformers` anew, to be trained.

    Args:
        spec: A local model or one of the Hub.
        device: A device as :func:`siftline.models.devices.resolve_device` returns it.
        full: Load it in float32, because all weights are to be trained.

    Raises:
        ModelError: It cannot be found or loaded.
    """
    dtype = "float32" if full else resolve_dtype(spec, device)
    with _folder_of(spec, find_model(spec), device) as folder:
        return _moved(load_causal_model(spec, folder, dtype), device)


def open_on_host(spec: ModelSpec, device: str) -> "PreTrainedModel":
    """Load the bare model of `transformers` anew, and leave it in the host's memory.

    Args:
        spec: A local model or one of the Hub.
        device: A device as :func:`siftline.models.devices.resolve_device` returns it, for whose
            number type it is.

    Raises:
        ModelError: It cannot be found or loaded.
    """
    require_weights(spec)
    with _folder_of(spec, find_model(spec), "cpu") as folder:
        return load_causal_model(spec, folder, resolve_dtype(spec, device))


def load_tuned(spec: ModelSpec, folder: Path, device: str = "auto") -> "TransformerModel":
    """Load a model with what was trained for it, and keep it until another one is loaded.

    Args:
        spec: The model that was tuned.
        folder: An adapter of `peft`, which is merged into the weights, or whole weights.
        device: As for :func:`load_language_model`.

    Raises:
        ModelError: It cannot be loaded.
    """
    require("torch", "transformers", "peft")
    place = resolve_device(device)
    model, trained = find_model(spec), ModelFolder("trained", "", folder)
    identity = (spec, place, digest_of(model, spec.trust_remote_code), digest_of(trained))
    # Shards ask for the same one, and two may not fit.
    return held(("tuned",), identity, lambda: _tuned(spec, model, trained, place))


def _tuned(
    spec: ModelSpec, model: ModelFolder, trained: ModelFolder, device: str
) -> "TransformerModel":
    dtype = resolve_dtype(spec, device)
    with _folder_of(spec, model, device) as base, unchanged(trained):
        if not (trained.folder / "adapter_config.json").exists():
            return _engine(spec, load_causal_model(spec, trained.folder, dtype), base, device)
        import peft  # an optional dependency, and slow to import

        weights = load_causal_model(spec, base, dtype)
        with warnings.catch_warnings():  # as in training
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
            adapted: Any = peft.PeftModel.from_pretrained(weights, str(trained.folder))
            merged: PreTrainedModel = adapted.merge_and_unload()
        return _engine(spec, merged, base, device)


def load_embedder(spec: ModelSpec, device: str = "auto") -> Embedder:
    """Return the embedder that a recipe names; the same object for the same arguments.

    Args:
        spec: A model of sentence-transformers, or a causal one, whose hidden states are averaged.
        device: As for :func:`load_language_model`.

    Raises:
        ModelError: It cannot be found or loaded, is on a server, or the device is not there.
    """
    if spec.is_asked:
        raise ModelError(
            f"'{spec.name}' is on a server; embedders run here. Name one without 'server' and "
            "'serve', such as 'builtin:minilm'."
        )
    if builtin_name(spec.name) == TOY:
        return held(("toy embedder", spec), None, ToyEmbedder)
    place = resolve_device(device)
    return _while_unchanged("embedder", spec, place, _embedder)


def load_entailment(spec: ModelSpec, device: str = "auto") -> EntailmentModel:
    """Return the model of natural language inference that a recipe names.

    Args:
        spec: A Hub id or a folder of a sequence classifier with a label 'contradiction'.
        device: As for :func:`load_language_model`.

    Raises:
        ModelError: It cannot be found or loaded, or has no such label.
    """
    if spec.is_asked or builtin_name(spec.name):
        raise ModelError(
            f"'{spec.name}' is no model of natural language inference; name a Hub id such as "
            "'microsoft/deberta-large-mnli', or a folder."
        )
    place = resolve_device(device)
    return _while_unchanged("entailment", spec, place, _entailment)


def _while_unchanged(
    role: str,
    spec: ModelSpec,
    device: str,
    load: Callable[[ModelSpec, ModelFolder, str], Loaded],
) -> Loaded:
    """Return what was loaded for a role, a model and a device from the files as they are now.

    Of one name only one revision is kept, so that a branch that moves does not fill the memory.
    """
    model = find_model(spec)
    place = (role, spec.name, spec.file, spec.dtype, ChatOptions.of(spec), device)
    identity = (spec.trust_remote_code, digest_of(model, spec.trust_remote_code))
    return held(place, identity, lambda: load(spec, model, device))


@contextmanager
def _folder_of(spec: ModelSpec, model: ModelFolder, device: str) -> Iterator[Path]:
    """Give the folder that a model is loaded from, and hold its files to their digest.

    What the device says of it is told.
    """
    with unchanged(model, spec.trust_remote_code):
        folder = loadable_folder(model)

        def weights() -> int:
            return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))

        with device_errors_told(spec.name, "was loaded", device, weights):
            yield folder


def _on_server(spec: ModelSpec) -> GenerativeModel:
    from siftline.models.remote.server import ServerModel

    return ServerModel(spec)


def _language(spec: ModelSpec, model: ModelFolder, device: str) -> "TransformerModel":
    if is_embedder(model.folder):
        raise ModelError(f"'{spec.name}' is an embedder; expected a causal language model.")
    with _folder_of(spec, model, device) as folder:
        weights = load_causal_model(spec, folder, resolve_dtype(spec, device))
        return _engine(spec, weights, folder, device)


def _engine(
    spec: ModelSpec, weights: "PreTrainedModel", folder: Path, device: str
) -> "TransformerModel":
    """Return the engine on some weights, with the tokenizer of the model that they belong to."""
    from siftline.models.engine.transformer import TransformerModel

    tokenizer = load_tokenizer(spec, folder)
    return TransformerModel(_moved(weights, device), tokenizer, spec.name, ChatOptions.of(spec))


def _embedder(spec: ModelSpec, model: ModelFolder, device: str) -> Embedder:
    if not is_embedder(model.folder):
        from siftline.models.engine.pooling import MeanStateEmbedder

        return MeanStateEmbedder(load_transformer(spec, device))
    dtype = resolve_dtype(spec, device, embedder=True)
    with _folder_of(spec, model, device) as folder:
        return SentenceEmbedder(load_sentence_transformer(spec, folder, device, dtype), spec.name)


def _entailment(spec: ModelSpec, model: ModelFolder, device: str) -> EntailmentModel:
    with _folder_of(spec, model, device) as folder:
        tokenizer = load_tokenizer(spec, folder)
        weights = load_sequence_classifier(spec, folder, resolve_dtype(spec, device))
        return EntailmentModel(_moved(weights, device), tokenizer, spec.name)


def _moved(model: Any, device: str) -> "PreTrainedModel":
    """Return a model on a device. `transformers` does not say which arguments its `to` takes."""
    moved: PreTrainedModel = model.to(device)
    return moved
