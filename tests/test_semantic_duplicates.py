"""Tests of semantic duplicates."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from agent_rows import CLOCK, TOOLS, assistant, call, example, result, user
from corpora import corpus_of, embedding, kept, take

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.runtime import Runtime
from siftline.scorers.prompt_context import PromptContext
from siftline.selectors import semantic_duplicates as module
from siftline.selectors.semantic_duplicates import SemanticDuplicates

# cos 10 degrees is 0.985, cos 20 is 0.940: neighbours are duplicates, others are not.
ANGLES = {"a": 0, "b": 10, "c": 20, "d": 90}
PROMPTS = list("abcdda")


def context(hashes: list[str | None]) -> pa.Table:
    return pa.table({"hash": pa.array(hashes, pa.string())})


def cosine(degrees: float) -> float:
    return float(np.cos(np.deg2rad(degrees)))


def corpus(scores: list[float | None] | None = None) -> Corpus:
    angles = np.deg2rad([ANGLES[name] for name in PROMPTS])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    tables = {
        "prompt_embedding": embedding(vectors),
        "conversation_embedding": embedding(vectors),
        "prompt_context": context([None] * len(PROMPTS)),
    }
    if scores:
        tables["quality"] = pa.table({"value": pa.array(scores, pa.float64())})
    return corpus_of(PROMPTS, tables=tables)


def method(**fields: Any) -> SemanticDuplicates:
    return SemanticDuplicates(model="e", **fields)


def test_the_preferred_one_is_kept_by_hand() -> None:
    pool = corpus([1.0, 3.0, 2.0, 0.0, None, 2.5])
    decided = method(prefer="quality.value").decide(pool)
    # b is the best; a (2.5, by its other row) and c are its duplicates. d's rows are candidates.
    assert kept(pool, decided) == {"r1", "r3", "r4"}
    reasons = decided["reason"].to_pylist()
    assert [reasons[0], reasons[2], reasons[5]] == ["semantic_duplicate"] * 3
    gains = decided["gain"].to_pylist()
    assert gains[1] is None
    assert [gains[0], gains[2], gains[5]] == pytest.approx([cosine(10)] * 3, abs=1e-5)
    assert gains[3] == pytest.approx(cosine(80), abs=1e-5)  # only b was kept before


def test_what_is_like_a_dropped_one_only_is_kept() -> None:
    pool = corpus([3.0, 2.0, 1.0, 0.0, 0.0, 3.0])
    # a first, b is its duplicate, c is one of b only.
    assert kept(pool, method(prefer="quality.value").decide(pool)) == {"r0", "r5", "r2", "r3", "r4"}


def test_without_a_preference_a_hash_decides() -> None:
    chosen = {
        tuple(sorted(kept(corpus(), method(seed=seed).decide(corpus())))) for seed in range(20)
    }
    assert chosen == {("r0", "r2", "r3", "r4", "r5"), ("r1", "r3", "r4")}


def test_the_threshold_matters() -> None:
    assert len(kept(corpus(), method(threshold=0.99).decide(corpus()))) == 6
    assert len(kept(corpus(), method(threshold=0.9).decide(corpus()))) in (3, 4)


def test_conversations_of_one_prompt_are_no_duplicates() -> None:
    pool = corpus([3.0, 4.0, 1.0, 0.0, 0.0, 3.0])
    decided = method(on="conversation", prefer="quality.value").decide(pool)
    # b first; both rows of a and c are its duplicates; d's two rows have the same vector.
    assert kept(pool, decided) == {"r1", "r3", "r4"}


def test_an_unknown_preference_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"semantic_duplicates\.prefer: .*'quality\.value'"):
        method(prefer="quality.values").decide(corpus([1.0] * 6))


def many(rows: int) -> Corpus:
    """Return pairs of near-duplicates in all directions, so that some lie across a border."""
    random = np.random.default_rng(0)
    first = random.normal(size=(rows // 2, 16))
    vectors = np.concatenate([first, first + 0.1 * random.normal(size=first.shape)])
    prompts = [f"p{number}" for number in range(len(vectors))]
    tables = {"prompt_embedding": embedding(vectors), "prompt_context": context([None] * rows)}
    return corpus_of(prompts, tables=tables)


def test_cells_find_almost_all_and_never_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CELL_ROWS", 100)
    pool = many(2000)
    exact = method().decide(pool)
    assert 980 < len(kept(pool, exact)) <= 1000
    in_cells = method(exact_up_to=100).decide(pool)
    missed = len(kept(pool, in_cells)) - len(kept(pool, exact))
    assert 0 < missed < 100  # pairs that the borders of twenty cells part
    assert method(exact_up_to=2000).decide(pool).equals(exact)
    order = list(np.random.default_rng(1).permutation(2000))
    shuffled = method(exact_up_to=100).decide(take(pool, order))
    assert shuffled.equals(in_cells.take(order))
    found = method(exact_up_to=100).diagnose(pool, in_cells)
    assert found["compared"] == "pairs in one of 20 cells"
    assert method().diagnose(pool, exact)["compared"] == "all pairs"


def test_every_dropped_row_has_a_kept_one_that_it_is_like() -> None:
    pool = many(400)
    decided = method().decide(pool)
    keep = decided["keep"].to_numpy()
    vectors = np.stack(pool.column("prompt_embedding.vector").to_numpy(zero_copy_only=False))
    similarity = vectors @ vectors.T
    assert (similarity[~keep][:, keep].max(axis=1) > 0.95).all()
    among = similarity[keep][:, keep] - 2 * np.eye(int(keep.sum()))
    assert among.max() <= 0.95 + 1e-6


def test_diagnosis_by_hand() -> None:
    pool = corpus([1.0, 3.0, 2.0, 0.0, None, 2.5])
    chosen = method(prefer="quality.value")
    found = chosen.diagnose(pool, chosen.decide(pool))
    assert (found["prompts"], found["prompts_dropped"]) == (4, 2)
    assert found["dropped_by_similarity"] == {"0.98": 2}
    assert set(found["next_above_threshold"]) == {"r0", "r2"}
    assert set(found["next_below_threshold"]) == {"r3"}


def test_prompts_with_other_tools_are_no_duplicates() -> None:
    pool = corpus([3.0, 2.0, 1.0, 0.0, 0.0, 3.0])
    chosen = method(prefer="quality.value")
    # a and b have other tools, and c has b's.
    parted = pool.with_scores("prompt_context", context(["x", "y", "y", None, None, "x"]))
    decided = chosen.decide(parted)
    assert kept(parted, decided) == {"r0", "r5", "r1", "r3", "r4"}
    figures = chosen.diagnose(parted, decided)
    assert figures["compared_within_sets_of_tools_calls_and_results"] == 3
    assert "compared_within" not in str(chosen.diagnose(pool, chosen.decide(pool)))


def asked(*turns: dict[str, Any], tools: Any = None, question: str = "How warm?") -> dict[str, Any]:
    return {"messages": [user(question), *turns, assistant("Hot.")], "tools": tools}


def test_the_context_is_of_tools_calls_and_results() -> None:
    def called(town: str, number: int, answer: str) -> list[dict[str, Any]]:
        return [assistant(None, call("weather", {"town": town}, number)), result(answer, number)]

    records = [
        asked(),
        asked(assistant("Where?"), user("Here.")),  # a conversation has no context of its own
        asked(tools=TOOLS),
        asked(tools=TOOLS, question="How cold?"),
        asked(tools=[CLOCK]),
        asked(*called("Rome", 1, "31"), tools=TOOLS),
        asked(*called("Rome", 2, " 31 "), tools=TOOLS),  # ids and white space are form
        asked(*called("Rome", 1, "32"), tools=TOOLS),
        asked(*called("Oslo", 1, "31"), tools=TOOLS),
    ]
    rows = pa.Table.from_pylist(
        [example(each, f"r{n}") for n, each in enumerate(records)], EXAMPLES
    )
    found = PromptContext().score(rows, Runtime()).table["hash"].to_pylist()
    names = {value: name for name, value in reversed(list(enumerate(found)))}
    assert found[0] is None
    assert [names[each] for each in found] == [0, 0, 2, 2, 4, 5, 5, 7, 8]
