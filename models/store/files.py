"""The files of a model: where they are, and how they get there.

A model is a folder, a repository on the Hugging Face Hub, or built in.
"""

import functools
import re
from pathlib import Path

from siftline.contracts.errors import ModelError, nearest
from siftline.contracts.model_spec import ModelSpec
from siftline.models.store.builtin import TOY, WHEELS, builtin_folder, builtin_name
from siftline.models.store.digests import (
    CODE,
    IGNORED,
    IGNORED_FOLDERS,
    SETTINGS,
    ModelFolder,
    is_embedder,
)
from siftline.models.store.packages import require

_COMMIT = re.compile("[0-9a-f]{40}")


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
        _require_loadable(local, spec.name, spec.trust_remote_code)
        return ModelFolder("folder", "", local)
    if spec.name in (*WHEELS, TOY):
        raise ModelError(f"There is no folder '{spec.name}'. Did you mean 'builtin:{spec.name}'?")
    if spec.name.startswith((".", "/", "~")) or spec.name.count("/") != 1:
        hint = nearest(spec.name, [f"builtin:{name}" for name in WHEELS])
        raise ModelError(
            f"There is no folder '{spec.name}'; expected a folder, a Hub id such as 'org/model', "
            f"or a built-in model.{hint}"
        )
    folder = _snapshot(spec.name, spec.revision, spec.trust_remote_code)
    return ModelFolder(spec.name, folder.name, folder)


def _require_loadable(folder: Path, name: str, with_code: bool) -> None:
    """Check that all that is read when a model is loaded is in its folder, and no pickle.

    Raises:
        ModelError: It is not.
    """
    if not (folder / "config.json").is_file() and not is_embedder(folder):
        raise ModelError(
            f"The folder '{name}' has no 'config.json'; expected a model that was saved "
            "with save_pretrained."
        )
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"'{name}' holds an adapter; expected whole weights. Merge it into its model with "
            "merge_and_unload, and save that."
        )
    for module in sorted(folder.glob("*/pytorch_model.bin")) if is_embedder(folder) else ():
        if not module.with_name("model.safetensors").is_file():
            raise ModelError(
                f"'{name}' keeps weights of its module '{module.parent.name}' in a pickle; "
                "expected safetensors. Load it where you trust it, and save it again."
            )
    if with_code and (elsewhere := _code_elsewhere(folder)):
        raise ModelError(
            f"'{name}' runs code of another repository, '{elsewhere}', whose bytes its fingerprint "
            "could not hold; expected its own. Copy the files into a folder with the model, and "
            "take the repository's name out of 'auto_map'."
        )


def _code_elsewhere(folder: Path) -> str:
    """Return the repository that a model's settings take code from; empty if none but its own."""
    for name in ("config.json", "tokenizer_config.json", "modules.json"):
        if (folder / name).is_file():
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            if match := re.search(r'"([\w.-]+/[\w.-]+)--[\w.]+"', text):
                return match[1]
    return ""


def _snapshot(name: str, revision: str | None, with_code: bool) -> Path:
    """Return the snapshot of a Hub model; its last part is the commit."""
    if revision and _COMMIT.fullmatch(revision):
        return _snapshot_of_commit(name, revision, with_code)
    return _downloaded(name, revision, with_code)


@functools.cache  # a commit stays what it is, and asking the Hub for it takes time
def _snapshot_of_commit(name: str, commit: str, with_code: bool) -> Path:
    return _downloaded(name, commit, with_code)


def _downloaded(name: str, revision: str | None, with_code: bool) -> Path:
    require("huggingface_hub")
    import huggingface_hub  # comes with the optional dependencies
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = huggingface_hub.snapshot_download(
            name,
            revision=revision,
            allow_patterns=["*.safetensors", *SETTINGS, *(CODE if with_code else ())],
            ignore_patterns=_not_downloaded(),
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        at = f" at revision '{revision}'" if revision else ""
        raise ModelError(
            f"The model '{name}'{at} was found neither on the Hub nor in its local cache "
            f"({type(error).__name__}); check the name and the network, log in if it is gated, "
            "or give a folder or 'builtin:smollm2'."
        ) from error
    _require_loadable(Path(folder), name, with_code)
    return Path(folder)


def _not_downloaded() -> list[str]:
    """Return patterns of what is left on the Hub, at any depth of a repository."""
    folders = [f"{name}/*" for name in IGNORED_FOLDERS]
    return [pattern for each in (*IGNORED, *folders) for pattern in (each, f"*/{each}")]
