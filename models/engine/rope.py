"""Rotary positions whose frequencies depend on the length of what is read.

LongRoPE (Phi-3) has one set of frequencies for texts within the original window and one for longer
ones; dynamic NTK has a set for each length beyond the window. `transformers` chooses by the longest
row of a batch, so rows that need other frequencies must not meet in a forward pass, and keys that
were kept from a shorter text are of no use. Dynamic NTK also keeps the frequencies of the longest
text that it has seen: here each forward pass begins with the original ones.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torch import nn
from transformers import PreTrainedModel


class RopeWindow(NamedTuple):
    """Up to which length the frequencies are always the same.

    Attributes:
        tokens: Number of tokens of the original window.
        exact: Whether each length beyond it has frequencies of its own.
    """

    tokens: int
    exact: bool

    def regime(self, length: int) -> int:
        """Return a number that is the same for lengths with the same frequencies.

        Args:
            length: Number of tokens that go through the model.
        """
        if length <= self.tokens:
            return 0
        return length if self.exact else 1


NO_WINDOW = RopeWindow(2**62, exact=False)
"""That of a model whose frequencies depend on no length."""


def rope_window(model: PreTrainedModel) -> RopeWindow:
    """Return the window of a model, and let each of its forward passes begin afresh."""
    windows = []
    for module in model.modules():
        types = _values(getattr(module, "rope_type", None))
        if any("dynamic" in str(each) for each in types):
            module.register_forward_pre_hook(_afresh)
            windows.append(RopeWindow(int(module.original_max_seq_len), exact=True))  # type: ignore[arg-type]
        if "longrope" in types:
            windows += [RopeWindow(size, exact=False) for size in _originals(module.config)]
    # With several, rows of one length keep to themselves beyond the smallest.
    sizes = {each.tokens for each in windows}
    exact = len(sizes) > 1 or any(each.exact for each in windows)
    return RopeWindow(min(sizes), exact) if windows else NO_WINDOW


def by_regime(lengths: Sequence[int], window: RopeWindow) -> list[list[int]]:
    """Part rows so that those of one part need the same frequencies.

    Args:
        lengths: Number of tokens of each row that go through the model.
        window: That of the model.

    Returns:
        Numbers of rows, by part, those of the shortest first.
    """
    parts: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        parts.setdefault(window.regime(length), []).append(row)
    return [parts[regime] for regime in sorted(parts)]


def _values(setting: Any) -> Iterable[Any]:
    """Return a setting of all layers, or those of each kind of layer."""
    return setting.values() if isinstance(setting, dict) else [setting]


def _originals(config: Any) -> list[int]:
    """Return the original windows that the parameters of LongRoPE name."""
    parameters = config.rope_parameters
    parts = [parameters, *(each for each in parameters.values() if isinstance(each, dict))]
    name = "original_max_position_embeddings"
    return [int(part[name]) for part in parts if part.get("rope_type") == "longrope"]


def _afresh(module: nn.Module, inputs: Any) -> None:
    """Forget the longest text that dynamic frequencies have seen."""
    for name, original in list(module.named_buffers(recurse=False)):
        if name.endswith("original_inv_freq"):
            prefix = name.removesuffix("original_inv_freq")
            setattr(module, f"{prefix}inv_freq", original.clone())
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)
