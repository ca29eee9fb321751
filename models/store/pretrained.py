"""Weights and tokenizers as `transformers` and `sentence-transformers` read them from a folder.

Weights are read from safetensors only, and nothing is downloaded. So loading a model runs no code
of its own, unless the recipe sets `trust_remote_code`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.printable import excerpt
from siftline.models.device_errors import is_of_device
from siftline.models.store.packages import require

if TYPE_CHECKING:  # optional dependencies, and slow to import
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_causal_model(spec: ModelSpec, folder: Path, dtype: str) -> "PreTrainedModel":
    """Load the weights of a causal language model, on the CPU.

    Args:
        spec: The model, as the recipe names it.
        folder: Holds its configuration and its weights.
        dtype: Number type of the weights.

    Raises:
        ModelError: They cannot be loaded, or a package of the extra `models` is missing.
    """
    require("torch", "transformers")
    import transformers  # an optional dependency, and slow to import

    with _failures_explained(spec, "a causal language model with safetensors weights"):
        model: PreTrainedModel = transformers.AutoModelForCausalLM.from_pretrained(
            folder, **_weight_options(dtype), **_options(spec)
        )
    return model


def load_sequence_classifier(spec: ModelSpec, folder: Path, dtype: str) -> "PreTrainedModel":
    """Load the weights of a sequence classifier, on the CPU; see :func:`load_causal_model`."""
    require("torch", "transformers")
    import transformers  # an optional dependency, and slow to import

    with _failures_explained(spec, "a sequence classifier with safetensors weights"):
        model: PreTrainedModel = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, **_weight_options(dtype), **_options(spec)
        )
    return model


def load_sentence_transformer(
    spec: ModelSpec, folder: Path, device: str, dtype: str
) -> "SentenceTransformer":
    """Load a model of sentence-transformers onto a device; see :func:`load_causal_model`."""
    require("sentence_transformers", "torch", "transformers")
    import sentence_transformers  # an optional dependency, and slow to import

    with _failures_explained(spec, "a sentence-transformers model with safetensors"):
        model = sentence_transformers.SentenceTransformer(
            str(folder), device=device, model_kwargs=_weight_options(dtype), **_options(spec)
        )
    return model


def load_tokenizer(spec: ModelSpec, folder: Path) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model.

    Args:
        spec: The model, as the recipe names it.
        folder: Holds the tokenizer's files.

    Raises:
        ModelError: It cannot be loaded, or `transformers` is missing.
    """
    require("transformers")
    import transformers  # an optional dependency, and slow to import

    with _failures_explained(spec, "a tokenizer beside its weights"):
        tokenizer: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(
            folder, **_options(spec)
        )
        # transformers 5.0 makes an empty vocabulary up where a folder has no file for it.
        files = tokenizer.vocab_files_names.values()
        if files and not any((folder / name).exists() for name in files):
            raise ValueError(f"there is no file of {', '.join(sorted(set(files)))}")
    return tokenizer


def _options(spec: ModelSpec) -> dict[str, Any]:
    return {"trust_remote_code": spec.trust_remote_code, "local_files_only": True}


def _weight_options(dtype: str) -> dict[str, Any]:
    """Return how weights are read, and turn off the bars that show it: it takes a second."""
    import torch  # optional dependencies, and slow to import
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return {"dtype": getattr(torch, dtype), "use_safetensors": True}


@contextmanager
def _failures_explained(spec: ModelSpec, expected: str) -> Iterator[None]:
    """Turn an error of the libraries inside the block into one that says what was expected."""
    try:
        yield
    except Exception as error:  # each library has its own, and safetensors one below Exception
        if is_of_device(error):
            raise  # it says nothing about the files
        trust = (
            "" if spec.trust_remote_code else "; code of its own needs 'trust_remote_code: true'"
        )
        raise ModelError(
            f"'{spec.name}' cannot be loaded; expected {expected}{trust}. "
            f"Got: {excerpt(str(error) or type(error).__name__)}"
        ) from error
