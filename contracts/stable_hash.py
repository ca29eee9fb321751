"""Random numbers that are a function of a key: the coin behind every random choice.

A row's number depends neither on the other rows nor on their order. So a choice by the smallest
numbers is random, the same every night, and kept by a larger budget.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def stable_hash(keys: Sequence[str], seed: int) -> npt.NDArray[np.uint64]:
    """Return [keys] 64 random-looking bits each, which depend on the key and the seed alone."""
    digests = b"".join(
        hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest() for key in keys
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
