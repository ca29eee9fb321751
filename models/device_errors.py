"""What a device says when it fails, told in one sentence: no memory is left, or it is lost.

Whoever runs a model does it inside :func:`device_errors_told`. A batch that does not fit is cut in
two where it can be (:mod:`siftline.models.engine.passes`, :mod:`siftline.models.batching`); what
reaches this is what cannot be cut: the weights themselves, or a single row.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from siftline.contracts.errors import ModelError
from siftline.contracts.printable import excerpt

# On a CPU, and in libraries of CUDA, a lack of memory is a RuntimeError with these words.
_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|_ALLOC_FAILED|std::bad_alloc",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"\bCUDA (?:driver )?error\b|\bHIP error\b|\bNCCL error\b"
    r"|\bCU(?:BLAS|DNN|SPARSE|SOLVER)_STATUS_"
    r"|device-side assert|unspecified launch failure|uncorrectable ECC|illegal memory access"
    r"|has fallen off the bus|\bcuda unknown error",
    re.IGNORECASE,
)
_ASSERTED = re.compile(r"device-side assert", re.IGNORECASE)


@contextmanager
def device_errors_told(
    name: str, doing: str, device: str = "", weights: Callable[[], int] | None = None
) -> Iterator[None]:
    """Turn a failure of a device inside the block into one sentence.

    Args:
        name: The model, or whatever computes, for the message.
        doing: What was done with it, as in `was loaded`.
        device: Where; empty for the one that is at hand.
        weights: Returns the bytes of the model's weights, if they can be told.

    Raises:
        ModelError: The device has no memory left, or does not answer any more. Every other error
            passes.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise ModelError(_does_not_fit(name, doing, device, weights, error)) from error
        if is_lost(error):
            raise ModelError(_is_lost(name, doing, error)) from error
        raise


def is_of_device(error: BaseException) -> bool:
    """Return whether an error is a device's, and says nothing about what it computed."""
    return is_out_of_memory(error) or is_lost(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device, or this machine, has no memory left."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError):
        return True
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


def is_lost(error: BaseException) -> bool:
    """Return whether an error says that a device failed, after which it answers nothing more."""
    torch = sys.modules.get("torch")
    accelerator = getattr(torch, "AcceleratorError", None)
    if accelerator is not None and isinstance(error, accelerator):
        return True
    return isinstance(error, RuntimeError) and bool(_LOST.search(str(error)))


def in_one_line(error: BaseException) -> str:
    """Return the kind of an error, and the first line of what it says, if anything."""
    return ": ".join(filter(None, (type(error).__name__, _first_line(error))))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "").rstrip(". ")


def _does_not_fit(
    name: str,
    doing: str,
    device: str,
    weights: Callable[[], int] | None,
    error: BaseException,
) -> str:
    size = f" ({_gigabytes(weights())} of weights)" if weights is not None else ""
    free = _free_bytes(device)
    left = f", of which {_gigabytes(free)} are free" if free is not None else ""
    return (
        f"'{name}'{size} does not fit the memory of {device or 'the device'}{left}, as it {doing}: "
        f"{excerpt(str(error) or type(error).__name__, 160)} End what else uses it, lower "
        "--batch-tokens or 'max_tokens', name a smaller model or number type, or another --device."
    )


def _is_lost(name: str, doing: str, error: BaseException) -> str:
    cause = (
        "A token or a place beyond the model's is the usual cause; --device cpu says which."
        if _ASSERTED.search(str(error))
        else "See what `nvidia-smi` and the system's log say of it."
    )
    said = excerpt(_first_line(error) or type(error).__name__, 200)
    return (
        f"The device failed while '{name}' {doing}: {said}. "
        f"{cause} What was scored is kept: run again, in a new process, and it goes on from there."
    )


def _free_bytes(device: str) -> int | None:
    """Return the free memory of a device, in bytes; None where it cannot be told."""
    torch = sys.modules.get("torch")
    try:
        if torch is not None and device.startswith("cuda") and torch.cuda.is_initialized():
            return int(torch.cuda.mem_get_info(device)[0])
        if not device.startswith("cuda"):
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (RuntimeError, ValueError, OSError, AttributeError):
        pass  # a device that has failed may say nothing
    return None


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
