"""From a recipe's model to a model in memory, and to the fingerprint of its scores.

Weights are read from safetensors only, so that loading a model runs no code of its own, unless the
recipe sets `trust_remote_code`. A model is loaded once per process and device.
"""

import functools
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.embedding import Embedder, SentenceEmbedder
from siftline.models.entailment import EntailmentModel
from siftline.models.generation import GenerativeModel
from siftline.models.likelihood import ENGINE_REVISION
from siftline.models.store.builtin import TOY, builtin_name
from siftline.models.store.conversion import CONVERSION_REVISION, is_gguf, loadable_folder
from siftline.models.store.files import digest_of, find_model, is_embedder
from siftline.models.store.packages import require
from siftline.models.toy import TOY_REVISION, ToyEmbedder, ToyLanguageModel

# Bumped when a server's answers would be read in another way.
SERVER_REVISION = 1

_loaded: dict[tuple[str, ModelSpec, str], Any] = {}
_lock = threading.RLock()


def load_language_model(spec: ModelSpec, device: str = "auto") -> GenerativeModel:
    """Return the language model that a recipe names; the same object for the same arguments.

    Args:
        spec: The model.
        device: `auto`, `cpu`, `cuda`, `cuda:1` ...

    Raises:
        ModelError: It cannot be found or loaded, or the device is not there.
    """
    if spec.server is not None:
        return cast(GenerativeModel, _once("server", spec, "server", lambda: _on_server(spec)))
    if builtin_name(spec.name) == TOY:
        return cast(GenerativeModel, _once("toy", spec, "cpu", lambda: ToyLanguageModel()))
    place = resolve_device(device)
    return cast(GenerativeModel, _once("language", spec, place, lambda: _language(spec, place)))


def open_language_model(spec: ModelSpec, device: str = "auto") -> Any:
    """Load a model of this machine anew; it is gone when nobody holds it any more.

    Returns:
        A :class:`siftline.models.engine.transformer.TransformerModel`.

    Raises:
        ModelError: It cannot be found or loaded, is no local model, or the device is not there.
    """
    if spec.server is not None or builtin_name(spec.name) == TOY:
        raise ModelError(f"'{spec.name}' has no weights here; expected a folder or a Hub id.")
    return _language(spec, resolve_device(device))


def load_embedder(spec: ModelSpec, device: str = "auto") -> Embedder:
    """Return the embedder that a recipe names; the same object for the same arguments.

    A model of sentence-transformers, or a causal one, whose hidden states are averaged.

    Args:
        spec: The model.
        device: As for :func:`load_language_model`.

    Raises:
        ModelError: It cannot be found or loaded, or the device is not there.
    """
    if spec.server is not None:
        raise ModelError(
            f"'{spec.name}' is on a server; embedders run here. Name one without 'server', such "
            "as 'builtin:minilm'."
        )
    if builtin_name(spec.name) == TOY:
        return cast(Embedder, _once("toy embedder", spec, "cpu", lambda: ToyEmbedder()))
    place = resolve_device(device)
    return cast(Embedder, _once("embedder", spec, place, lambda: _embedder(spec, place)))


def load_entailment(spec: ModelSpec, device: str = "auto") -> EntailmentModel:
    """Return the model of natural language inference that a recipe names.

    Args:
        spec: A Hub id or a folder of a sequence classifier with a label 'contradiction'.
        device: As for :func:`load_language_model`.

    Raises:
        ModelError: It cannot be found or loaded, or has no such label.
    """
    if spec.server is not None or builtin_name(spec.name):
        raise ModelError(
            f"'{spec.name}' is no model of natural language inference; name a Hub id such as "
            "'microsoft/deberta-large-mnli', or a folder."
        )
    place = resolve_device(device)
    return cast(EntailmentModel, _once("entailment", spec, place, lambda: _entails(spec, place)))


