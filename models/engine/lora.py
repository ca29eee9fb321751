"""LoRA's layers, there and back, in as few passes over their activations as there can be.

`peft` computes an adapter in float32 beside a layer in bfloat16: it casts what goes in, adds two
outputs of the layer's size and casts the sum, and autograd walks all of that back. Here the
adapter's product is added to the layer's output in place, in the layer's number type; its weights
and their gradients stay float32, as in mixed precision. Frozen weights never change, so a CPU keeps
them in the layout of its products, once for either direction.

Names, first weights and files are those of `peft`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch.autograd.function import once_differentiable

from siftline.models.engine.prepacking import PrepackedWeight, can_prepack

Product: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


def quicken(model: PeftModel) -> int:
    """Let the adapted linear layers of a model compute as this module does, in place.

    Layers of which `peft` computes more than `W x + scale B A x` (a dropout, DoRA, a merged or a
    second adapter) are left to it.

    Args:
        model: A model whose adapters alone are trained. What is frozen in the layers that are
            changed can be run afterwards, and no longer read.

    Returns:
        The number of layers that were changed.
    """
    layers = [each for each in model.modules() if type(each) is Linear and _is_plain(each)]
    for layer in layers:
        setattr(layer, "forward", _Adapted(layer))  # noqa: B010 (a method, as peft's types say)
    return len(layers)


def _is_plain(layer: Any) -> bool:
    base = layer.base_layer
    return (
        type(base) is torch.nn.Linear
        and not base.weight.requires_grad
        and not base._forward_hooks
        and not base._forward_pre_hooks
        and list(layer.lora_A) == layer.active_adapters
        and len(layer.lora_A) == 1
        and not getattr(layer, "lora_variant", None)  # peft before 0.16 knows DoRA alone
        and not any(layer.use_dora.values())
        and not layer.merged
        and all(type(each) is torch.nn.Identity for each in layer.lora_dropout.values())
        and all(each.bias is None for each in (*layer.lora_A.values(), *layer.lora_B.values()))
    )


class _Adapted:
    """The forward pass of one adapted layer."""

    def __init__(self, layer: Any) -> None:
        (name,) = layer.lora_A
        base = layer.base_layer
        self._there, self._back = _products(base)
        self._bias = base.bias
        self._dtype = base.weight.dtype
        self._down, self._up = layer.lora_A[name], layer.lora_B[name]
        self._scale = float(layer.scaling[name])

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return the layer's output: [..., outputs]."""
        down, up = (each.weight.to(self._dtype) for each in (self._down, self._up))
        output: torch.Tensor = _Function.apply(  # type: ignore[no-untyped-call]
            states.flatten(0, -2), down, up, self._there, self._back, self._bias, self._scale
        )
        return output.view(*states.shape[:-1], -1)


def _products(base: torch.nn.Linear) -> tuple[Product, Product]:
    """Return the product of a frozen layer with states, and that of gradients with it.

    Where the products have a layout of their own, the weight in the usual one is given up.
    """
    weight = base.weight.detach()
    if not can_prepack(weight.device, weight.dtype):
        return lambda states: states @ weight.T, lambda gradients: gradients @ weight
    base.weight = torch.nn.Parameter(weight.new_empty(0), requires_grad=False)
    return PrepackedWeight(weight, None), PrepackedWeight(weight.T, None)


class _Function(torch.autograd.Function):
    """`W x + b + scale B A x` for frozen W and b."""

    @staticmethod
    def forward(
        context: Any,
        states: torch.Tensor,
        down: torch.Tensor,
        up: torch.Tensor,
        there: Product,
        back: Product,
        bias: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        """Return [tokens, outputs] for states [tokens, inputs]."""
        narrow = states @ down.T
        output = there(states)
        if bias is not None:
            output.add_(bias)
        output.addmm_(narrow, up.T, alpha=scale)
        context.save_for_backward(states, narrow, down, up)
        context.back, context.scale = back, scale
        return output

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of states, of A and of B."""
        states, narrow, down, up = context.saved_tensors
        behind = (gradient @ up).mul_(context.scale)
        of_states = None
        if context.needs_input_grad[0]:
            of_states = context.back(gradient).addmm_(behind, down)
        of_up = gradient.T @ narrow.mul(context.scale)
        return of_states, behind.T @ states, of_up, None, None, None, None
