import weakref
from typing import Any

import pytest
from tiny_models import tiny_model, torch, transformers

from siftline.models.engine import prepacking
from siftline.models.engine.prepacking import PrepackedLinear, can_prepack, prepack

IDS = torch.arange(12)[None] * 7 % 300


def prepacked(model: Any) -> int:
    return sum(isinstance(each, PrepackedLinear) for each in model.modules())


@pytest.mark.skipif(
    not can_prepack(torch.device("cpu"), torch.float32), reason="no products of prepacked weights"
)
def test_prepacked_float32_weights_give_the_same_logits() -> None:
    model = tiny_model("Qwen2").eval()  # some of its layers have a bias
    with torch.inference_mode():
        expected = model(IDS).logits
        prepack(model)
        torch.testing.assert_close(model(IDS).logits, expected)
    assert prepacked(model) == 14


def test_a_layer_is_let_go_before_the_next_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("Qwen2").eval()
    monkeypatch.setattr(prepacking, "can_prepack", lambda device, dtype: True)
    body = model.base_model.layers.modules()
    layers = [weakref.ref(each) for each in body if isinstance(each, torch.nn.Linear)]
    there = []

    def packed(layer: object) -> Any:
        there.append(sum(each() is not None for each in layers))
        return torch.nn.Identity()

    monkeypatch.setattr(prepacking, "PrepackedLinear", packed)
    prepack(model)
    assert there == list(range(14, 0, -1))


@pytest.mark.pinned
def test_a_model_that_reads_its_weights_itself_keeps_them() -> None:
    config = transformers.MambaConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, state_size=8
    )
    model = transformers.MambaForCausalLM(config).eval()
    with torch.inference_mode():
        expected = model(IDS).logits
        prepack(model)
        assert torch.equal(model(IDS).logits, expected)
    assert prepacked(model) == 0
