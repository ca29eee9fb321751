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
    """A :class:`siftline.models.engine.decoder.Decoder` that keeps tokens only.

    Attributes:
        joins: Prompts wait until all samples have ended.
        passes: None read prompts only.
    """

    joins = False
    passes = 0

    def __init__(self, network: Network, max_batch_tokens: int) -> None:
        self._network = network
        self._max_batch_tokens = max_batch_tokens
        self._texts: list[tuple[int, ...]] = []

    def read(self, prompts: Sequence[tuple[int, ...]], slots: Sequence[Sequence[int]]) -> int:
        """Read prompts; see :class:`siftline.models.engine.decoder.Decoder`."""
        pairs = zip(prompts, slots, strict=True)
        texts = {slot: prompt[:-1] for prompt, own in pairs for slot in own}
        self._texts = [texts[slot] for slot in sorted(texts)]
        return len(prompts)

    def step(self, tokens: torch.Tensor, counts: torch.Tensor, longest: int) -> torch.Tensor:
        """Add one token to each sample; see :class:`siftline.models.engine.decoder.Decoder`."""
        added = zip(self._texts, tokens.tolist(), strict=True)
        self._texts = [(*text, token) for text, token in added]
        different = sorted(set(self._texts))
        logits = dict(zip(different, self._after(different), strict=True))
        return torch.stack([logits[text] for text in self._texts])

    def shape(self, rows: int, longest: int) -> None:
        """Return None: a text that grows has a new shape at each step."""

    def free(self, slots: Sequence[int]) -> None:
        """Do nothing: what has ended is dropped by :meth:`keep`."""

    def keep(self, slots: Sequence[int]) -> None:
        """Drop samples; see :class:`siftline.models.engine.decoder.Decoder`."""
        self._texts = [self._texts[slot] for slot in slots]

    def _after(self, texts: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
        """Return the logits after each text: [vocabulary] float32 each."""
        parts: dict[int, torch.Tensor] = {}
        for numbers in by_regime([len(text) for text in texts], self._network.rope):
            group = [texts[number] for number in numbers]
            for batch in plan([len(text) for text in group], group, self._max_batch_tokens):
                logits = self._network.logits_after([group[place] for place in batch])
                parts |= {numbers[place]: row for place, row in zip(batch, logits, strict=True)}
        return [parts[number] for number in range(len(texts))]
