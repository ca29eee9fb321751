"""What decodes token by token: the contract."""

from collections.abc import Sequence
from typing import Protocol

import torch


class Decoder(Protocol):
    """The samples of one batch, and what the model has computed for them so far."""

    def start(self, prompts: Sequence[tuple[int, ...]], samples: int) -> torch.Tensor:
        """Read prompts, each for several samples.

        Args:
            prompts: The tokens of each prompt.
            samples: Number of samples of each prompt.

        Returns:
            [prompts * samples, vocabulary] float32, the logits of the first tokens; those of one
            prompt follow one another.
        """
        ...

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to each sample.

        Args:
            tokens: [samples] the tokens.

        Returns:
            [samples, vocabulary] float32, the logits of the next tokens.
        """
        ...

    def keep(self, samples: torch.Tensor) -> None:
        """Drop all samples but some.

        Args:
            samples: [kept] the numbers of the samples to go on with.
        """
        ...
