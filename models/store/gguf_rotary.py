"""How a GGUF file turns the places of tokens, where `transformers` does not read it.

Llama 3.1 and its successors divide the slow turns by factors, so that longer contexts fit. GGUF
keeps the factors as a tensor, which `transformers` passes over; what remains would be another
model. Those of Llama 3 are a function of one number, by which they are known again; any others are
refused. The formula is that of `transformers`, `_compute_llama3_parameters`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siftline.contracts.errors import ModelError
from siftline.models.store.gguf_metadata import rotary_factors, rotary_scaling

_FACTORS = (8.0, 32.0)  # of Llama 3.1 and 3.3, and of 3.2
_LOW, _HIGH, _CONTEXT = 1.0, 4.0, 8192
_CLOSE = 1e-3  # they are stored in float32


def rotary_parameters(gguf: Path, known: dict[str, Any]) -> dict[str, Any]:
    """Return the rotary parameters of a model, as its configuration states them.

    Args:
        gguf: The file.
        known: Those that `transformers` has read.

    Raises:
        ModelError: The file has others that cannot be stated.
    """
    if known.get("rope_type", "default") != "default":
        return known
    factors, scaling = rotary_factors(gguf), rotary_scaling(gguf)
    for factor in _FACTORS:
        if factors and _are_close(factors, llama3_factors(factor, len(factors), known)):
            return {
                **known,
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": _LOW,
                "high_freq_factor": _HIGH,
                "original_max_position_embeddings": _CONTEXT,
            }
    if any(factor != 1 for factor in factors) or scaling not in ("", "none"):
        raise ModelError(
            f"'{gguf.name}' scales the places of its tokens ({scaling or 'by factors'}) in a way "
            "that transformers does not read from GGUF; expected none, or that of Llama 3. Use "
            "the model's safetensors, or serve the file by a command that reads it."
        )
    return known


def llama3_factors(factor: float, count: int, known: dict[str, Any]) -> list[float]:
    """Return by what Llama 3 divides each turn, from the fastest to the slowest."""
    found = []
    for number in range(count):
        wave = 2 * math.pi * known["rope_theta"] ** (number / count)
        smooth = (_CONTEXT / wave - _LOW) / (_HIGH - _LOW)
        share = min(max(smooth, 0.0), 1.0)
        found.append(1 / ((1 - share) / factor + share))
    return found


def _are_close(some: Sequence[float], others: Sequence[float]) -> bool:
    return all(
        math.isclose(one, other, rel_tol=_CLOSE) for one, other in zip(some, others, strict=True)
    )
