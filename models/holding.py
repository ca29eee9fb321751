"""What was loaded from files, kept for as long as the files stay as they are.

A place holds one object, under the identity of what it was loaded from. Whoever asks for it under
another identity gets one that is loaded anew, and the old one is let go first: two may not fit.
"""

import gc
import sys
import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

Loaded = TypeVar("Loaded")


class _Held(NamedTuple):
    identity: Hashable
    value: Any


_held: dict[Hashable, _Held] = {}
_lock = threading.RLock()


def held(place: Hashable, identity: Hashable, load: Callable[[], Loaded]) -> Loaded:
    """Return what a place holds, loading it where the place is empty or holds something else.

    Args:
        place: What it is loaded for, such as a role, a model's name and a device.
        identity: What its content depends on, such as the digest of its files.
        load: Loads it.
    """
    with _lock:
        if place in _held and _held[place].identity != identity:
            del _held[place]
        if place not in _held:
            _held[place] = _Held(identity, load())
        value: Loaded = _held[place].value
        return value


def let_go(role: str) -> None:
    """Empty the places of a role, the first part of their names."""
    with _lock:
        for place in [each for each in _held if isinstance(each, tuple) and each[0] == role]:
            del _held[place]


def let_go_of_devices() -> None:
    """Empty the places of models that lie on GPUs, whose memory is wanted by something else."""
    with _lock:
        for place in [each for each in _held if _is_on_gpu(each)]:
            del _held[place]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def _is_on_gpu(place: Hashable) -> bool:
    names = [place, _held[place].identity]
    parts = [part for each in names if isinstance(each, tuple) for part in each]
    return any(isinstance(part, str) and part.startswith("cuda") for part in parts)
