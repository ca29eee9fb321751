"""Tests of causal attention in training: the model's own arithmetic, or a stated refusal."""

from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_model

from siftline.models.engine import causal_attention
from siftline.models.engine.causal_attention import causal, refusal
from siftline.models.training.loop import Hyperparameters, train
from siftline.models.training.rows import TrainingRow

torch = pytest.importorskip("torch")

ROWS = [TrainingRow((5, 6, 7, 8, 1), ((2, 5),)), TrainingRow((40, 41, 1), ((1, 3),))]


def qkv(dtype: Any, keys: int, tokens: int = 7) -> tuple[Any, Any, Any]:
    """Return queries of four heads, keys and values: [2, heads, tokens, 8]."""
    torch.manual_seed(0)
    made = [torch.randn(2, heads, tokens, 8, dtype=torch.float64) for heads in (4, keys, keys)]
    q, k, v = (each.to(dtype).requires_grad_() for each in made)
    return q, k, v


@pytest.mark.parametrize("keys", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_token_sees_itself_and_those_before_it(dtype: Any, keys: int) -> None:
    exact = qkv(torch.float64, keys)
    q, k, v = exact[0], *(each.repeat_interleave(4 // keys, 1) for each in exact[1:])
    scores = (q @ k.transpose(2, 3)) * 0.3
    future = torch.ones(7, 7, dtype=torch.bool).triu(1)
    expected = scores.masked_fill(future, -torch.inf).softmax(-1) @ v
    expected.sum().backward()
    given = qkv(dtype, keys)
    found = causal_attention.causal_attention(*given, scale=0.3)
    found.sum().backward()
    # Half a unit in the last place of each rounded step: inputs, scores, weights, sums.
    close = {torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=close)
    for one, other in zip(given, exact, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=0, atol=4 * close)


def test_long_rows_do_not_hold_all_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    short = causal_attention.causal_attention(*qkv(torch.bfloat16, 2), scale=0.3)
    monkeypatch.setattr(causal_attention, "_WHOLE_SCORES", 4)
    monkeypatch.setattr(causal_attention, "_by_products", None)
    long = causal_attention.causal_attention(*qkv(torch.bfloat16, 2), scale=0.3)
    torch.testing.assert_close(short, long, rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", ["Llama", "GPTNeoX", "Qwen2", "Mistral", "GPT2"])
def test_models_that_attend_causally_can_use_it(kind: str) -> None:
    model = tiny_model(kind).eval()
    usual = model.config._attn_implementation
    ids = torch.arange(12)[None]
    assert refusal(model, 12) is None
    with torch.no_grad(), causal(model):
        found = model(input_ids=ids).logits
    assert model.config._attn_implementation == usual
    with torch.no_grad():
        torch.testing.assert_close(found, model(input_ids=ids).logits, rtol=1e-4, atol=1e-4)


def test_models_that_do_more_keep_their_own() -> None:
    assert "softcap" in str(refusal(tiny_model("Gemma2").eval(), 12))
    windowed = tiny_model("Mistral", sliding_window=8).eval()
    assert refusal(windowed, 8) is None
    assert refusal(windowed, 9) == "a row of 9 tokens does not fit its window of 8"


def test_a_training_in_bfloat16_says_where_it_cannot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Hyperparameters(learning_rate=0.01, epochs=1, batch_rows=2, bfloat16=True)
    for kind in ("Llama", "Gemma2"):
        train(
            tiny_model(kind),
            ROWS,
            settings,
            stops=[1],
            on_stop=lambda step: None,
            folder=tmp_path,
        )
    (said,) = [record.message for record in caplog.records]
    assert said.startswith("A 'Gemma2ForCausalLM' is trained with its own attention")


@pytest.mark.parametrize(("said", "lost"), [("", False), ("CUDA error: unspecified", True)])
def test_a_device_that_fails_says_nothing_about_the_attention(
    said: str, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(causal_attention, "causal_attention", fail)
    model = tiny_model("Llama").eval()
    if lost:
        with pytest.raises(RuntimeError, match="unspecified"):
            refusal(model, 12)
    else:
        assert refusal(model, 12) == "RuntimeError"
