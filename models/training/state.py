"""The state of a training, to go on after a kill: weights, AdamW's moments, and the losses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # an optional dependency, and slow to import
    import torch


def save_state(
    path: Path,
    weights: Mapping[str, "torch.Tensor"],
    optimizer: "torch.optim.Optimizer",
    step: int,
    losses: Mapping[int, float],
) -> None:
    """Write the state of a training, whole or not at all.

    Args:
        path: The safetensors file to write.
        weights: The trained weights, by name.
        optimizer: Their AdamW.
        step: Number of steps that have been made.
        losses: Loss of each step so far, by its number from 1.
    """
    import safetensors.torch  # an optional dependency

    tensors = {}
    for name, weight in weights.items():
        tensors[f"weight.{name}"] = weight.detach().contiguous()
        # A weight that no row has reached yet, such as an expert's, has no state.
        for key, value in optimizer.state.get(weight, {}).items():
            tensors[f"{key}.{name}"] = value.contiguous()
    metadata = {"step": str(step), "losses": json.dumps(losses)}
    temporary = path.with_suffix(".tmp")
    safetensors.torch.save_file(tensors, temporary, metadata=metadata)
    temporary.replace(path)


def load_state(
    path: Path, weights: Mapping[str, "torch.Tensor"], optimizer: "torch.optim.Optimizer"
) -> tuple[int, dict[int, float]]:
    """Restore, in place, the weights and the optimizer that :func:`save_state` wrote.

    Args:
        path: The file that was written; it need not exist.
        weights: The weights to overwrite, by name.
        optimizer: Their AdamW.

    Returns:
        The number of steps that had been made, and the losses by step; 0 and none if there is no
        file.
    """
    import safetensors  # optional dependencies, and slow to import
    import torch

    if not path.exists():
        return 0, {}
    with safetensors.safe_open(path, "pt") as file, torch.no_grad():
        metadata = file.metadata()
        for full in file.keys():  # noqa: SIM118 (it is no mapping)
            key, _, name = full.partition(".")
            weight, value = weights[name], file.get_tensor(full)
            if key == "weight":
                weight.copy_(value)
            else:  # AdamW counts its steps on the CPU
                optimizer.state[weight][key] = value if key == "step" else value.to(weight.device)
    losses = json.loads(metadata["losses"])
    return int(metadata["step"]), {int(step): loss for step, loss in losses.items()}
