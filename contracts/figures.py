"""Figures for reports: means, quartiles and shares, rounded to four decimals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

DECIMALS = 4


def mean(values: npt.NDArray[Any]) -> float | None:
    """Return the mean; None where there is nothing."""
    return round(float(values.mean()), DECIMALS) if len(values) else None


def quartiles(values: npt.NDArray[Any]) -> list[float]:
    """Return the three quartiles of what is finite; an empty list where nothing is."""
    known = values[np.isfinite(values)]
    if not len(known):
        return []
    return [round(float(value), DECIMALS) for value in np.quantile(known, (0.25, 0.5, 0.75))]


def shares(names: Sequence[str] | npt.NDArray[np.str_]) -> dict[str, float]:
    """Return the share of each name, the names sorted; '' counts as `not stated`."""
    values, counts = np.unique([name or "not stated" for name in names], return_counts=True)
    return {
        str(value): round(int(count) / len(names), DECIMALS)
        for value, count in zip(values, counts, strict=True)
    }
