"""Decoding without a cache: the whole text goes through the model again for each token.

It is slow, and right for every model that can be run at all: for those whose cache cannot be cut
and copied sample by sample, and where frequencies of positions change while a text grows.
"""

from collections.abc import Sequence

import torch

from siftline.models.engine.forward import Network
from siftline.models.engine.rope import by_regime
from siftline.models.likelihood import plan


class RecomputingDecoder:
    """A :class:`siftline.models.engine.decoder.Decoder` that keeps tokens only."""

    def __init__(self, network: Network, max_batch_tokens: int) -> None:
        self._network = network
        self._max_batch_tokens = max_batch_tokens
        self._texts: list[tuple[int, ...]] = []

    def start(self, prompts: Sequence[tuple[int, ...]], samples: int) -> torch.Tensor:
        """Read prompts; see :class:`siftline.models.engine.decoder.Decoder`."""
        logits = self._after(prompts)
        self._texts = [prompt for prompt in prompts for _ in range(samples)]
        return logits.repeat_interleave(samples, dim=0)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to each sample; see :class:`siftline.models.engine.decoder.Decoder`."""
        added = zip(self._texts, tokens.tolist(), strict=True)
        self._texts = [(*text, token) for text, token in added]
        return self._after(self._texts)

    def keep(self, samples: torch.Tensor) -> None:
        """Drop all samples but some; see :class:`siftline.models.engine.decoder.Decoder`."""
        self._texts = [self._texts[sample] for sample in samples.tolist()]

    def _after(self, texts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Return the logits after each text: [texts, vocabulary] float32."""
        parts: dict[int, torch.Tensor] = {}
        for numbers in by_regime([len(text) for text in texts], self._network.rope):
            group = [texts[number] for number in numbers]
            for batch in plan([len(text) for text in group], group, self._max_batch_tokens):
                logits = self._network.logits_after([group[place] for place in batch])
                parts |= {numbers[place]: row for place, row in zip(batch, logits, strict=True)}
        return torch.stack([parts[number] for number in range(len(texts))])
