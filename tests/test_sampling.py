"""The draw of a token, beside one that sorts the vocabulary; the state of samples under way."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import engine, torch

from siftline.models.engine import sampling
from siftline.models.engine.sampling import Slots, draw
from siftline.models.generation import Sampling, stream
from siftline.models.plain_rendering import plain_prompt


def plain_draw(logits: Any, number: float, temperature: float, top_p: float) -> int:
    """Draw a token of one row by sorting the whole vocabulary, in float64 from the weights on."""
    if temperature == 0:
        return int(logits.argmax())
    weights = (logits / temperature).softmax(0)
    tokens = torch.arange(len(weights))
    if top_p < 1:
        weights, tokens = weights.sort(descending=True, stable=True)
        before = weights.double().cumsum(0) - weights
        weights = weights * (before < top_p)
    cumulative = weights.double().cumsum(0).numpy()
    last = int(np.flatnonzero(weights.numpy())[-1])
    place = int(np.searchsorted(cumulative, number * cumulative[-1], side="right"))
    return int(tokens[min(place, last)])


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.3, 1.0, 4.0]),
    st.sampled_from([1e-9, 0.2, 0.9, 0.999, 1.0]),
    st.sampled_from([1, 31, 33, 300, 1000]),
    st.booleans(),
)
def test_a_draw_is_that_of_a_plain_sort(
    seed: int, temperature: float, top_p: float, vocabulary: int, coarse: bool
) -> None:
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(0, random.uniform(0.1, 8), (5, vocabulary))).float()
    if coarse:  # many equals, as bfloat16 has them
        logits = logits.round()
    # Not on the edge between two tokens, where the order of a sum decides.
    numbers = torch.from_numpy(random.random(5))
    found = draw(logits, numbers, temperature, top_p).tolist()
    wanted = [
        plain_draw(row, float(number), temperature, top_p)
        for row, number in zip(logits, numbers, strict=True)
    ]
    assert found == wanted


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([0.5, 0.95]))
def test_a_nucleus_that_is_sorted_in_part_is_that_which_is_sorted_whole(
    seed: int, top_p: float
) -> None:
    random = np.random.default_rng(seed)
    # Some rows are sure of a few tokens, others of none.
    spread = torch.tensor([[0.0], [0.01], [1.0], [10.0]])
    logits = torch.from_numpy(random.normal(0, 1, (4, 2000))).float() * spread
    numbers = torch.from_numpy(random.random(4))
    weights = logits.softmax(1)
    whole = weights.sort(dim=1, descending=True, stable=True)
    found = sampling._invert_nucleus(weights, numbers, top_p)
    assert (
        found.tolist()
        == sampling._invert_sorted(whole.values, whole.indices, numbers, top_p).tolist()
    )


def test_a_token_without_weight_is_never_drawn() -> None:
    logits = torch.full((4, 100), -torch.inf)
    logits[:, 40] = 0.0
    logits[:, 70] = -1.0
    numbers = torch.tensor([0.0, 0.5, np.nextafter(1, 0), 1.0], dtype=torch.float64)
    for top_p in (0.9, 1.0):
        assert set(draw(logits, numbers, 1.0, top_p).tolist()) <= {40, 70}


def test_a_sample_ends_at_its_limit_or_with_a_stop() -> None:
    slots = Slots(3, 4, frozenset({7}), 0, 1, torch.device("cpu"))
    slots.fill([0, 1, 2], [1, 1, 1], [2, 4, 3], np.zeros((3, 4)))
    for tokens in ((5, 6, 5), (6, 7, 5), (9, 9, 5), (9, 9, 9)):
        logits = torch.zeros(3, 10)
        logits[torch.arange(3), list(tokens)] = 1
        slots.take(logits)
    (counts, live, stopped, broken), drawn = slots.report().arrays()
    assert not broken.any()
    assert counts.tolist() == [2, 1, 3]
    assert not live.any()
    assert stopped.tolist() == [0, 1, 0]
    found = [row[:count].tolist() for row, count in zip(drawn, counts, strict=True)]
    assert found == [[5, 6], [6], [5, 5, 5]]


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "Gemma2"])
@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_samples_are_those_of_a_plain_loop(kind: str, top_p: float) -> None:
    """Whatever is shared, joined or moved, a sample is one token after the other."""
    scorer = engine(kind)
    scorer.network.most_slots = 4
    asked = Sampling(n=3, temperature=0.8, top_p=top_p, seed=3, max_tokens=10)
    prompts: list[Any] = [
        [{"role": "user", "content": text}] for text in ("the cat?", "a", "xab ab " * 9, "cat sat")
    ]
    plain = []
    for prompt in prompts:
        text = plain_prompt(prompt)
        for number in range(asked.n):
            ids = scorer.pairs.head + scorer.tokenizer(text)["input_ids"]
            start = len(ids)
            for each in stream(asked.seed, text, number, asked.max_tokens):
                with torch.no_grad():
                    logits = scorer.network.model(torch.tensor([ids])).logits[0, -1]
                token = plain_draw(logits, float(each), asked.temperature, top_p)
                if token == scorer.tokenizer.eos_token_id:
                    break
                ids.append(token)
            said = scorer.tokenizer.decode(ids[start:], skip_special_tokens=True)
            plain.append(said.removeprefix(" ").split("\nQuestion:")[0])
    rows = scorer.generate(prompts, asked, template="plain").rows
    assert [each.text for row in rows for each in row] == plain
