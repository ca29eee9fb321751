"""Tests of the embedding of whole conversations."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pools import asked, runtime_of, save_tiny, table_of
from tolerances import float32

from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.scorers.conversation_embedding import ConversationEmbedding

TALKS = {
    "short": asked("the cat", "a mat"),
    "long": asked("the cat sat on the mat. a cat! the cat sat on the mat", "the cat the cat"),
    "turns": [
        ("system", "be a cat"),
        ("user", "the mat"),
        ("assistant", "a cat"),
        ("user", "on the mat"),
        ("assistant", "the cat"),
    ],
    "empty": asked("the cat", " "),
}


def vectors_of(scorer: ConversationEmbedding, runtime: Runtime, names: list[str]) -> Any:
    rows = table_of({name: TALKS[name] for name in names})
    found = scorer.score(rows, runtime).table
    assert found.column_names == ["content_hash", "status", "vector"]
    assert found["content_hash"].to_pylist() == [f"h-{name}" for name in names]
    return np.stack(found["vector"].to_numpy())


def test_the_toy_embeds_prompt_and_response() -> None:
    runtime = Runtime(models={"m": ModelSpec(name="builtin:toy")})
    vectors = vectors_of(ConversationEmbedding(model="m"), runtime, list(TALKS))
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    other = table_of({"short": asked("the cat", "a dog")})
    changed = ConversationEmbedding(model="m").score(other, runtime).table["vector"].to_numpy()
    assert not np.allclose(vectors[0], changed[0])


@pytest.mark.parametrize("kind", ["Llama", "GPT2"])
def test_the_weighted_mean_by_hand(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    from siftline.models.loading import load_language_model

    runtime = runtime_of(save_tiny(tmp_path / kind, kind))
    vectors = vectors_of(ConversationEmbedding(model="m"), runtime, list(TALKS))
    model: Any = load_language_model(runtime.models["m"], "cpu")
    text = "be a cat\nQuestion: the mat\nAnswer: a cat\nQuestion: on the mat\nAnswer: the cat"
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        states = model.network.model.base_model(torch.tensor([ids]))[0][0].numpy()
    places = np.arange(1, len(ids) + 1)
    expected = (places[:, None] * states).sum(axis=0) / places.sum()
    expected /= np.linalg.norm(expected)
    assert vectors[2] == pytest.approx(expected, abs=float32(32))
    even = states.mean(axis=0) / np.linalg.norm(states.mean(axis=0))
    assert not np.allclose(vectors[2], even, atol=1e-3)


def test_a_vector_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    scorer = ConversationEmbedding(model="m")
    folder = save_tiny(tmp_path / "model")
    together = vectors_of(scorer, runtime_of(folder, max_batch_tokens=4096), list(TALKS))
    alone = [vectors_of(scorer, runtime_of(folder), [name])[0] for name in TALKS]
    cut: npt.NDArray[np.float32] = vectors_of(
        scorer, runtime_of(folder, max_batch_tokens=8), list(TALKS)[::-1]
    )[::-1]
    assert np.allclose(together, np.stack(alone), atol=float32(32))
    assert np.allclose(together, cut, atol=float32(32))


def test_a_long_conversation_is_cut(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    runtime = runtime_of(save_tiny(tmp_path / "model"))
    whole, long = (
        vectors_of(ConversationEmbedding(model="m", max_tokens=size), runtime, ["long"])
        for size in (128, 500)
    )
    cut, first = (
        vectors_of(ConversationEmbedding(model="m", max_tokens=size), runtime, ["long", "short"])
        for size in (9, 1)
    )
    assert np.array_equal(whole, long)  # the model's window is 128
    assert not np.allclose(cut[0], whole[0], atol=1e-3)
    assert np.allclose(first[0], first[1], atol=float32(32))  # both begin with the same token


def test_even_means_stay_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from siftline.models.loading import load_embedder

    runtime = runtime_of(save_tiny(tmp_path / "model"))
    embedder: Any = load_embedder(runtime.models["m"], "cpu")
    texts = ["the cat sat", "a mat"]
    before = embedder.embed(texts).vectors
    weighted = embedder.for_conversations(100).embed(texts).vectors
    assert np.array_equal(embedder.embed(texts).vectors, before)
    assert not np.allclose(weighted, before, atol=1e-3)


def test_a_recipe_knows_the_kinds() -> None:
    stages: list[dict[str, Any]] = [
        {"kind": "rules"},
        {"kind": "semantic_duplicates", "model": "m"},
        {"kind": "k_center", "model": "m", "budget": 9},
        {"kind": "facility_location", "model": "m", "budget": "50%", "initial_subset": "c"},
        {"kind": "deita", "model": "m", "budget": 5, "score": "statistics.response_chars"},
        {"kind": "rds_plus", "model": "m", "budget": 4, "targets": ["a"]},
    ]
    models = {"m": {"name": "builtin:toy"}}
    recipe = {"name": "r", "inputs": [{"path": "a.jsonl"}], "models": models, "stages": stages}
    kinds = [stage.kind for stage in parse_recipe(recipe, "r.yaml").stages]
    assert kinds == [stage["kind"] for stage in stages]
