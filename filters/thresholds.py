"""Thresholds of a score: over the whole corpus, or within each source or task.

Open-ended prompts have low consistency even where the response is good, so one threshold for all
deletes whole tasks; within groups, each loses its own worst rows.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from siftline.pipelines.config import Config
from siftline.pipelines.corpus import Corpus

Group = Literal["corpus", "source", "task"]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Threshold(Config):
    """Which scores pass.

    A score passes above the threshold, strictly, as in the paper. Where the threshold is the
    largest score of its group, and so nothing would be left, scores equal to it pass too.

    Attributes:
        policy: `median` (the paper's), `quantile` or `absolute`.
        value: The quantile, as 0.3 to drop the lowest 30 %, or the absolute threshold.
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
        threshold: [rows] What each row was held to; NaN in groups without any score.
        ties: Names of the groups in which scores equal to the threshold pass.
    """

    rows: Bools
    threshold: Floats
    ties: tuple[str, ...]


def passing(threshold: Threshold, scores: Floats, groups: npt.NDArray[np.object_]) -> Passed:
    """Hold scores to a threshold.

    Args:
        threshold: Which.
        scores: [rows] NaN where there is none; these neither pass nor count.
        groups: [rows] Name of each row's group.
    """
    rows = np.zeros(len(scores), dtype=bool)
    limits = np.full(len(scores), np.nan)
    ties = []
    for name in sorted(set(groups)):
        mine = groups == name
        known = scores[mine & np.isfinite(scores)]
        if not len(known):
            continue
        limit = _limit(threshold, known)
        limits[mine] = limit
        if threshold.policy != "absolute" and limit >= known.max():
            ties.append(name)
            rows |= mine & (scores >= limit)
        else:
            rows |= mine & (scores > limit)
    if threshold.floor is not None:
        rows &= scores > threshold.floor
        limits = np.fmax(limits, threshold.floor)
    return Passed(rows, limits, tuple(ties))


def group_names(
    corpus: Corpus, per: Literal["corpus", "source", "task"]
) -> npt.NDArray[np.object_]:
    """Return [rows] the name of each row's group."""
    if per == "corpus":
        return np.full(len(corpus), "corpus", dtype=object)
    sources = corpus.rows["source"].to_pylist()
    if per == "source":
        return np.array(sources, dtype=object)
    tasks = corpus.rows["task"].to_pylist()
    names = [f"{source}/{task or ''}" for source, task in zip(sources, tasks, strict=True)]
    return np.array(names, dtype=object)


def vanishing(kept: Bools, groups: npt.NDArray[np.object_], share: float) -> list[str]:
    """Return the groups of which less than a share is kept."""
    return [str(name) for name in sorted(set(groups)) if kept[groups == name].mean() < share]


def _limit(threshold: Threshold, known: Floats) -> float:
    if threshold.policy == "absolute":
        return float(threshold.value or 0)
    return float(np.quantile(known, 0.5 if threshold.value is None else threshold.value))
