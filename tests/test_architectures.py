"""The engine on every architecture of the table: docs/architectures.md is what is seen here."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from architectures import CHANGES, small
from tiny_models import torch, transformers
from tolerances import nats

from siftline.contracts import progress
from siftline.contracts.errors import ModelError
from siftline.models.engine.batching import PACES, Batch, Portion
from siftline.models.engine.decoding import Room, decoder_for
from siftline.models.engine.forward import Network
from siftline.models.engine.passes import Passes
from siftline.models.engine.replaying import Replayer
from siftline.models.engine.sampling import Drawn, Slots
from siftline.models.likelihood import Encoded

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
ANSWERS = {"buffers": "buffers", "cache": "its cache", "whole text": "whole text"}
STEPS = 8

transformers.logging.set_verbosity_error()


@cache
def table() -> dict[str, tuple[str, ...]]:
    """Return the page's table: how each architecture is scored and answers."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return {name.strip(" `"): (scored.strip(), answers.strip()) for name, scored, answers in rows}


def tokens(random: Any, count: int) -> tuple[int, ...]:
    return tuple(random.integers(2, 300, count).tolist())


def logits(model: Any, ids: tuple[int, ...]) -> Any:
    """One plain forward pass, of nothing else and without a cache."""
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].double()


def score_alone(model: Any, row: Encoded) -> float:
    found = logits(model, row.ids[:-1]).log_softmax(-1)
    return sum(float(found[t - 1, row.ids[t]]) for t in range(row.prompt_tokens, len(row.ids)))


def greedy_alone(model: Any, prompt: tuple[int, ...]) -> list[int]:
    ids = prompt
    for _ in range(STEPS):
        ids = (*ids, int(logits(model, ids)[-1].argmax()))
    return list(ids[len(prompt) :])


@pytest.mark.pinned
@pytest.mark.parametrize("name", [each for each in CHANGES if each != "bert"])
def test_batches_score_and_answer_as_plain_loops_do(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(progress, "warn", told.append)
    network = Network(small(name), name)
    random = np.random.default_rng(0)
    begin = tokens(random, 18)  # two rows that begin alike
    rows = [Encoded(tokens(random, size), 2, size - 2, False) for size in (6, 12, 12)]
    rows += [Encoded((*begin, *tokens(random, size)), 20, size - 2, False) for size in (5, 9)]
    scores = Passes(network, rows).run()
    for row, found in zip(rows, scores, strict=True):
        expected = score_alone(network.model, row) / row.scored_tokens
        assert found / row.scored_tokens == pytest.approx(expected, abs=nats())

    prompts = [tokens(random, size) for size in (4, 9, 17)]
    kind = decoder_for(network, 4, 17 + STEPS)
    drawn: dict[tuple[int, int], list[int]] = {}

    def done(portion: Portion, sample: int, found: Drawn) -> None:
        drawn[portion.number, sample] = found.ids

    Batch(
        [Portion(number, ids, STEPS, (0, 1)) for number, ids in enumerate(prompts)],
        kind.make(network, Room(4, STEPS, 64, 2048)),  # the third prompt joins the others
        Slots(4, STEPS, frozenset(), 0, 1, network.device),
        Replayer.of(network),
        PACES["cpu"],
        lambda *_: np.zeros(STEPS),
        done,
    ).run()
    expected_ids = [greedy_alone(network.model, prompt) for prompt in prompts]
    assert drawn == {
        (number, sample): ids for number, ids in enumerate(expected_ids) for sample in (0, 1)
    }

    seen = ("padded" if network.longest_packed == 0 else "packed", ANSWERS[kind.name])
    assert seen == table()[name]
    # Whatever is not done the usual way is said.
    assert bool(told) == (seen != ("packed", "buffers"))


def test_a_model_that_looks_ahead_is_refused() -> None:
    with pytest.raises(ModelError, match="'bert' is no causal language model"):
        Network(small("bert"), "bert")


def test_the_page_is_the_table() -> None:
    assert set(table()) == set(CHANGES) - {"bert"}
    assert len(table()) >= 75
    assert set(Counter(answers for _, answers in table().values())) == set(ANSWERS.values())
