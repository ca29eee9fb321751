"""Columns of a corpus as arrays, and the score by which a recipe prefers or orders rows."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError, nearest

MEAN_LOGPROB = "likelihood.mean_logprob"  # the corpus stores its sum and count
LANGUAGE = "language.language"  # of a row, by the method `language`
LOGPROB_DECIMALS = 3  # what batches of another shape do to it stays below (docs/architecture.md)


def score_column(corpus: Corpus, name: str, field: str) -> npt.NDArray[np.float64]:
    """Return [rows] a score, NaN where a row has none or one that is not finite.

    Args:
        corpus: The rows and their scores so far.
        name: As `table.column`; `likelihood.mean_logprob` is derived from the stored sum and count,
            and rounded to 0.001 nats a token.
        field: Of the recipe, for the message, such as `deita.score`.

    Raises:
        RecipeError: There is no such score, or it is no number.
    """
    derived = [MEAN_LOGPROB] if "likelihood" in corpus.tables else []
    if name in derived:
        return np.round(mean_logprob(corpus), LOGPROB_DECIMALS)
    if name not in corpus.score_columns:
        known = [*corpus.score_columns, *derived]
        raise RecipeError(
            f"{field}: no stage before it has the score '{name}'.{nearest(name, known)}"
        )
    kind = corpus.column(name).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise RecipeError(
            f"{field}: the score '{name}' holds values of the type {kind}; expected numbers, "
            "the higher the better."
        )
    score = to_float(corpus.column(name))
    return np.where(np.isfinite(score), score, np.nan)


def text_score(corpus: Corpus, name: str, field: str) -> list[str]:
    """Return [rows] a score that is a text, such as a language, with '' for null.

    Args:
        corpus: The rows and their scores so far.
        name: As `table.column`.
        field: Of the recipe, for the message, such as `mix.by`.

    Raises:
        RecipeError: There is no such score, or it is no text.
    """
    if name not in corpus.score_columns:
        raise RecipeError(
            f"{field}: no stage before it has the score '{name}'."
            f"{nearest(name, corpus.score_columns)}"
        )
    kind = corpus.column(name).type
    if not pa.types.is_string(kind):
        raise RecipeError(
            f"{field}: the score '{name}' holds values of the type {kind}; expected texts, such as "
            "those of 'language.language'."
        )
    return [value or "" for value in corpus.column(name).to_pylist()]


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
