"""Whether a decoder gives the logits that the model gives for the whole text.

The cache of a model is its own code: some cannot be copied sample by sample, some count padding
into a state, some have none. Like packs, each way of decoding is tried on a few tokens before it is
used: prompts of three lengths, two samples of each, some of which are dropped on the way, and where
prompts can join others under way, one that does. Steps are captured here as they are in use.
"""

import torch

from siftline.models.device_errors import in_one_line, is_of_device
from siftline.models.engine.capabilities import scattered_tokens
from siftline.models.engine.decoder import Decoder
from siftline.models.engine.forward import Network
from siftline.models.engine.replaying import Replayer

_LENGTHS = (12, 7, 3)
_STEPS = 3

ROOM = (7, 2 * _STEPS, 64, 64)
"""The room that a decoder needs for the trial, as :class:`siftline.models.engine.decoding.Room`."""

# Mean difference of logits, as a share of their spread: rounding gives 1e-6 and 0.01, padding that
# leaks into a state 0.1 and more.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 0.05


def what_is_wrong(decoder: Decoder, network: Network) -> str | None:
    """Try a decoder; return what is wrong with it, if anything.

    Args:
        decoder: A decoder that has not been used, with room for :data:`ROOM`.
        network: Its model.
    """
    trial = _Trial(decoder, network)
    try:
        trial.run()
    except Exception as error:  # whatever the model's own code says to a cache
        if is_of_device(error):
            raise
        return in_one_line(error)
    found = torch.cat(trial.logits)
    expected = torch.cat([network.logits_after([text]) for text in trial.texts])
    difference = float((found - expected).abs().mean() / expected.std())
    if difference <= _TOLERANCE.get(network.model.dtype, _HALF_TOLERANCE):
        return None
    return f"its logits would differ by {difference:.2g} of their spread"


class _Trial:
    """A few samples on their way.

    Attributes:
        texts: The texts whose next logits were asked for.
        logits: Those logits, step by step: [samples, vocabulary] each.
    """

    def __init__(self, decoder: Decoder, network: Network) -> None:
        self.texts: list[tuple[int, ...]] = []
        self.logits: list[torch.Tensor] = []
        self._decoder, self._device = decoder, network.device
        self._replayer = Replayer.of(network)
        most = min(network.longest_packed or 64, network.rope.tokens) - 2 * _STEPS
        lengths = [max(1, min(length, most)) for length in (*_LENGTHS, 5)]
        ids = scattered_tokens(network.model, sum(lengths) + 14 * _STEPS).tolist()
        self._prompts = [
            tuple(ids[sum(lengths[:number]) :][:length]) for number, length in enumerate(lengths)
        ]
        self._given = iter(ids[sum(lengths) :])
        self._samples: list[tuple[int, ...]] = []  # by slot: the text so far
        self._logits: torch.Tensor | None = None  # where a captured step leaves them
        self._tokens = torch.zeros(ROOM[0], dtype=torch.long, device=network.device)
        self._counts = torch.zeros(ROOM[0], dtype=torch.long, device=network.device)

    @torch.inference_mode()
    def run(self) -> None:
        """Read prompts, go on, drop some samples, let another prompt join, and go on."""
        first = self._prompts[:3]
        self._decoder.read(first, [[0, 1], [2, 3], [4, 5]])
        self._samples = [prompt for prompt in first for _ in range(2)]
        for number in range(_STEPS):
            self._step(number)
        kept = [0, 2, 3, 5]
        self._decoder.keep(kept)
        self._samples = [self._samples[slot] for slot in kept]
        self._counts[:4] = self._counts[kept]
        if self._decoder.joins:
            self._decoder.free([1])
            self._decoder.read(self._prompts[3:], [[1]])
            self._samples[1] = self._prompts[3]
            self._counts[1] = 0
        for number in range(_STEPS, 2 * _STEPS):
            self._step(number)

    def _step(self, number: int) -> None:
        rows = len(self._samples)
        self._tokens[:rows] = torch.tensor([text[-1] for text in self._samples])

        def turn() -> None:
            logits = self._decoder.step(self._tokens[:rows], self._counts[:rows], number)
            if self._logits is None:
                self._logits = torch.empty_like(logits)
            self._logits[:rows].copy_(logits)

        self._replayer.run(self._decoder.shape(rows, number), turn)
        assert self._logits is not None
        self.logits.append(self._logits[:rows].clone())
        self.texts += self._samples
        self._samples = [(*text, next(self._given)) for text in self._samples]
        self._counts[:rows] += 1
