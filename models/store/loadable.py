"""Whether a folder holds all that is read when its model is loaded, and nothing that is unsafe."""

import re
from pathlib import Path

from siftline.contracts.errors import ModelError
from siftline.models.store.digests import is_embedder


def require_loadable(folder: Path, name: str, with_code: bool) -> None:
    """Check that all that is read when a model is loaded is in its folder, and no pickle.

    Raises:
        ModelError: It is not.
    """
    if not (folder / "config.json").is_file() and not is_embedder(folder):
        raise ModelError(
            f"The folder '{name}' has no 'config.json'; expected a model that was saved "
            "with save_pretrained, or a GGUF file."
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
