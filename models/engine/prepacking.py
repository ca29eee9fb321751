"""Weights in the layout that the CPU's matrix product reads.

PyTorch brings a weight into that layout again at each product. Done once, when a model is loaded,
the linear layers of SmolLM2 run 17 to 19 % faster in bfloat16 and about a tenth in float32
(docs/decisions.md). The copy in the usual layout is given up, so this is for models that only run
forward.
"""

import platform
from collections.abc import Mapping, Sequence
from typing import TypeGuard
from weakref import WeakValueDictionary

import torch
from transformers import PreTrainedModel

from siftline.models.engine.capabilities import scattered_tokens

# By key. A compiled model cannot hold a weight in this layout itself.
_weights: "WeakValueDictionary[int, PrepackedWeight]" = WeakValueDictionary()


class PrepackedWeight:
    """One weight, ready for products.

    Attributes:
        outputs: Number of its output features.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.outputs = len(weight)
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
        self._bias = bias

    def replace(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Take other values of the same shapes."""
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
        self._bias = bias

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return `states @ weight.T + bias`: [..., outputs]."""
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self._packed, self._bias, "none", [], ""
        )
        return product


# An operator of its own, so that a compiled model calls it as it is.
@torch.library.custom_op("siftline::prepacked_linear", mutates_args=())
def prepacked_linear(states: torch.Tensor, key: torch.Tensor, outputs: int) -> torch.Tensor:
    """Return the product of states with the weight that has a key: [..., outputs]."""
    return _weights[int(key)](states)


@prepacked_linear.register_fake
def _(states: torch.Tensor, key: torch.Tensor, outputs: int) -> torch.Tensor:
    return states.new_empty(*states.shape[:-1], outputs)


class PrepackedLinear(torch.nn.Module):
    """A linear layer with a prepacked weight.

    Attributes:
        in_features: Number of features of its input.
        out_features: Number of features of its output.
    """

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features = layer.in_features
        self.out_features = layer.out_features
        bias = None if layer.bias is None else layer.bias.detach()
        self._weight = PrepackedWeight(layer.weight.detach(), bias)
        # A tensor, so that the layers of a model stay alike for the compiler.
        self._key = torch.tensor(id(self._weight))
        _weights[id(self._weight)] = self._weight

    def replace(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Take other values of the same shapes."""
        self._weight.replace(weight, bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the layer's output: [..., out_features]."""
        if torch.compiler.is_compiling():
            product: torch.Tensor = prepacked_linear(states, self._key, self.out_features)
            return product
        return self._weight(states)


def can_prepack(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether matrix products of a type on a device are faster with prepacked weights.

    That was measured on x86 only.
    """
    if device.type != "cpu" or platform.machine() not in ("x86_64", "AMD64"):
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


class _Sealed(torch.nn.Module):
    """A linear layer that computes as before, and whose weights nobody can read.

    Attributes:
        in_features: Number of features of its input.
        out_features: Number of features of its output.
        sealed: The layer, in a tuple, so that it is no part of this one.
    """

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features = layer.in_features
        self.out_features = layer.out_features
        self.sealed = (layer,)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the layer's output: [..., out_features]."""
        output: torch.Tensor = self.sealed[0](states)
        return output


def prepack(model: PreTrainedModel) -> None:
    """Replace the plain linear layers of a model's body by prepacked ones, in place.

    One by one, so that the memory grows by one layer. A model whose own code reads the weights of
    its layers (Mamba, Jamba) keeps them as they are.
    """
    places = [
        (parent, name)
        for parent in list(model.base_model.modules())
        for name, child in parent.named_children()
        if _is_plain(child)
    ]
    if _runs_sealed(model, places):
        for parent, name in places:
            setattr(parent, name, PrepackedLinear(getattr(parent, name)))


@torch.inference_mode()
def replace_weights(model: PreTrainedModel, state: Mapping[str, torch.Tensor]) -> None:
    """Give a model other weights, in place, be its layers prepacked or not.

    Args:
        model: The model.
        state: The `state_dict` of another one with the same configuration, on any device.

    Raises:
        KeyError: It lacks a weight.
    """
    for name, module in model.named_modules():
        if isinstance(module, PrepackedLinear):
            bias = state.get(f"{name}.bias")
            module.replace(state[f"{name}.weight"], None if bias is None else bias.clone())
    for name, value in model.state_dict().items():
        value.copy_(state[name])


def _runs_sealed(model: PreTrainedModel, places: Sequence[tuple[torch.nn.Module, str]]) -> bool:
    """Return whether a model runs without reading the weights of some of its layers."""
    for parent, name in places:
        setattr(parent, name, _Sealed(getattr(parent, name)))
    try:
        with torch.inference_mode():
            model.base_model(scattered_tokens(model, 4)[None], use_cache=False)
    except AttributeError:
        return False
    finally:
        for parent, name in places:
            setattr(parent, name, getattr(parent, name).sealed[0])
    return True


def _is_plain(layer: torch.nn.Module) -> TypeGuard[torch.nn.Linear]:
    """Return whether a layer is a linear one and nothing else (quantised ones are subclasses)."""
    return (
        type(layer) is torch.nn.Linear
        and can_prepack(layer.weight.device, layer.weight.dtype)
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
    )
