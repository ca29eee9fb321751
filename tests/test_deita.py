"""Tests of DEITA's choice."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from corpora import corpus_of, embedding, kept, likelihood
from pydantic import ValidationError

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError
from siftline.scorers.conversation_embedding import ConversationEmbedding
from siftline.scorers.prompt_embedding import PromptEmbedding
from siftline.selectors.deita import Deita

# cos 25 degrees is 0.906, cos 50 is 0.643: neighbours in this row of prompts are too alike.
ANGLES = {"a": 0, "b": 25, "c": 50, "d": 90}
PROMPTS = list("abcdd")


def corpus(scores: list[float | None], **tables: pa.Table) -> Corpus:
    angles = np.deg2rad([ANGLES[name] for name in PROMPTS])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    quality = pa.table({"value": pa.array(scores, pa.float64())})
    found = {"prompt_embedding": embedding(vectors), "quality": quality, **tables}
    return corpus_of(PROMPTS, tables=found)


def method(**fields: Any) -> Deita:
    return Deita(**{"model": "e", "score": "quality.value", "budget": 5, **fields})


def test_by_hand() -> None:
    pool = corpus([5.0, 4.0, 3.0, 2.0, None])
    decided = method().decide(pool)
    # b is too near to a; c to b only, which is not kept. d's second row has no score.
    expected = ["selected", "not_novel", "selected", "selected", "unscored"]
    assert decided["reason"].to_pylist() == expected
    assert decided["rank"].to_pylist() == [1, None, 2, 3, None]
    assert decided["gain"].to_pylist() == [5, 4, 3, 2, None]


def test_it_stops_at_the_budget() -> None:
    decided = method(budget=2).decide(corpus([5.0, 4.0, 3.0, 2.0, None]))
    expected = ["selected", "not_novel", "selected", "over_budget", "unscored"]
    assert decided["reason"].to_pylist() == expected


def test_rows_of_one_prompt_are_alike() -> None:
    decided = method().decide(corpus([1.0, 1.0, 1.0, 2.0, 3.0]))
    assert decided["reason"].to_pylist()[3:] == ["not_novel", "selected"]


def test_a_prompt_has_the_score_of_its_best_row_and_keeps_all() -> None:
    pool = corpus([5.0, 4.0, 3.0, None, 9.0])
    decided = method(unit="prompt", budget=2).decide(pool)
    assert kept(pool, decided) == {"r0", "r3", "r4"}
    assert decided["rank"].to_pylist() == [2, None, None, 1, 1]


def test_the_threshold_matters() -> None:
    pool = corpus([5.0, 4.0, 3.0, 2.0, None])
    assert kept(pool, method(threshold=0.95).decide(pool)) == {"r0", "r1", "r2", "r3", "r4"}
    assert kept(pool, method(threshold=0.5).decide(pool)) == {"r0", "r3", "r4"}


def test_the_likelihood_is_a_score_too() -> None:
    pool = corpus([None] * 5, likelihood=likelihood([-3.0, -1.0, -2.0, None, None]))
    decided = method(score="likelihood.mean_logprob").decide(pool)
    # b is the likeliest, and a and c are both too near to it.
    expected = ["not_novel", "selected", "not_novel", "unscored", "unscored"]
    assert decided["reason"].to_pylist() == expected
    assert decided["gain"].to_pylist() == [-3, -1, -2, None, None]


def test_without_any_score_all_are_kept_or_left_out() -> None:
    pool = corpus([None] * 5)
    decided = method(unscored="drop").decide(pool)
    assert not kept(pool, decided)
    decided = method().decide(pool)
    assert len(kept(pool, decided)) == 5
    assert set(decided["reason"].to_pylist()) == {"unscored"}
    assert method().diagnose(pool, decided)["mean_score"]["pool"] is None


def test_an_unknown_score_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"deita\.score: .*'quality\.valu'.*'quality\.value'"):
        method(score="quality.valu").decide(corpus([1.0] * 5))


def test_conversations_can_be_compared_row_by_row() -> None:
    assert method().scorers()[0] == PromptEmbedding(model="e")
    assert method(on="conversation").scorers()[0] == ConversationEmbedding(model="e")
    table = embedding(np.eye(5))
    pool = corpus([1.0, 2.0, 3.0, 4.0, 5.0], conversation_embedding=table)
    assert len(kept(pool, method(on="conversation").decide(pool))) == 5
    with pytest.raises(ValidationError, match="got 'conversation', of which a prompt may have"):
        method(on="conversation", unit="prompt")


def test_diagnosis_by_hand() -> None:
    pool = corpus([5.0, 4.0, 3.0, 1.0, None])
    found = method(budget=2).diagnose(pool, method(budget=2).decide(pool))["mean_score"]
    assert found["pool"] == 3.25
    assert found["selected"] == 4.0
    assert found["best of equal size"] == 4.5
    assert 1 <= found["random of equal size"] <= 4.5
