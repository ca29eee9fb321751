"""What a training needs to go on after a kill: weights, AdamW's moments, and the losses so far."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def save_state(
    path: Path, weights: Mapping[str, Any], optimizer: Any, step: int, losses: Mapping[int, float]
) -> None:
    """Write the state of a training, whole or not at all.

    Args:
        path: A safetensors file.
        weights: By name, those that are trained.
        optimizer: Their AdamW.
        step: How many steps have been made.
        losses: By step.
    """
    import safetensors.torch  # an optional dependency

    tensors = {}
    for name, weight in weights.items():
        tensors[f"weight.{name}"] = weight.detach().contiguous()
        # A weight that no row has reached yet, such as an expert's, has no state.
        for key, value in optimizer.state.get(weight, {}).items():
            tensors[f"{key}.{name}"] = value.contiguous()
    told = {"step": str(step), "losses": json.dumps(losses)}
    temporary = path.with_suffix(".tmp")
    safetensors.torch.save_file(tensors, temporary, metadata=told)
    temporary.replace(path)


def load_state(
    path: Path, weights: Mapping[str, Any], optimizer: Any
) -> tuple[int, dict[int, float]]:
    """Go back, in place, to what :func:`save_state` wrote.

    Returns:
        How many steps have been made, and the losses by step; 0 and none if there is no file.
    """
    import safetensors  # optional dependencies, and slow to import
    import torch

    if not path.exists():
        return 0, {}
    with safetensors.safe_open(path, "pt") as file, torch.no_grad():
        told = file.metadata()
        for full in file.keys():  # noqa: SIM118 (it is no mapping)
            key, _, name = full.partition(".")
            weight, value = weights[name], file.get_tensor(full)
            if key == "weight":
                weight.copy_(value)
            else:  # AdamW counts its steps on the CPU
                optimizer.state[weight][key] = value if key == "step" else value.to(weight.device)
    return int(told["step"]), {int(step): loss for step, loss in json.loads(told["losses"]).items()}
