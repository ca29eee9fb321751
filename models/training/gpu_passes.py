"""How large the passes of a training are on a GPU, and whether they are worth capturing.

A GPU computes a small model's pass in less time than its kernels take to launch. So such a model
gets larger batches, with more padding, and its passes are captured
(siftline.models.engine.captured_passes).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # an optional dependency, and slow to import
    import torch

# Padded tokens of a pass of a large model; a small one has what a quarter of the memory holds.
_TOKENS = 8192
_MEMORY_SHARE = 0.25
# Values that a pass keeps for its gradients: of each token in a layer, in widths of the model; and
# of each token whose logits are wanted.
_KEPT_WIDTHS, _KEPT_LOGITS = 34, 3
# Floating-point operations that a GPU could do while the kernels of one pass are launched: some
# 15 ms at 100 TFLOP/s.
_LAUNCHES = 1.5e12


def gpu_batches(model: "torch.nn.Module") -> tuple[int, int]:
    """Return the most tokens of a pass, and the tokens that take as long as its launches."""
    import torch  # an optional dependency, and slow to import

    device = next(model.parameters()).device
    room = _MEMORY_SHARE * torch.cuda.get_device_properties(device).total_memory
    return most_tokens(model, room), int(_LAUNCHES / _operations(model))


def most_tokens(model: "torch.nn.Module", room: float) -> int:
    """Return the most tokens of a pass that keeps so many bytes for its gradients, in float32."""
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    width, layers, vocabulary = (
        getattr(config, name, None) or 0
        for name in ("hidden_size", "num_hidden_layers", "vocab_size")
    )
    kept = 4 * (_KEPT_WIDTHS * width * layers + _KEPT_LOGITS * vocabulary)
    return max(_TOKENS, int(room / kept)) if width and layers else _TOKENS


def is_launch_bound(model: "torch.nn.Module") -> bool:
    """Return whether launching a pass takes a good part of its time, and it can be replayed.

    A model with dropout cannot: the random numbers of a replayed pass would not be its step's.
    """
    return _operations(model) * _TOKENS < 4 * _LAUNCHES and not _has_dropout(model)


def _operations(model: "torch.nn.Module") -> int:
    """Return the floating-point operations of a token, there and back."""
    return 6 * sum(weight.numel() for weight in model.parameters())


def _has_dropout(model: "torch.nn.Module") -> bool:
    import torch  # an optional dependency, and slow to import

    config: Any = getattr(model, "config", None)
    settings = config.to_dict() if hasattr(config, "to_dict") else {}
    stated = any(
        "drop" in name and isinstance(value, float) and value > 0
        for name, value in settings.items()
    )
    return stated or any(
        isinstance(each, torch.nn.Dropout) and each.p > 0 for each in model.modules()
    )
