"""What a GPU computes, through the front doors, against the same on the CPU in float32."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import engine, tiny_model, tiny_tokenizer, torch

from siftline.contracts.model_spec import ModelSpec
from siftline.models.engine.pooling import MeanStateEmbedder
from siftline.models.engine.transformer import TransformerModel
from siftline.models.generation import Sampling
from siftline.models.likelihood import Pair
from siftline.models.training.checkpoints import score_checkpoints
from siftline.models.training.loop import Hyperparameters, train
from siftline.models.training.rows import TrainingRow

pytestmark = pytest.mark.gpu

# Packed, shared, padded by a window, its own logits, no rotary positions.
KINDS = ["Llama", "Qwen2", "Mistral", "Gemma2", "GPT2"]
PAIRS = [
    *(Pair("Question: the cat?\nAnswer:", f" sat on the mat {n * 'ab '}") for n in range(6)),
    *(
        Pair("Question: a cafe, on a mat, and a cat on it?\nAnswer:", n * " xab")
        for n in (1, 9, 30)
    ),
    Pair("a", " cat!"),
]
PROMPTS: list[Any] = [
    [{"role": "user", "content": text}] for text in ("the cat?", "a", "xab ab " * 12, "on the mat")
]
OPTIONS = ["a", "b"]
# Nats a token between bfloat16 and float32, at weights as large as those of the tiny models.
HALF = 0.25


def on_gpu(kind: str, dtype: Any, **changes: Any) -> TransformerModel:
    model = tiny_model(kind, **changes).to("cuda", dtype)
    return TransformerModel(model, tiny_tokenizer(), kind)


def means(model: TransformerModel, share: bool = True) -> Any:
    model.share_prompts = share
    rows = model.log_likelihood(PAIRS, max_tokens=100).rows
    assert {row.status for row in rows} == {"ok"}
    return np.array([(row.sum_logprob or 0.0) / (row.scored_tokens or 1) for row in rows])


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_float32_likelihoods_are_those_of_the_cpu(kind: str, share: bool) -> None:
    found = means(on_gpu(kind, torch.float32), share)
    np.testing.assert_allclose(found, means(engine(kind)), atol=2e-4)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_likelihoods_are_near_float32(kind: str, share: bool) -> None:
    found = means(on_gpu(kind, torch.bfloat16), share)
    assert np.abs(found - means(engine(kind))).mean() < HALF


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_llama_takes_the_fast_path(dtype: str) -> None:
    assert on_gpu("Llama", getattr(torch, dtype)).network.longest_packed is None


def test_compiled_layers_score_alike() -> None:
    model = on_gpu("Llama", torch.bfloat16)
    eager = means(model)
    model.network.compile_from(0)
    assert np.abs(means(model) - eager).mean() < HALF


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_float32_samples_are_those_of_the_cpu(kind: str, top_p: float) -> None:
    sampling = Sampling(n=3, temperature=0.8, top_p=top_p, max_tokens=16, seed=5)
    found = on_gpu(kind, torch.float32).generate(PROMPTS, sampling, template="plain").rows
    assert found == engine(kind).generate(PROMPTS, sampling, template="plain").rows


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_answers_are_greedy_ones_of_the_model(kind: str) -> None:
    """Each token is among the likeliest of a plain forward pass over what stands before it."""
    model = on_gpu(kind, torch.bfloat16)
    sampling = Sampling(temperature=0, max_tokens=12)
    answers = model.generate(PROMPTS, sampling, template="plain").rows
    pairs = [
        Pair(f"Question: {prompt[0]['content']}\nAnswer:", f" {answer[0].text}")
        for prompt, answer in zip(PROMPTS, answers, strict=True)
        if not isinstance(answer, str) and answer[0].text.strip()
    ]
    other = [Pair(pair.prompt, " zq" * 6) for pair in pairs]
    best, worse = (model.log_likelihood(each, max_tokens=120).rows for each in (pairs, other))
    for likely, unlikely in zip(best, worse, strict=True):
        assert likely.sum_logprob is not None
        assert unlikely.sum_logprob is not None
        mean = likely.sum_logprob / (likely.scored_tokens or 1)
        assert mean > unlikely.sum_logprob / (unlikely.scored_tokens or 1)


def test_options_and_embeddings_are_those_of_the_cpu() -> None:
    gpu, cpu = on_gpu("Llama", torch.float32), engine("Llama")
    found, wanted = (m.choose(PROMPTS, OPTIONS, template="plain").rows for m in (gpu, cpu))
    np.testing.assert_allclose(np.array(found), np.array(wanted), atol=1e-4)
    texts = ["the cat sat", "a mat", "xab " * 20]
    here, there = (MeanStateEmbedder(m).embed(texts).vectors for m in (gpu, cpu))
    np.testing.assert_allclose(here, there, atol=1e-4)


def test_training_follows_the_losses_of_the_cpu(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [
        TrainingRow(tuple(random.integers(5, 300, size).tolist()), ((size // 2, size),))
        for size in random.integers(4, 60, 24).tolist()
    ]
    settings = Hyperparameters(learning_rate=0.003, epochs=2, batch_rows=6)
    losses = []
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        folder.mkdir()
        model = tiny_model("Llama").to(device)
        train(model, rows, settings, stops=[8], on_stop=lambda _: None, folder=folder)
        losses.append((folder / "losses.json").read_text(encoding="utf-8"))
    found, wanted = (
        np.array([float(part.split(":")[1].strip(" }\n")) for part in text.split(",")])
        for text in losses
    )
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_checkpoints_are_scored_as_on_the_cpu(tmp_path: Path) -> None:
    specs = []
    for number in range(3):
        folder = tmp_path / f"step-{number}"
        model = tiny_model("Llama")
        with torch.no_grad():
            model.lm_head.weight.mul_(1 + number)
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        specs.append(ModelSpec(name=str(folder), dtype="float32"))
    found, wanted = (
        [
            [row.sum_logprob for row in each.rows]
            for each in score_checkpoints(specs, PAIRS, device=device)
        ]
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(np.array(found), np.array(wanted), rtol=1e-3, atol=1e-2)


def test_batches_fit_what_memory_there_is() -> None:
    """The memory that a process may take is lowered until a batch does not fit."""
    model = on_gpu("Llama", torch.bfloat16)
    before = means(model)
    taken = torch.cuda.memory_reserved() / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, taken + 1e-3))
    try:
        assert np.abs(means(model) - before).mean() < HALF
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
