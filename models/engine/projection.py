"""From hidden states to log-probabilities, without ever holding the logits of a batch.

Each block of states is multiplied with one block of the vocabulary after the other. The product is
small enough to stay in the processor's cache while its logsumexp is taken in float32, and a model's
largest matrix is read from memory once per block of states.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch

from siftline.models.engine.prepacking import PrepackedWeight, can_prepack

# Rows and columns of the logits that exist at once, by kind of device. On CPU half a million
# bfloat16 fit the second-level caches; a GPU needs larger products to reach its full rate.
_BLOCK = {"cpu": (512, 2048), "cuda": (4096, 16384)}


class Projection:
    """The vocabulary projection of a model, cut into blocks."""

    def __init__(self, head: torch.nn.Linear) -> None:
        weight = head.weight.detach()
        self._rows, self._columns = _BLOCK["cpu" if weight.device.type == "cpu" else "cuda"]
        weights = torch.split(weight, self._columns)
        biases: Sequence[torch.Tensor | None] = [None] * len(weights)
        if head.bias is not None:
            biases = torch.split(head.bias.detach(), self._columns)
        make = PrepackedWeight if can_prepack(weight.device, weight.dtype) else _product
        self._products = [make(*each) for each in zip(weights, biases, strict=True)]

    def log_probabilities(
        self, states: torch.Tensor, targets: torch.Tensor, compiled: bool = False
    ) -> torch.Tensor:
        """Return the log-probability of one token after each state.

        Args:
            states: [scored, hidden] hidden states.
            targets: [scored] the tokens.
            compiled: Whether to take the logsumexp with a compiled kernel.

        Returns:
            [scored] float32, in nats.
        """
        parts = zip(torch.split(states, self._rows), torch.split(targets, self._rows), strict=True)
        return torch.cat([self._block(*part, compiled) for part in parts])

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return the logits after each state: [states, vocabulary] float32."""
        return torch.cat([product(states).float() for product in self._products], dim=1)

    def _block(
        self,
        states: torch.Tensor,
        targets: torch.Tensor,
        compiled: bool,
    ) -> torch.Tensor:
        totals = []
        # For a single row, which the compiler holds for a case of its own, it would start anew.
        reduce = _compiled_logsumexp() if compiled and len(states) > 1 else logsumexp
        chosen = torch.zeros(len(states), dtype=torch.float32, device=states.device)
        for number, product in enumerate(self._products):
            logits = product(states)
            inside = targets - number * self._columns
            own = logits.gather(1, inside.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
            here = (inside >= 0) & (inside < logits.shape[1])
            chosen = torch.where(here, own.float(), chosen)
            totals.append(reduce(logits))
        return chosen - torch.stack(totals).logsumexp(dim=0)


def _product(
    weight: torch.Tensor, bias: torch.Tensor | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    return partial(torch.nn.functional.linear, weight=weight, bias=bias)


def logsumexp(logits: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the sum of exponentials of each row: [rows] float32.

    PyTorch's own makes two more copies of the logits, which cost as much as the arithmetic. Here
    those in float32 are overwritten.
    """
    wide = logits.to(torch.float32)
    highest = wide.amax(dim=1, keepdim=True)
    return wide.sub_(highest).exp_().sum(dim=1).log_().add_(highest[:, 0])


@cache
def _compiled_logsumexp() -> Callable[[torch.Tensor], torch.Tensor]:
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(
        lambda logits: logits.float().logsumexp(dim=1), dynamic=True
    )
    return compiled
