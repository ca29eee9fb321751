"""Thresholds of a score: over the whole corpus, or within each source or task.

Open-ended prompts have low consistency even where the response is good, so one threshold for all
deletes whole tasks. Thresholds within groups drop the worst rows of each.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from siftline.contracts.config import Config
from siftline.contracts.corpus import Corpus

Group = Literal["corpus", "source", "task"]
_DIGITS = 6
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Threshold(Config):
    """Which scores pass.

    A score passes above the threshold, strictly, as in the paper. Where the threshold is the
    largest score of its group, and so nothing would be left, scores equal to it pass too. Scores
    are compared rounded to 1e-6, so that the last bits, which depend on the batch, decide nothing.

    Attributes:
        policy: `median` (the paper's), `quantile` or `absolute`.
        value: The quantile, as 0.3 to drop the lowest 30 % (0 drops none), or the absolute
            threshold.
        per: The group in which median and quantile are taken: `corpus`, `source` or `task` (of a
            source; rows without a task are a group of their own).
        floor: What is not above it never passes, whatever the group; None for no floor.
    """

    policy: Literal["median", "quantile", "absolute"] = "median"
    value: float | None = None
    per: Group = "source"
    floor: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _value_fits(self) -> "Threshold":
        if self.policy == "median" and self.value is not None:
            raise ValueError("'value' belongs to policy 'quantile' or 'absolute', not 'median'.")
        if self.policy != "median" and (self.value is None or not 0 <= self.value <= 1):
            raise ValueError(f"policy '{self.policy}' needs 'value', a number from 0 to 1.")
        return self


class Passed(NamedTuple):
    """The result of :func:`passing`.

    Attributes:
        rows: [rows] True where the score passes; false where there is none.
        threshold: [rows] The threshold of each row's group; NaN in groups without any score.
        ties: Names of the groups in which scores equal to the threshold pass.
    """

    rows: Bools
    threshold: Floats
    ties: tuple[str, ...]


def passing(threshold: Threshold, scores: Floats, groups: npt.NDArray[np.object_]) -> Passed:
    """Hold scores to a threshold.

    Args:
        threshold: Which scores pass.
        scores: [rows] NaN where there is none; these neither pass nor count.
        groups: [rows] Name of each row's group.
    """
    scores = np.round(scores, _DIGITS)
    drops_none = threshold.policy == "quantile" and threshold.value == 0
    rows = np.zeros(len(scores), dtype=bool)
    limits = np.full(len(scores), np.nan)
    ties = []
    for name, of_group in members(groups).items():
        known = scores[of_group][np.isfinite(scores[of_group])]
        if not len(known):
            continue
        limit = round(_limit(threshold, known), _DIGITS)
        limits[of_group] = limit
        tie = threshold.policy != "absolute" and limit >= known.max() > 0
        if tie and not drops_none:
            ties.append(name)
        above = scores[of_group] > limit
        rows[of_group] = scores[of_group] >= limit if tie or drops_none else above
    if threshold.floor is not None:
        rows &= scores > threshold.floor
        limits = np.fmax(limits, threshold.floor)
    return Passed(rows, limits, tuple(ties))


def group_names(corpus: Corpus, per: Group) -> npt.NDArray[np.object_]:
    """Return [rows] the name of each row's group."""
    if per == "corpus":
        return np.full(len(corpus), "corpus", dtype=object)
    sources = corpus.rows["source"].to_pylist()
    if per == "source":
        return np.array(sources, dtype=object)
    tasks = corpus.rows["task"].to_pylist()
    pairs = zip(sources, tasks, strict=True)
    names = [f"{source}, task {task}" if task else source for source, task in pairs]
    return np.array(names, dtype=object)


def members(groups: npt.NDArray[np.object_]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the rows of each group, by name, the names sorted."""
    names, codes, counts = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    return dict(zip(names.tolist(), rows, strict=True))


def vanishing(kept: Bools, groups: npt.NDArray[np.object_], share: float, fewest: int) -> list[str]:
    """Return the groups, of at least `fewest` rows, of which less than a share is kept."""
    return [
        name
        for name, rows in members(groups).items()
        if len(rows) >= fewest and kept[rows].mean() < share
    ]


def _limit(threshold: Threshold, known: Floats) -> float:
    if threshold.policy == "absolute":
        return float(threshold.value or 0)
    return float(np.quantile(known, 0.5 if threshold.value is None else threshold.value))
