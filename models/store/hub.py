"""The files of a model on the Hugging Face Hub, downloaded where they are not here yet."""

import functools
import glob
import re
from collections.abc import Sequence
from pathlib import Path

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.store.digests import (
    CODE,
    GGUF,
    IGNORED,
    IGNORED_FOLDERS,
    SETTINGS,
    ModelFolder,
    is_embedder,
    parts_of,
)
from siftline.models.store.gguf_files import chosen_gguf
from siftline.models.store.loadable import require_loadable
from siftline.models.store.packages import require

_COMMIT = re.compile("[0-9a-f]{40}")


def snapshot(spec: ModelSpec) -> ModelFolder:
    """Return the files of a Hub model at its revision, after those that lack were downloaded.

    Raises:
        ModelError: They cannot be found, or are several GGUF models of which none is named.
    """
    if spec.revision and _COMMIT.fullmatch(spec.revision):
        return _at_commit(spec.name, spec.revision, spec.trust_remote_code, spec.file)
    return _found(spec.name, spec.revision, spec.trust_remote_code, spec.file)


@functools.cache  # a commit stays what it is, and asking the Hub for it takes time
def _at_commit(name: str, commit: str, with_code: bool, file: str | None) -> ModelFolder:
    return _found(name, commit, with_code, file)


def _found(name: str, revision: str | None, with_code: bool, file: str | None) -> ModelFolder:
    if file is not None:
        folder = _downloaded(name, revision, [*map(glob.escape, parts_of(file)), *SETTINGS])
        return _gguf_in(folder, name, _names_below(folder), file)
    wanted = ["*.safetensors", *SETTINGS, *(CODE if with_code else ())]
    folder = _downloaded(name, revision, wanted)
    if not is_embedder(folder) and not any(folder.glob("*.safetensors")):
        names = _listed(name, folder)
        first = chosen_gguf(names, None, f"The repository '{name}'")
        if first is not None:
            _downloaded(name, folder.name, [glob.escape(part) for part in parts_of(first)])
            return _gguf_in(folder, name, _names_below(folder), first)
    require_loadable(folder, name, with_code)
    return ModelFolder(name, folder.name, folder)


def _gguf_in(folder: Path, name: str, names: Sequence[str], file: str) -> ModelFolder:
    first = chosen_gguf(names, file, f"The repository '{name}'")
    assert first is not None
    return ModelFolder(name, folder.name, (folder / first).parent, Path(first).name)


def _listed(name: str, folder: Path) -> Sequence[str]:
    """Return the files of a repository at the commit of a folder; offline, those that are here."""
    import httpx  # both come with the optional dependencies
    import huggingface_hub

    try:
        found = huggingface_hub.HfApi().model_info(name, revision=folder.name, timeout=30)
    except (httpx.HTTPError, OSError):  # those of the Hub's client are of these kinds
        return _names_below(folder)
    return [file.rfilename for file in found.siblings or ()]


def _names_below(folder: Path) -> Sequence[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob(GGUF)]


def _downloaded(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Return the snapshot of a Hub model, with the files that are wanted; its name is the commit.

    Raises:
        ModelError: It is neither on the Hub nor here.
    """
    require("huggingface_hub")
    import huggingface_hub  # comes with the optional dependencies
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = huggingface_hub.snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(patterns),
            ignore_patterns=_not_downloaded(),
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        at = f" at revision '{revision}'" if revision else ""
        raise ModelError(
            f"The model '{name}'{at} was found neither on the Hub nor in its local cache "
            f"({type(error).__name__}); check the name and the network, log in if it is gated, "
            "or give a folder or 'builtin:smollm2'."
        ) from error
    return Path(folder)


def _not_downloaded() -> list[str]:
    """Return patterns of what is left on the Hub, at any depth of a repository."""
    folders = [f"{name}/*" for name in IGNORED_FOLDERS]
    return [pattern for each in (*IGNORED, *folders) for pattern in (each, f"*/{each}")]
