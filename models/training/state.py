"""The state of a training, to go on after a kill: weights, AdamW's moments, and the losses.

`state.json` names the file of the weights and moments, with its digest, so the two always belong
together.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from siftline.contracts import progress
from siftline.contracts.errors import DamagedError
from siftline.contracts.publishing import published, unwritable
from siftline.contracts.records import FileState, check_files, read_record, state_of, write_record

if TYPE_CHECKING:  # an optional dependency, and slow to import
    import torch

_RECORD = "state.json"
_FILES = "state-*.safetensors"
# A state is written where that takes less than this share of the time since the one before, and
# between checkpoints after so many seconds.
_SHARE = 0.1
_SECONDS = 60.0


class StateSchedule:
    """When the state of a training is written: where that costs little of its time.

    At the first checkpoint it is written in any case. A small model is trained in less time than
    the states of all its checkpoints take to write.
    """

    def __init__(self) -> None:
        self._written, self._cost = time.monotonic(), 0.0

    def is_due(self, stop: bool) -> bool:
        """Return whether to write the state now.

        Args:
            stop: Whether there is a checkpoint here.
        """
        since = time.monotonic() - self._written
        return (stop or since >= _SECONDS) and self._cost <= _SHARE * since

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Measure what writing the state in the block costs."""
        started = time.monotonic()
        yield
        self._written = time.monotonic()
        self._cost = self._written - started


def save_state(
    folder: Path,
    weights: Mapping[str, "torch.Tensor"],
    optimizer: "torch.optim.Optimizer",
    step: int,
    losses: Mapping[int, float],
) -> None:
    """Write the state of a training, in the place of the one before, whole or not at all.

    Args:
        folder: Where to keep it.
        weights: The trained weights, by name.
        optimizer: Their AdamW.
        step: Number of steps that have been made.
        losses: Loss of each step so far, by its number from 1.

    Raises:
        RunError: It cannot be written.
    """
    import safetensors.torch  # an optional dependency

    tensors = {}
    for name, weight in weights.items():
        tensors[f"weight.{name}"] = weight.detach().contiguous()
        # A weight that no row has reached yet, such as an expert's, has no state.
        for key, value in optimizer.state.get(weight, {}).items():
            tensors[f"{key}.{name}"] = value.contiguous()
    path = folder / _FILES.replace("*", f"{step:07d}")
    with writing_weights(path), published(path) as temporary:
        safetensors.torch.save_file(tensors, temporary)
    state = {path.name: state_of(path).model_dump()}
    told = {str(number): loss for number, loss in losses.items()}
    write_record(folder / _RECORD, {"step": step, "losses": told, "files": state})
    for other in folder.glob(_FILES):
        if other != path:
            other.unlink()


def load_state(
    folder: Path, weights: Mapping[str, "torch.Tensor"], optimizer: "torch.optim.Optimizer"
) -> tuple[int, dict[int, float]]:
    """Restore, in place, the weights and the optimizer that :func:`save_state` wrote.

    Args:
        folder: Where they were written.
        weights: The weights to overwrite, by name.
        optimizer: Their AdamW.

    Returns:
        The number of steps that had been made, and the losses by step; 0 and none if there is no
        state.

    Raises:
        DamagedError: The state is not as it was written; nothing is restored.
    """
    import safetensors  # optional dependencies, and slow to import
    import torch

    if not (folder / _RECORD).exists():
        return 0, {}
    record = read_record(folder / _RECORD)
    files = {name: FileState.model_validate(state) for name, state in record["files"].items()}
    check_files(folder, files)
    (name,) = files
    with safetensors.safe_open(folder / name, "pt") as file, torch.no_grad():
        for full in file.keys():  # noqa: SIM118 (it is no mapping)
            key, _, name = full.partition(".")
            weight, value = weights[name], file.get_tensor(full)
            if key == "weight":
                weight.copy_(value)
            else:  # AdamW counts its steps on the CPU, unless it is fused
                here = key == "step" and not optimizer.defaults.get("fused")
                optimizer.state[weight][key] = value if here else value.to(weight.device)
    return record["step"], {int(step): loss for step, loss in record["losses"].items()}


def remove_state(folder: Path) -> None:
    """Remove a state, if there is one."""
    (folder / _RECORD).unlink(missing_ok=True)
    for path in folder.glob(_FILES):
        path.unlink()


def begin_anew(folder: Path, error: DamagedError) -> None:
    """Remove a state that cannot be gone on from, and say so."""
    progress.warn(error.mended("The training begins anew."))
    remove_state(folder)


@contextlib.contextmanager
def writing_weights(path: Path) -> Iterator[None]:
    """Turn a failure of `safetensors` to write into one sentence that names the path.

    Raises:
        RunError: The disk is full, the path is read only, or the like.
    """
    import safetensors  # an optional dependency

    try:
        yield
    except safetensors.SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise unwritable(path, int(number[1]) if number else None, str(error)) from error
