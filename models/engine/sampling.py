"""From logits to tokens: the draw, and the state of the samples that are under way.

A token is drawn by inverting the cumulative distribution at a given random number, so that a
sample is a function of its logits and its own random stream. Nothing here waits for the device,
and no tensor that lasts from step to step ever moves: the steps can be captured and replayed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad

from siftline.models.engine.forward import on_device

# Weights are summed in groups of so many tokens; the sum that meets the number is looked into.
_GROUP = 32
# How many of the likeliest tokens are sorted at first for `top_p`; nearly always enough.
_LIKELIEST = 256


class Drawn(NamedTuple):
    """The tokens of one sample.

    Attributes:
        ids: The tokens, without the one that ended the sample.
        stopped: Whether the model ended the sample.
        finite: Whether all its logits were numbers; otherwise it was given up where one was not.
    """

    ids: list[int]
    stopped: bool
    finite: bool = True


def draw(
    logits: torch.Tensor, numbers: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """Draw a token for each row.

    Args:
        logits: [rows, vocabulary] float32.
        numbers: [rows] float64, random numbers in [0, 1).
        temperature: Temperature of the softmax; 0 takes the likeliest token.
        top_p: Draw from the smallest set of likeliest tokens that holds this probability; of two
            that are as likely the one with the lower number counts as likelier.

    Returns:
        [rows] tokens.
    """
    if temperature == 0:
        return logits.argmax(dim=1)
    weights = (logits if temperature == 1 else logits / temperature).softmax(dim=1)
    if top_p == 1:
        return _invert(weights, numbers)
    if weights.device.type == "cuda":  # whether a part would do is known on the device only
        return _invert_sorted(*weights.sort(dim=1, descending=True, stable=True), numbers, top_p)
    return _invert_nucleus(weights, numbers, top_p)


def _invert_nucleus(weights: torch.Tensor, numbers: torch.Tensor, top_p: float) -> torch.Tensor:
    """Draw from the nucleus of each row, sorting whole only the rows with a large one."""
    size = min(_LIKELIEST, weights.shape[1])
    likeliest, tokens = weights.topk(size, dim=1)
    tokens = tokens.sort(dim=1).values  # of equals the lower number comes first
    likeliest, order = weights.gather(1, tokens).sort(dim=1, descending=True, stable=True)
    tokens = tokens.gather(1, order)
    drawn = _invert_sorted(likeliest, tokens, numbers, top_p)
    # Of those as heavy as the last, others may have been left out.
    heavier = likeliest * (likeliest > likeliest[:, -1:])
    rest = (heavier.sum(dim=1, dtype=torch.float64) < top_p).nonzero()[:, 0]
    if len(rest) and size < weights.shape[1]:
        whole = weights[rest].sort(dim=1, descending=True, stable=True)
        drawn[rest] = _invert_sorted(*whole, numbers[rest], top_p)
    return drawn


def _invert_sorted(
    weights: torch.Tensor, tokens: torch.Tensor, numbers: torch.Tensor, top_p: float
) -> torch.Tensor:
    """Draw from the nuclei of rows whose weights are sorted, the heaviest first."""
    before = weights.cumsum(dim=1, dtype=torch.float64) - weights
    return tokens.gather(1, _invert(weights * (before < top_p), numbers)[:, None])[:, 0]


def _invert(weights: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Return where the cumulative weights of each row pass a share of their sum: [rows]."""
    if short := -weights.shape[1] % _GROUP:
        weights = pad(weights, (0, short))
    groups = weights.view(len(weights), -1, _GROUP)
    sums = groups.sum(dim=2)
    cumulative = sums.cumsum(dim=1, dtype=torch.float64)
    wanted = numbers[:, None] * cumulative[:, -1:]
    group = _passing(cumulative, wanted, sums)
    before = cumulative.gather(1, group) - sums.gather(1, group)
    own = groups.gather(1, group[:, :, None].expand(-1, -1, _GROUP))[:, 0]
    place = _passing(own.cumsum(dim=1, dtype=torch.float64), wanted - before, own)
    return (group * _GROUP + place)[:, 0]


