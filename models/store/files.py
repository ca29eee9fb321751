"""The files of a model: where they are, how they get there, and a digest of what matters.

A model is a folder, a repository on the Hugging Face Hub, or built in. The digest of a large file
is computed once and remembered in the cache folder.
"""

import hashlib
import os
import sys
import uuid
from pathlib import Path
from typing import NamedTuple

from siftline.contracts.errors import ModelError, nearest
from siftline.contracts.model_spec import ModelSpec
from siftline.models.store.builtin import TOY, WHEELS, builtin_folder, builtin_name
from siftline.models.store.packages import require

# The files that weights, architecture and tokenizer are read from. No pickles.
_WEIGHTS = ("*.safetensors", "*.gguf")
_SETTINGS = (
    "config.json",
    "*/config.json",  # of the modules of an embedder
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.*",
    "vocab.*",
    "merges.txt",
    "*.model",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
_CODE = ("*.py",)  # counts only where it may run
_OTHER_FORMATS = ("onnx/*", "openvino/*", "original/*")


class ModelFolder(NamedTuple):
    """The folder of a model.

    Attributes:
        name: Hub id or built-in name; `folder` for a folder, whose path says nothing.
        revision: The commit of a Hub model, otherwise an empty string.
        folder: Path of the folder.
    """

    name: str
    revision: str
    folder: Path


def cache_folder() -> Path:
    """Return where converted models and digests are kept: `SIFTLINE_CACHE`, or the user's cache."""
    chosen = os.environ.get("SIFTLINE_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "siftline"
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "siftline"


def find_model(spec: ModelSpec) -> ModelFolder:
    """Find the files of a model, and download those of a Hub model that are not here yet.

    Raises:
        ModelError: They cannot be found.
    """
    builtin = builtin_name(spec.name)
    if builtin is not None:
        return ModelFolder(spec.name, "", builtin_folder(builtin))
    local = Path(spec.name).expanduser()
    if local.is_dir():
        _require_config(local, spec.name)
        return ModelFolder("folder", "", local)
    if spec.name in (*WHEELS, TOY):
        raise ModelError(f"There is no folder '{spec.name}'. Did you mean 'builtin:{spec.name}'?")
    if spec.name.startswith((".", "/", "~")) or spec.name.count("/") != 1:
        hint = nearest(spec.name, [f"builtin:{name}" for name in WHEELS])
        raise ModelError(
            f"There is no folder '{spec.name}'; expected a folder, a Hub id such as 'org/model', "
            f"or a built-in model.{hint}"
        )
    folder = _downloaded(spec)
    return ModelFolder(spec.name, folder.name, folder)


def is_embedder(folder: Path) -> bool:
    """Return whether a folder is in the format of sentence-transformers."""
    return (folder / "modules.json").is_file()


def digest_of(model: ModelFolder, with_code: bool = False) -> str:
    """Return a SHA-256 over weights, configuration and tokenizer of a model.

    Args:
        model: The model.
        with_code: Include its Python files.

    Returns:
        64 hex digits, which do not depend on where the folder is.

    Raises:
        ModelError: The folder has no weights.
    """
    weights = {path for pattern in _WEIGHTS for path in model.folder.glob(pattern)}
    if not weights:
        raise ModelError(
            f"There are no safetensors weights in '{model.folder}'; "
            "save the model with safe_serialization, or use another revision of it."
        )
    patterns = (*_SETTINGS, *_CODE) if with_code else _SETTINGS
    others = {path for pattern in patterns for path in model.folder.glob(pattern)}
    total = hashlib.sha256()
    for path in sorted(weights | others):
        name = path.relative_to(model.folder).as_posix()
        total.update(f"{name} {file_digest(path)}\n".encode())
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, remembered as long as its size and time stay the same."""
    state = path.resolve().stat()
    identity = f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"
    known = cache_folder() / "digests" / hashlib.sha256(identity.encode()).hexdigest()
    if known.is_file():
        return known.read_text(encoding="ascii")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    known.parent.mkdir(parents=True, exist_ok=True)
    temporary = known.with_name(f".{uuid.uuid4().hex}.tmp")
    temporary.write_text(digest, encoding="ascii")
    temporary.replace(known)
    return digest


def _require_config(folder: Path, name: str) -> None:
    if not (folder / "config.json").is_file() and not is_embedder(folder):
        raise ModelError(
            f"The folder '{name}' has no 'config.json'; expected a model that was saved "
            "with save_pretrained."
        )


def _downloaded(spec: ModelSpec) -> Path:
    """Return the snapshot of a Hub model; its last part is the commit."""
    require("huggingface_hub")
    import huggingface_hub  # comes with the optional dependencies
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    code = _CODE if spec.trust_remote_code else ()
    try:
        folder = huggingface_hub.snapshot_download(
            spec.name,
            revision=spec.revision,
            allow_patterns=["*.safetensors", "*.safetensors.index.json", *_SETTINGS, *code],
            ignore_patterns=list(_OTHER_FORMATS),
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        at = f" at revision '{spec.revision}'" if spec.revision else ""
        raise ModelError(
            f"The model '{spec.name}'{at} was found neither on the Hub nor in its local cache "
            f"({type(error).__name__}); check the name and the network, log in if it is gated, "
            "or give a folder or 'builtin:smollm2'."
        ) from error
    _require_config(Path(folder), spec.name)
    return Path(folder)
