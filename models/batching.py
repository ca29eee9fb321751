"""Batches of texts on a device: how many tokens they may have, and what is done where none fits."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from siftline.contracts.errors import ModelError
from siftline.models.device_errors import device_errors_told
from siftline.models.likelihood import BATCH_TOKENS

Item = TypeVar("Item")
# A GPU takes as many tokens as fit, found by halving; on two cores 2,048 are the fastest.
_GPU_TOKENS = 65536


def batch_tokens(device: str) -> int:
    """Return the most tokens of a batch on a kind of device (`cpu`, `cuda`) unless a user says."""
    return _GPU_TOKENS if device == "cuda" else BATCH_TOKENS


def run_in_halves(
    batches: Sequence[Sequence[Item]], run: Callable[[Sequence[Item]], None], what: str
) -> int:
    """Run batches in their order, and those that do not fit the device's memory in two halves.

    Args:
        batches: The batches, none of them empty.
        run: Computes a batch, and keeps what it gives.
        what: What is computed by which model on which device, for the message.

    Returns:
        The number of batches that were computed.

    Raises:
        ModelError: A batch of a single item does not fit, or the device is lost.
    """
    with device_errors_told(what.strip("'"), "was run"):
        return _run_in_halves(batches, run, what)


def _run_in_halves(
    batches: Sequence[Sequence[Item]], run: Callable[[Sequence[Item]], None], what: str
) -> int:
    import torch  # an optional dependency, and slow to import

    waiting, done = list(batches[::-1]), 0
    while waiting:
        batch = waiting.pop()
        try:
            run(batch)
            done += 1
            continue
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise ModelError(
                    f"A single text does not fit the device's memory in {what}; name a smaller "
                    "model, or free the device's memory."
                ) from error
        # Outside the handler, whose traceback would keep the tensors alive.
        torch.cuda.empty_cache()
        half = (len(batch) + 1) // 2
        waiting += [batch[half:], batch[:half]]
    return done