def fingerprint(spec: ModelSpec, device: str = "auto") -> dict[str, str]:
    """Return what the scores of a model depend on, without loading it.

    The device is no part of it, the type of the numbers is. A folder has no name, so that a model
    keeps its scores when it is moved.

    Args:
        spec: The model; one of the Hub is downloaded if it is not there yet.
        device: As for :func:`load_language_model`; `auto` types depend on it.

    Raises:
        ModelError: The model cannot be found, or packages of the extra `models` are missing.
    """
    if spec.server is not None:
        # What the server runs under this name is known to nobody but its owner.
        return {"name": spec.name, "server": spec.server.url, "engine": f"server-{SERVER_REVISION}"}
    if builtin_name(spec.name) == TOY:
        return {"name": spec.name, "engine": f"toy-{TOY_REVISION}"}
    place = resolve_device(device)  # before anything is downloaded
    found = find_model(spec)
    converted = {"conversion": f"gguf-{CONVERSION_REVISION}"} if is_gguf(found.folder) else {}
    return {
        "name": found.name,
        "revision": found.revision,
        "digest": digest_of(found, spec.trust_remote_code),
        "dtype": resolve_dtype(spec, place, is_embedder(found.folder)),
        "engine": f"transformers-{ENGINE_REVISION}",
        **converted,
    }


def resolve_device(device: str) -> str:
    """Return the device that is meant by a name.

    Raises:
        ModelError: There is no such device here.
    """
    require("torch")
    import torch  # an optional dependency, and slow to import

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ModelError(
            f"Got device '{device}'; expected 'auto', 'cpu', 'cuda' or 'cuda:<number>'."
        ) from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"Got device '{device}', but {torch.cuda.device_count()} CUDA devices are visible; "
            "use 'auto' or 'cpu', or install a build of torch for your GPU."
        )
    return str(place)


def resolve_dtype(spec: ModelSpec, device: str, embedder: bool = False) -> str:
    """Return the number type of weights and forward pass.

    `auto` is bfloat16 where the hardware multiplies it natively, and float32 elsewhere: without
    AVX512-BF16 or AMX, a CPU computes bfloat16 slower than float32 (docs/decisions.md). Embedders
    are small, and vectors are compared closely: float32.

    Args:
        spec: The model.
        device: As :func:`resolve_device` returns it.
        embedder: The model is an embedder.
    """
    if spec.dtype != "auto":
        return spec.dtype
    return "bfloat16" if not embedder and _native_bfloat16(device) else "float32"


def _native_bfloat16(device: str) -> bool:
    import torch  # an optional dependency, and slow to import

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _once(role: str, spec: ModelSpec, device: str, load: Callable[[], Any]) -> Any:
    with _lock:
        key = (role, spec, device)
        if key not in _loaded:
            _loaded[key] = load()
        return _loaded[key]


def _on_server(spec: ModelSpec) -> Any:
    from siftline.models.remote.server import ServerModel

    assert spec.server is not None
    return ServerModel(spec, spec.server)


def open_weights(spec: ModelSpec, device: str, full: bool = False) -> Any:
    """Load the bare model of `transformers`, anew, to be trained.

    Args:
        spec: A local model or one of the Hub.
        device: As :func:`resolve_device` returns it.
        full: In float32, because all weights are to be trained.

    Raises:
        ModelError: It cannot be found or loaded.
    """
    kind = "float32" if full else resolve_dtype(spec, device)
    return _weights(spec, loadable_folder(find_model(spec).folder), kind).to(device)


