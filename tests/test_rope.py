"""Frequencies of positions that depend on the length: a row has the same scores in any batch."""

from typing import Any

import numpy as np
import pytest
from tiny_models import engine, torch
from tolerances import float32, nats

from siftline.models.engine.pooling import MeanStateEmbedder
from siftline.models.engine.rope import NO_WINDOW, RopeWindow, by_regime, rope_window
from siftline.models.generation import Sampling
from siftline.models.likelihood import Encoded

WINDOW = 32
LENGTHS = (3, 17, 32, 33, 34, 40, 40, 61, 100)


def lengthened(kind: str) -> Any:
    """A model of each kind, whose original window is 32 tokens, and which reads 128."""
    if kind == "longrope":
        settings = {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0, 1.2, 1.5, 2.0],
            "long_factor": [1.0, 2.5, 4.0, 8.0],
            "original_max_position_embeddings": WINDOW,
        }
        found = engine(
            "Phi3",
            rope_parameters=settings,
            original_max_position_embeddings=WINDOW,
        )
    else:
        settings = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
        found = engine("Llama", rope_parameters=settings, max_position_embeddings=WINDOW)
    found.window = 128
    return found


@pytest.fixture(scope="module", params=["longrope", "dynamic"])
def model(request: Any) -> Any:
    return lengthened(request.param)


@pytest.fixture(scope="module")
def rows() -> list[Encoded]:
    random = np.random.default_rng(1)
    found = []
    for length in LENGTHS:
        ids = tuple(random.integers(2, 300, length + 1).tolist())
        found.append(Encoded(ids, max(1, length // 2), length, False))
    # Two that begin like the longest one, on either side of the window.
    found += [Encoded((*found[-1].ids[:size], 7), 20, size - 19, False) for size in (28, 60)]
    return found


def fresh(model: Any) -> Any:
    """The plain model, as if it had read nothing before."""
    return lengthened("longrope" if model.name == "Phi3" else "dynamic").network.model


def alone(model: Any, row: Encoded) -> float:
    """One plain forward pass of all tokens that something is predicted from."""
    with torch.no_grad():
        logits = fresh(model)(torch.tensor([row.ids[:-1]])).logits[0].double().log_softmax(-1)
    places = range(row.prompt_tokens, len(row.ids))
    return sum(float(logits[place - 1, row.ids[place]]) for place in places)


def test_the_window_is_read_off_the_model(model: Any) -> None:
    assert model.network.rope == RopeWindow(WINDOW, exact=model.name == "Llama")
    assert rope_window(engine().network.model) == NO_WINDOW
    assert by_regime([40, 3, 33, 32], RopeWindow(32, exact=True)) == [[1, 3], [2], [0]]
    assert by_regime([40, 3, 33, 32], RopeWindow(32, exact=False)) == [[1, 3], [0, 2]]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("budget", [1, 4096])
def test_a_row_scores_as_alone_in_any_batch(
    model: Any, rows: list[Encoded], packed: bool, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.network.longest_packed is None
    if not packed:
        monkeypatch.setattr(model.network, "longest_packed", 0)
    found = model.score(rows, max_batch_tokens=budget).rows
    for row, scored in zip(rows, found, strict=True):
        assert scored.sum_logprob == pytest.approx(alone(model, row), abs=nats(row.scored_tokens))
    turned = model.score(rows[::-1], max_batch_tokens=budget).rows
    assert turned[::-1] == found


def test_a_text_is_embedded_as_alone(model: Any) -> None:
    embedder = MeanStateEmbedder(model)
    texts = ["a cat", "the cat sat on the mat. " * 3, "the mat " * 19, "xab " * 40]
    together = embedder.embed(texts).vectors
    for text, vector in zip(texts, together, strict=True):
        ids = model.tokenizer(text)["input_ids"]
        with torch.no_grad():
            mean = fresh(model).base_model(torch.tensor([ids]))[0][0].mean(0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=float32(32))


def test_samples_go_over_the_window_as_a_plain_loop_does(model: Any) -> None:
    texts = ["a", "the cat sat on the mat", "the mat " * 10, "xab " * 30]
    prompts: list[Any] = [[{"role": "user", "content": text}] for text in texts]
    sampling = Sampling(temperature=0, max_tokens=20)
    found = model.generate(prompts, sampling, template="plain").rows
    plain = fresh(model)
    crossing = 0
    for text, samples in zip(texts, found, strict=True):
        ids = model.tokenizer(f"Question: {text}\nAnswer:")["input_ids"]
        start = len(ids)
        for _ in range(20):
            with torch.no_grad():
                token = int(plain(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if token == model.tokenizer.eos_token_id:
                break
            ids.append(token)
            plain = fresh(model) if model.name == "Llama" else plain
        crossing += start <= WINDOW < len(ids)
        text = model.tokenizer.decode(ids[start:], skip_special_tokens=True)
        assert samples[0].text == text.removeprefix(" ").split("\nQuestion:")[0]
    assert crossing
