"""Tests of the score that a recipe names."""

import numpy as np
import pyarrow as pa
import pytest
from corpora import corpus_of, likelihood

from siftline.contracts.columns import score_column
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError


def corpus() -> Corpus:
    quality = pa.table({"value": pa.array([1, None, float("inf")], pa.float64())})
    tables = {"likelihood": likelihood([-1.00049, None, -2.0]), "quality": quality}
    return corpus_of(list("abc"), tables=tables)


def test_a_column_with_nan_for_what_is_no_number() -> None:
    found = score_column(corpus(), "quality.value", "x.score")
    assert found == pytest.approx([1, np.nan, np.nan], nan_ok=True)


def test_the_mean_log_likelihood_on_its_grid() -> None:
    found = score_column(corpus(), "likelihood.mean_logprob", "x.score")
    assert found.tolist()[::2] == [-1.0, -2.0]
    assert np.isnan(found[1])


def test_an_unknown_score_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"x\.score: .*'quality\.valu'.*quality\.value"):
        score_column(corpus(), "quality.valu", "x.score")


def test_text_is_no_score() -> None:
    with pytest.raises(RecipeError, match=r"'likelihood\.status'.*string.*expected numbers"):
        score_column(corpus(), "likelihood.status", "x.score")
