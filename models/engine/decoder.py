"""What decodes token by token: the contract."""

from collections.abc import Hashable, Sequence
from typing import Protocol

import torch


class Decoder(Protocol):
    """Samples in numbered slots, and what the model has computed for them so far.

    Attributes:
        joins: Whether prompts can be read while other samples are under way.
        passes: Number of forward passes so far that read prompts and nothing else.
    """

    joins: bool
    passes: int

    def read(self, prompts: Sequence[tuple[int, ...]], slots: Sequence[Sequence[int]]) -> int:
        """Read prompts but for their last tokens, which the next step brings.

        Args:
            prompts: The tokens of each prompt.
            slots: The slots of the samples of each prompt; all free.

        Returns:
            How many of the prompts, from the first on, there was room for: at least one where no
            sample is under way.
        """
        ...

    def step(self, tokens: torch.Tensor, counts: torch.Tensor, longest: int) -> torch.Tensor:
        """Add one token to each sample.

        Args:
            tokens: [rows] the tokens, of the slots from the first on.
            counts: [rows] how many tokens each sample has been given before.
            longest: No sample that counts has been given more tokens before.

        Returns:
            [rows, vocabulary] float32, the logits of the next tokens.
        """
        ...

    def shape(self, rows: int, longest: int) -> Hashable:
        """Return what the shapes of all tensors of a step depend on; None where on anything.

        Args:
            rows: As for :meth:`step`.
            longest: As for :meth:`step`.
        """
        ...

    def free(self, slots: Sequence[int]) -> None:
        """Forget samples; their slots are still computed."""
        ...

    def keep(self, slots: Sequence[int]) -> None:
        """Forget all samples but those of some slots, which become the first ones, in order."""
        ...
