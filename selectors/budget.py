"""What the selectors share: budgets, and the columns of a corpus as arrays.

A budget is a whole number or a share such as `50%`, of rows or of prompts; a few selectors take
tokens too, within one row, since a knapsack has no exact answer.
"""

import hashlib
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator

from siftline.pipelines.corpus import Corpus

Unit = Literal["row", "prompt"]


def _check(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?%", value):
        if 0 < float(value[:-1]) <= 100:
            return value
        raise ValueError(f"got {value!r}; expected a share above 0% and up to 100%.")
    raise ValueError(f"got {value!r}; expected a whole number above 0, or a share such as '50%'.")


Budget = Annotated[int | str, BeforeValidator(_check)]


def resolve_budget(budget: int | str, total: int) -> int:
    """Return a budget as a number: at most the total, shares rounded down but not to 0."""
    if isinstance(budget, int):
        return min(budget, total)
    share = Fraction(budget[:-1]) / 100  # exact: 0.29 * 100 is 28.999... in floating point
    return min(total, max(1, int(share * total)))


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


def stable_hash(keys: list[str], seed: int) -> npt.NDArray[np.uint64]:
    """Return 64 random-looking bits for each key, which depend on the key and the seed alone."""
    digests = b"".join(
        hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest() for key in keys
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def mean_logprob(corpus: Corpus) -> npt.NDArray[np.float64]:
    """Return [rows] the mean log-likelihood of the response's tokens, NaN where it has none."""
    table = corpus.scores("likelihood")
    total = table["sum_logprob"].to_numpy().astype(np.float64)
    tokens = table["scored_tokens"].to_numpy().astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(tokens > 0, total / tokens, np.nan)


def text_column(corpus: Corpus, name: str) -> list[str]:
    """Return a text column of the index, with '' for null."""
    return [value or "" for value in corpus.rows[name].to_pylist()]


def to_float(values: pa.Array) -> npt.NDArray[np.float64]:
    """Return a score column as floats, NaN where it is null."""
    floats: npt.NDArray[np.float64] = values.to_numpy(zero_copy_only=False).astype(np.float64)
    return floats


def shares(names: Sequence[str] | npt.NDArray[np.str_]) -> dict[str, float]:
    """Return the share of each name, the names sorted; '' counts as `not stated`."""
    values, counts = np.unique([name or "not stated" for name in names], return_counts=True)
    return {
        str(value): round(int(count) / len(names), 4)
        for value, count in zip(values, counts, strict=True)
    }
