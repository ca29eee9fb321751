from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from siftline.contracts import progress
from siftline.contracts.errors import RecipeError
from siftline.contracts.examples import MESSAGES
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.parquet import read_table, write_table
from siftline.contracts.runtime import Runtime, Usage
from siftline.scorers.likelihood import LIKELIHOOD, Likelihood
from siftline.scorers.prompt_embedding import PromptEmbedding
from siftline.scorers.tables import matrix_of, vector_column

RUNTIME = Runtime(models={"target": ModelSpec(name="builtin:toy")}, device="cpu")


def rows(*turns: tuple[str, str]) -> pa.Table:
    talks = [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        for prompt, response in turns
    ]
    return pa.table(
        {
            "content_hash": [f"c{number}" for number in range(len(turns))],
            "prompt_id": [f"p{number}" for number in range(len(turns))],
            "messages": pa.array(talks, MESSAGES),
            "tools": pa.array([None] * len(turns), pa.string()),
            "media": pa.array([None] * len(turns), pa.string()),
            "metadata": ["{}"] * len(turns),
        }
    )


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(progress, "advance", lambda rows, tokens=0: seen.append((rows, tokens)))
    return seen


def test_a_likelihood_for_each_row_in_their_order(reported: list[tuple[int, int]]) -> None:
    table, usage = Likelihood(model="target").score(
        rows(("Say hi", "Say hi"), ("Say hi", "  "), ("Say hi", "#~$^%@")), RUNTIME
    )
    assert table.schema == LIKELIHOOD
    assert table["content_hash"].to_pylist() == ["c0", "c1", "c2"]
    assert table["status"].to_pylist() == ["ok", "empty_response", "ok"]
    assert table["sum_logprob"].is_null().to_pylist() == [False, True, False]
    likely, _, unlikely = table["sum_logprob"].to_pylist()
    assert unlikely < likely < 0
    # Bytes: "Question: Say hi\nAnswer:" are 24, " Say hi" and " #~$^%@" are 7.
    assert table["prompt_tokens"].to_pylist() == [24, None, 24]
    assert table["scored_tokens"].to_pylist() == [7, None, 7]
    assert usage == Usage(1, 2 * 31)
    assert [sum(each) for each in zip(*reported, strict=True)] == [3, 62]


def test_the_fields_reach_the_model() -> None:
    scorer = Likelihood(model="target", max_tokens=26, score_eos=True)
    cut, whole = scorer.score(rows(("Say hi", "Say hi"), ("Hi", "a")), RUNTIME).table.to_pylist()
    assert (cut["truncated"], cut["scored_tokens"], cut["response_tokens"]) == (True, 2, 7)
    assert (whole["eos_scored"], whole["scored_tokens"]) == (True, 3)


def test_no_rows_are_no_scores() -> None:
    assert Likelihood(model="target").score(rows(), RUNTIME).table.schema == LIKELIHOOD


def test_the_embedding_of_a_prompt_does_not_see_the_response(
    reported: list[tuple[int, int]],
) -> None:
    table, usage = PromptEmbedding(model="target").score(
        rows(("Say hi", "a"), ("Say hi", "b"), ("Integrate x squared", "c")), RUNTIME
    )
    assert table.column_names == ["prompt_id", "status", "vector"]
    assert table["status"].to_pylist() == ["ok"] * 3
    assert table["prompt_id"].to_pylist() == ["p0", "p1", "p2"]
    assert table["vector"].type == pa.large_list(pa.float32())
    vectors = np.array(table["vector"].to_pylist())
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[2])
    assert sum(count for count, _ in reported) == 3
    assert usage.tokens == sum(tokens for _, tokens in reported)


@pytest.mark.parametrize("scorer", [Likelihood(model="targt"), PromptEmbedding(model="targt")])
def test_a_role_without_a_model_is_told_the_nearest(scorer: Likelihood | PromptEmbedding) -> None:
    assert scorer.role == "targt"
    with pytest.raises(RecipeError, match=r"role 'targt'.*Did you mean 'target'"):
        scorer.score(rows(("Say hi", "a")), RUNTIME)


def test_vectors_are_lists_that_every_arrow_reads_back(tmp_path: Path) -> None:
    """Before 26, pyarrow cannot read a list of a fixed size with a null: none is written."""
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    missing = np.array([True, False, False, True])
    column = vector_column(vectors, missing)
    assert column.type == pa.large_list(pa.float32())
    write_table(pa.table({"v": column}), tmp_path / "a.parquet")
    read = read_table(tmp_path / "a.parquet")["v"].combine_chunks()
    assert read.to_pylist() == [None, [3, 4, 5], [6, 7, 8], None]
    assert matrix_of(read).tolist() == [[3, 4, 5], [6, 7, 8]]
    assert matrix_of(read.slice(2)).tolist() == [[6, 7, 8]]
    assert matrix_of(read.take(pa.array([2, 1, 2]))).tolist() == [[6, 7, 8], [3, 4, 5], [6, 7, 8]]
    assert matrix_of(vector_column(vectors)).tolist() == vectors.tolist()
    assert matrix_of(vector_column(vectors, np.ones(4, dtype=bool))).shape == (0, 0)
