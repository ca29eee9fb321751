"""Histograms of a score, kept rows beside dropped ones, as numbers for the page to draw."""

from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 32


def histogram(
    name: str, values: npt.NDArray[np.float64], keep: npt.NDArray[np.bool_]
) -> dict[str, Any] | None:
    """Count a score in bins of equal width between its 1 % and 99 % quantiles.

    Values outside fall into the outer bins, so that one outlier does not flatten the picture.

    Args:
        name: Of the score.
        values: [rows] NaN where there is none.
        keep: [rows] True for kept rows.

    Returns:
        None when there are not two distinct values; else name, low, high, bins (kept and dropped
        counts as shares of the highest bin, 0 to 1), and the counts of rows.
    """
    there = np.isfinite(values)
    values, keep = values[there], keep[there]
    if len(values) < 2 or values.min() == values.max():
        return None
    low, high = np.quantile(values, [0.01, 0.99])
    if low == high:
        low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, BINS + 1)
    clipped = np.clip(values, low, high)
    kept = np.histogram(clipped[keep], edges)[0]
    dropped = np.histogram(clipped[~keep], edges)[0]
    top = int((kept + dropped).max())
    return {
        "name": name,
        "low": float(low),
        "high": float(high),
        "bins": [(float(k) / top, float(d) / top) for k, d in zip(kept, dropped, strict=True)],
        "kept": int(keep.sum()),
        "dropped": int((~keep).sum()),
    }