@functools.lru_cache(maxsize=1)  # shards ask for the same one; two may not fit
def load_tuned(spec: ModelSpec, folder: Path, device: str = "auto") -> Any:
    """Load a model with what was trained for it, and keep it until another one is loaded.

    Args:
        spec: The model that was tuned.
        folder: An adapter of `peft`, which is merged into the weights, or whole weights.
        device: As for :func:`load_language_model`.

    Returns:
        A :class:`siftline.models.engine.transformer.TransformerModel`.

    Raises:
        ModelError: It cannot be loaded.
    """
    require("torch", "transformers", "peft")
    place = resolve_device(device)
    if (folder / "adapter_config.json").exists():
        import peft  # an optional dependency, and slow to import

        base = _weights(spec, loadable_folder(find_model(spec).folder), resolve_dtype(spec, place))
        with warnings.catch_warnings():  # as in training
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
            model = peft.PeftModel.from_pretrained(base, str(folder)).merge_and_unload()
    else:
        model = _weights(spec, folder, resolve_dtype(spec, place))
    return _engine(spec, model, place)


def _language(spec: ModelSpec, device: str) -> GenerativeModel:
    folder = find_model(spec).folder
    if is_embedder(folder):
        raise ModelError(f"'{spec.name}' is an embedder; expected a causal language model.")
    model = _weights(spec, loadable_folder(folder), resolve_dtype(spec, device))
    return cast(GenerativeModel, _engine(spec, model, device))


def _weights(spec: ModelSpec, folder: Path, dtype: str) -> Any:
    require("torch", "transformers")
    import torch  # optional dependencies, and slow to import
    import transformers

    _hide_progress_bars(transformers)
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=spec.trust_remote_code,
            local_files_only=True,
        )
    except (OSError, ValueError, ImportError) as error:
        raise _cannot_load(spec, "a causal language model with safetensors weights") from error


def _engine(spec: ModelSpec, model: Any, device: str) -> Any:
    import transformers

    from siftline.models.engine.transformer import TransformerModel

    folder = loadable_folder(find_model(spec).folder)
    options = {"trust_remote_code": spec.trust_remote_code, "local_files_only": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, ImportError) as error:
        raise _cannot_load(spec, "a tokenizer beside its weights") from error
    return TransformerModel(model.to(device), tokenizer, spec.name)


def _embedder(spec: ModelSpec, device: str) -> Embedder:
    require("sentence_transformers", "torch", "transformers")
    import sentence_transformers  # optional dependencies, and slow to import
    import torch
    import transformers

    folder = find_model(spec).folder
    if not is_embedder(folder):
        from siftline.models.engine.pooling import MeanStateEmbedder

        return MeanStateEmbedder(cast(Any, load_language_model(spec, device)))
    _hide_progress_bars(transformers)
    try:
        model = sentence_transformers.SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=spec.trust_remote_code,
            local_files_only=True,
            model_kwargs={
                "dtype": getattr(torch, resolve_dtype(spec, device, embedder=True)),
                "use_safetensors": True,
            },
        )
    except (OSError, ValueError, ImportError) as error:
        raise _cannot_load(spec, "a sentence-transformers model with safetensors") from error
    return SentenceEmbedder(model, spec.name)


def _entails(spec: ModelSpec, device: str) -> EntailmentModel:
    require("torch", "transformers")
    import torch  # optional dependencies, and slow to import
    import transformers

    folder = find_model(spec).folder
    _hide_progress_bars(transformers)
    options = {"trust_remote_code": spec.trust_remote_code, "local_files_only": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=getattr(torch, resolve_dtype(spec, device)),
            use_safetensors=True,
            **options,
        )
    except (OSError, ValueError, ImportError) as error:
        raise _cannot_load(spec, "a sequence classifier with safetensors weights") from error
    return EntailmentModel(model.to(device), tokenizer, spec.name)


def _hide_progress_bars(transformers: Any) -> None:
    """Turn off the bars of `transformers`: those of downloads remain, weights load in a second."""
    transformers.utils.logging.disable_progress_bar()


def _cannot_load(spec: ModelSpec, expected: str) -> ModelError:
    trust = "" if spec.trust_remote_code else "; code of its own needs 'trust_remote_code: true'"
    return ModelError(
        f"'{spec.name}' cannot be loaded; expected {expected}{trust}. "
        "The error above says what is missing."
    )
