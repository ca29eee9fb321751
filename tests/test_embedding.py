from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from tolerances import float32

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.embedding import SentenceEmbedder
from siftline.models.loading import load_embedder
from siftline.models.toy import ToyEmbedder

TEXTS = ["a dog", "income tax law of 2017", "a puppy", "", "the dog barks at a small red car"]


torch = pytest.importorskip("torch")


class Stub:
    """Stands for sentence-transformers: one token per word; the vector counts letters."""

    max_seq_length = 4
    device = torch.device("cpu")

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.batches: list[list[str]] = []

    def eval(self) -> "Stub":
        return self

    def tokenizer(self, texts: list[str], truncation: bool, max_length: int) -> dict[str, Any]:
        return {"input_ids": [text.split()[:max_length] for text in texts]}

    def encode(self, texts: list[str], **options: object) -> npt.NDArray[np.float64]:
        self.batches.append(texts)
        return np.array([[len(text), 1.0] for text in texts]) * self.scale


def test_batches_keep_to_the_budget_longest_first() -> None:
    stub, seen = Stub(), list[tuple[int, ...]]()
    embedder = SentenceEmbedder(cast(Any, stub), "stub")
    stub.batches.clear()
    found = embedder.embed(TEXTS, max_batch_tokens=8, on_batch=lambda *done: seen.append(done))
    # Tokens, cut at 4: 2, 4, 2, 0, 4. Two rows of 4 fill the budget, the others fit together.
    assert stub.batches == [[TEXTS[1], TEXTS[4]], ["a dog", "a puppy", ""]]
    assert seen == [(2, 8), (3, 4)]
    assert found.usage == (2, 12)
    assert found.vectors[:, 0].tolist() == [len(text) for text in TEXTS]


def test_a_vector_that_is_not_finite_is_an_error() -> None:
    embedder = SentenceEmbedder(cast(Any, Stub(np.nan)), "stub")
    with pytest.raises(ModelError, match="not finite"):
        embedder.embed(["a"])


def test_the_toy_gives_like_texts_like_vectors() -> None:
    vectors = ToyEmbedder().embed(["the red car", "the red cart", "qqq zzz"]).vectors
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert vectors[0] @ vectors[1] > 0.6 > vectors[0] @ vectors[2]


def test_the_toy_embeds_nothing_too() -> None:
    assert ToyEmbedder().embed([]).vectors.shape == (0, 64)
    assert np.isclose(np.linalg.norm(ToyEmbedder().embed([""]).vectors), 1)


@pytest.mark.model
def test_minilm_is_normalised_and_does_not_depend_on_the_order() -> None:
    pytest.importorskip("sentence_transformers")
    embedder = load_embedder(ModelSpec(name="builtin:minilm"), "cpu")
    vectors = embedder.embed(TEXTS, max_batch_tokens=16).vectors
    turned = embedder.embed(TEXTS[::-1], max_batch_tokens=16).vectors
    assert embedder.dimensions == 384
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=float32(32))
    assert np.array_equal(vectors, turned[::-1])
    assert vectors[0] @ vectors[2] > 0.5 > vectors[0] @ vectors[1]


@pytest.mark.model
def test_a_language_model_embeds_by_its_mean_hidden_states() -> None:
    torch = pytest.importorskip("torch")
    spec = ModelSpec(name="builtin:smollm2", dtype="float32")
    embedder: Any = load_embedder(spec, "cpu")
    found = embedder.embed(TEXTS, max_batch_tokens=16)
    turned = embedder.embed(TEXTS[::-1], max_batch_tokens=1000)
    assert found.vectors.shape == (len(TEXTS), embedder.dimensions)
    assert np.allclose(found.vectors, turned.vectors[::-1], atol=float32(32))
    model = embedder._model
    for text, vector in zip(TEXTS, found.vectors, strict=True):
        ids = torch.tensor([model.tokenizer(text or model.tokenizer.eos_token)["input_ids"]])
        with torch.no_grad():
            mean = model.network.model.base_model(ids)[0][0].mean(dim=0).numpy()
        assert np.allclose(vector, mean / np.linalg.norm(mean), atol=float32(32))
    assert found.usage.tokens == sum(len(model.tokenizer(text)["input_ids"]) or 1 for text in TEXTS)
