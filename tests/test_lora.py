"""Tests of LoRA's layers: what `peft` computes, in fewer passes, and the same files."""

import copy
import warnings
from typing import Any

import pytest
from tiny_models import tiny_model
from tolerances import assert_alike

from siftline.models.training import tuning

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
lora = pytest.importorskip("siftline.models.engine.lora")

IDS = torch.tensor([[5, 6, 7, 8, 9, 30], [40, 41, 42, 5, 7, 1]])


def adapted(dtype: Any = torch.float32, kind: str = "Llama", **changes: Any) -> Any:
    """Return a model whose second matrices are not 0, as after some steps, as `peft` leaves it."""
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    config = peft.LoraConfig(**{**settings, **changes})
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5 by a name that it gives up
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
        model = peft.get_peft_model(tiny_model(kind).to(dtype), config)
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


def learned(model: Any) -> tuple[float, dict[str, Any]]:
    """Return the loss of some rows, and the gradients of the adapters by name."""
    loss = model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    return float(loss.detach()), {
        name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad
    }


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "GPTNeoX"])  # the last two with biases
def test_gradients_are_those_of_peft(kind: str) -> None:
    plain, quick = adapted(kind=kind), adapted(kind=kind)
    assert lora.quicken(quick) == sum(
        type(each) is peft.tuners.lora.Linear for each in plain.modules()
    )
    expected, theirs = learned(plain)
    loss, ours = learned(quick)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert list(ours) == list(theirs)
    for name, gradient in theirs.items():
        assert gradient.abs().max() > 0
        assert_alike(gradient, ours[name], 12 * 48)


def test_in_bfloat16_gradients_are_as_near_to_float32_as_those_of_peft() -> None:
    _, exact = learned(adapted())
    quick = adapted(torch.bfloat16)
    lora.quicken(quick)
    _, theirs = learned(adapted(torch.bfloat16))
    _, ours = learned(quick)

    def off(found: dict[str, Any]) -> float:
        return sum(float((found[name] - exact[name]).norm()) for name in exact)

    assert {gradient.dtype for gradient in ours.values()} == {torch.float32}
    assert off(ours) < 1.5 * off(theirs)


@pytest.mark.filterwarnings("ignore:Could not find a config file")  # peft 0.14
def test_what_is_saved_is_what_peft_saves() -> None:
    plain, quick = adapted(), adapted()
    lora.quicken(quick)
    ours, theirs = (peft.get_peft_model_state_dict(each) for each in (quick, plain))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("changes", [{"lora_dropout": 0.5}, {"use_dora": True}])
def test_what_peft_computes_otherwise_is_left_to_it(changes: dict[str, Any]) -> None:
    model = adapted(**changes)
    before = copy.deepcopy(model.state_dict())
    assert lora.quicken(model) == 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_weight_that_is_trained_itself_is_left_to_peft() -> None:
    model = adapted()
    layer = next(each for each in model.modules() if type(each) is peft.tuners.lora.Linear)
    layer.base_layer.weight.requires_grad_(True)
    assert (
        lora.quicken(model)
        == sum(type(each) is peft.tuners.lora.Linear for each in model.modules()) - 1
    )
    learned(model)
    assert layer.base_layer.weight.grad is not None


def test_fine_tuning_uses_them() -> None:
    model = tuning._with_lora(tiny_model("Llama"), 4)
    assert all(
        isinstance(each.forward, lora._Adapted)
        for each in model.modules()
        if type(each) is peft.tuners.lora.Linear
    )
