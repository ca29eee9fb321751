"""Budgets, and the units that they count: rows, or prompts with all their rows.

A budget is a whole number or a share such as `50%`, of rows or of prompts; a few selectors take
tokens too, within one row, since a knapsack has no exact answer.
"""

import contextlib
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from pydantic import BeforeValidator

from siftline.contracts.corpus import Corpus
from siftline.contracts.share import fraction_of

Unit = Literal["row", "prompt"]


def _check(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if value > 0:
            return value
    elif not (isinstance(value, float) and value == 1):  # one row, or all of them?
        with contextlib.suppress(ValueError):
            if fraction_of(value) > 0:
                return value
    if isinstance(value, float) and value == 1:
        raise ValueError(
            "got 1.0, which may be one or all; expected a whole number, or a share such as '100%'."
        )
    raise ValueError(
        f"got {value!r}; expected a whole number above 0, or a share such as '50%', 0.5 or '1/2'."
    )


Budget = Annotated[int | float | str, BeforeValidator(_check)]


def resolve_budget(budget: int | float | str, total: int) -> int:
    """Return a budget as a number: at most the total, shares rounded down but not to 0."""
    if isinstance(budget, int):
        return min(budget, total)
    return min(total, max(1, int(fraction_of(budget) * total)))


def prompt_codes(corpus: Corpus) -> npt.NDArray[np.int64]:
    """Return [rows] the number of each row's prompt, in order of first occurrence."""
    column = pc.dictionary_encode(corpus.rows["prompt_id"].combine_chunks())
    codes: npt.NDArray[np.int64] = column.indices.to_numpy().astype(np.int64)
    return codes


def unit_codes(corpus: Corpus, unit: Unit) -> npt.NDArray[np.int64]:
    """Return [rows] the number of the unit that each row belongs to: itself, or its prompt."""
    return np.arange(len(corpus)) if unit == "row" else prompt_codes(corpus)


def unit_keys(corpus: Corpus, unit: Unit) -> list[str]:
    """Return a name for each unit that depends on the data alone, in the units' order."""
    if unit == "row":
        ids: list[str] = corpus.rows["id"].to_pylist()
        return ids
    prompts: list[str] = pc.unique(corpus.rows["prompt_id"]).to_pylist()
    return prompts