def _passing(cumulative: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the first place of each row that passes a number, or its last one of any weight.

    A number next to the end may miss it by rounding.
    """
    places = torch.arange(weights.shape[1], device=weights.device)
    last = torch.where(weights > 0, places, 0).amax(dim=1, keepdim=True)
    return torch.minimum(torch.searchsorted(cumulative, wanted, right=True), last)


class Report(NamedTuple):
    """What had become of the samples after some step, on its way to the host.

    Attributes:
        state: [4, slots] int32: number of tokens, whether it goes on, whether the model ended it,
            whether its logits were no numbers.
        drawn: [slots, tokens] int32, the tokens.
        ready: What tells that the copies have arrived; None where they have.
    """

    state: torch.Tensor
    drawn: torch.Tensor
    ready: torch.cuda.Event | None

    def arrays(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Wait for the copies; return state and tokens."""
        if self.ready:
            self.ready.synchronize()
        return self.state.numpy(), self.drawn.numpy()


class Slots:
    """The samples that are under way, as tensors on the device that stay where they are.

    Attributes:
        rows: How many slots, from the first on, are computed.
        tokens: [slots] the last token of each sample, which no step has read yet.
        counts: [slots] number of tokens drawn.
    """

    def __init__(
        self,
        size: int,
        width: int,
        stops: frozenset[int],
        temperature: float,
        top_p: float,
        device: torch.device,
    ) -> None:
        """Make empty slots.

        Args:
            size: Number of slots.
            width: The most tokens of a sample.
            stops: The tokens that end a sample.
            temperature: As for :func:`draw`.
            top_p: As for :func:`draw`.
            device: Where they are.
        """
        self.rows = size
        self._stops = torch.tensor(sorted(stops), dtype=torch.long, device=device)
        self._temperature, self._top_p = temperature, top_p
        self._device = device
        self.tokens = torch.zeros(size, dtype=torch.long, device=device)
        self.counts = torch.zeros(size, dtype=torch.long, device=device)
        self._limits = torch.zeros(size, dtype=torch.long, device=device)
        self._live = torch.zeros(size, dtype=torch.bool, device=device)
        self._stopped = torch.zeros(size, dtype=torch.bool, device=device)
        self._broken = torch.zeros(size, dtype=torch.bool, device=device)
        self._numbers = torch.zeros(size, width, dtype=torch.float64, device=device)
        self._drawn = torch.zeros(size, width, dtype=torch.int32, device=device)

    def fill(
        self,
        slots: Sequence[int],
        tokens: Sequence[int],
        limits: Sequence[int],
        numbers: npt.NDArray[np.float64],
    ) -> None:
        """Begin samples.

        Args:
            slots: Their slots.
            tokens: The last token of the prompt of each.
            limits: The most tokens of each.
            numbers: [samples, width] random numbers in [0, 1).
        """
        where = on_device(np.array(slots), self._device)
        for state, values in ((self.tokens, tokens), (self._limits, limits)):
            state[where] = on_device(np.array(values), self._device)
        self._numbers[where] = on_device(numbers, self._device)
        self.counts[where] = 0
        self._live[where] = True
        self._stopped[where] = False
        self._broken[where] = False

    def take(self, logits: torch.Tensor) -> None:
        """Draw the next token of each sample: [rows, vocabulary] float32 logits.

        A sample whose logits are not finite numbers (of some tokens they may be minus infinity) is
        given up: whatever were drawn from them would be made up.
        """
        rows = slice(self.rows)
        counts, live = self.counts[rows], self._live[rows]
        place = counts.clamp(max=self._drawn.shape[1] - 1)[:, None]
        numbers = self._numbers[rows].gather(1, place)[:, 0]
        broken = live & ~logits.amax(dim=1).isfinite()
        self._broken[rows].logical_or_(broken)
        live.logical_and_(~broken)
        drawn = draw(logits, numbers, self._temperature, self._top_p)
        tokens = torch.where(live, drawn, self.tokens[rows])
        # What a finished sample writes lies behind its end, or is its last token again.
        self._drawn[rows].scatter_(1, place, tokens[:, None].int())
        stopped = live & (tokens[:, None] == self._stops).any(dim=1)
        self.tokens[rows].copy_(tokens)
        self._stopped[rows].logical_or_(stopped)
        live.logical_and_(~stopped)
        counts.add_(live)
        live.logical_and_(counts < self._limits[rows])

    def keep(self, slots: Sequence[int]) -> None:
        """Go on with some slots only, which become the first ones."""
        where = on_device(np.array(slots), self._device)
        for state in (
            self.tokens,
            self.counts,
            self._limits,
            self._live,
            self._stopped,
            self._broken,
        ):
            state[: len(slots)] = state[where]
        for table in (self._numbers, self._drawn):
            table[: len(slots)] = table[where]
        self.rows = len(slots)

    def report(self) -> Report:
        """Send what has become of the samples to the host, without waiting for it."""
        state = torch.stack(
            [each.int() for each in (self.counts, self._live, self._stopped, self._broken)]
        )
        if self._device.type != "cuda":
            return Report(state, self._drawn.clone(), None)
        copies = [each.to("cpu", non_blocking=True) for each in (state, self._drawn)]
        ready = torch.cuda.Event()
        ready.record()
        return Report(copies[0], copies[1], ready)
