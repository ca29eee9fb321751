"""The loop over tokens: samples begin in slots that others have left (continuous batching).

What happens when is a function of the questions, their order and the room, never of time: after
every few steps the host learns which samples have ended, gives their slots to those that wait, and
once nobody waits, drops the empty ones. On a GPU it reads the state of one burst of steps while the
next one runs, so that the device never waits for it.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from siftline.models.engine.decoder import Decoder
from siftline.models.engine.replaying import Replayer
from siftline.models.engine.sampling import Drawn, Report, Slots


class Pace(NamedTuple):
    """How often the host looks at the samples.

    Attributes:
        burst: Number of steps between two looks.
        late: How many bursts may be under way when one is looked at.
        free: The share of slots that is free before prompts are read into them.
        shrink: Once nobody waits, empty slots are dropped when no more than this share is in use.
        fixed: Whether numbers of rows are powers of two, so that few shapes are met.
    """

    burst: int
    late: int
    free: float
    shrink: float
    fixed: bool


PACES = {
    # Reading prompts costs what they cost, wherever; every shape is welcome.
    "cpu": Pace(1, 0, 0.125, 0.75, fixed=False),
    # A pack of prompts takes as long as a few steps, however small: with samples of a hundred
    # tokens, a quarter of the slots is where that and the empty slots cost least.
    "cuda": Pace(4, 1, 0.25, 0.5, fixed=True),
}


class Portion(NamedTuple):
    """Samples of one prompt that begin together.

    Attributes:
        number: The caller's number of the prompt.
        ids: The tokens of the prompt.
        limit: The most tokens of a sample.
        samples: The numbers of the samples.
    """

    number: int
    ids: tuple[int, ...]
    limit: int
    samples: tuple[int, ...]


class _Owner(NamedTuple):
    """Who has a slot.

    Attributes:
        portion: Of which the sample is.
        sample: Its number.
        since: Number of the burst before which it began.
        until: Number of the step by which it has ended at the latest.
    """

    portion: Portion
    sample: int
    since: int
    until: int


class Batch:
    """The samples of some prompts, from the first to the last token.

    Attributes:
        tokens: Number of tokens of prompts that were read, and of finished samples.
    """

    def __init__(
        self,
        portions: Sequence[Portion],
        decoder: Decoder,
        slots: Slots,
        replayer: Replayer,
        pace: Pace,
        numbers: Callable[[int, int], npt.NDArray[np.float64]],
        done: Callable[[Portion, int, Drawn], None],
    ) -> None:
        """Prepare.

        Args:
            portions: The samples, in the order in which they begin.
            decoder: A decoder that has not been used.
            slots: Its slots, all of them empty.
            replayer: Runs the steps.
            pace: That of the device.
            numbers: Returns the random numbers of a prompt and a sample, by their numbers.
            done: Is given each sample when it has ended.
        """
        self.tokens = 0
        self._waiting = deque(portions)
        self._decoder, self._slots, self._replayer, self._pace = decoder, slots, replayer, pace
        self._numbers, self._done = numbers, done
        self._size = slots.rows
        self._owners: list[_Owner | None] = [None] * slots.rows
        self._reports: deque[tuple[int, Report]] = deque()
        self._bursts = self._steps = 0

    @property
    def passes(self) -> int:
        """Number of forward passes so far."""
        return self._decoder.passes + self._steps

    @torch.inference_mode()
    def run(self) -> None:
        """Answer all."""
        while self._waiting or self._busy():
            if self._may_begin():
                self._begin()
            elif not self._waiting or not self._decoder.joins:
                self._shrink()
            self._burst()
            # What cannot go on has ended: wait for it.
            late = self._pace.late if self._left() else 0
            while len(self._reports) > late:
                self._settle(*self._reports.popleft())
        while self._reports:  # all have ended, but what is captured may be let go of only at rest
            self._settle(*self._reports.popleft())

    def unfinished(self) -> list[Portion]:
        """Return what has not been answered yet, in its order."""
        left: dict[int, Portion] = {}
        under_way = [
            owner.portion._replace(samples=(owner.sample,)) for owner in self._owners if owner
        ]
        for portion in (*sorted(under_way, key=lambda each: each.samples), *self._waiting):
            known = left.get(portion.number)
            samples = (*known.samples, *portion.samples) if known else portion.samples
            left[portion.number] = portion._replace(samples=samples)
        return list(left.values())

    def _busy(self) -> list[int]:
        return [slot for slot, owner in enumerate(self._owners) if owner]

    def _left(self) -> int:
        """Return after how many steps all samples have ended at the latest."""
        return max((owner.until - self._steps for owner in self._owners if owner), default=0)

    def _may_begin(self) -> bool:
        if not self._waiting:
            return False
        busy = len(self._busy())
        if not busy:
            return True
        wanted = max(len(self._waiting[0].samples), math.ceil(self._pace.free * self._size))
        return self._decoder.joins and self._size - busy >= wanted

    def _begin(self) -> None:
        """Give free slots to those that wait."""
        busy = set(self._busy())
        free = [slot for slot in range(self._size) if slot not in busy]
        chosen: list[tuple[Portion, list[int]]] = []
        for portion in self._waiting:
            count = len(portion.samples)
            if count > len(free):
                break
            chosen.append((portion, free[:count]))
            free = free[count:]
        taken = self._decoder.read(
            [portion.ids for portion, _ in chosen], [own for _, own in chosen]
        )
        for _ in range(taken):
            self._waiting.popleft()
        if not self._decoder.joins:
            self._owners = []
        if taken:
            self._fill(chosen[:taken])

    def _fill(self, begun: Sequence[tuple[Portion, list[int]]]) -> None:
        samples = [
            (slot, portion, sample)
            for portion, own in begun
            for slot, sample in zip(own, portion.samples, strict=True)
        ]
        fixed = self._pace.fixed and self._decoder.joins
        rows = self._size if fixed else max(slot for slot, _, _ in samples) + 1
        self._owners += [None] * (rows - len(self._owners))
        self._slots.rows = len(self._owners)
        for slot, portion, sample in samples:
            until = self._steps + portion.limit
            self._owners[slot] = _Owner(portion, sample, self._bursts, until)
        self.tokens += sum(len(portion.ids) for portion, _ in begun)
        self._slots.fill(
            [slot for slot, _, _ in samples],
            [portion.ids[-1] for _, portion, _ in samples],
            [portion.limit for _, portion, _ in samples],
            np.stack([self._numbers(portion.number, sample) for _, portion, sample in samples]),
        )

    def _rows(self, needed: int) -> int:
        """Return how many rows are computed where so many are needed."""
        if not (self._pace.fixed and self._decoder.joins):
            return needed
        return min(1 << (needed - 1).bit_length(), self._size)

    def _shrink(self) -> None:
        """Drop slots that nobody will have any more."""
        busy = self._busy()
        rows = self._rows(max(len(busy), 1))
        if not busy or rows > self._pace.shrink * len(self._owners):
            return
        while self._reports:
            self._settle(*self._reports.popleft())
        busy = self._busy()
        empty = [slot for slot, owner in enumerate(self._owners) if not owner]
        kept = sorted([*busy, *empty[: max(rows - len(busy), 0)]])
        self._decoder.keep(kept)
        self._slots.keep(kept)
        self._owners = [self._owners[slot] for slot in kept]

    def _burst(self) -> None:
        """Take some steps."""
        rows = len(self._owners)
        begun = [owner.until - owner.portion.limit for owner in self._owners if owner]
        for _ in range(min(self._pace.burst, self._left())):
            longest = self._steps - min(begun)
            self._replayer.run(self._decoder.shape(rows, longest), partial(self._turn, longest))
            self._steps += 1
        self._reports.append((self._bursts, self._slots.report()))
        self._bursts += 1

    def _turn(self, longest: int) -> None:
        rows = slice(self._slots.rows)
        slots = self._slots
        slots.take(self._decoder.step(slots.tokens[rows], slots.counts[rows], longest))

    def _settle(self, burst: int, report: Report) -> None:
        """Hand out the samples that had ended after a burst."""
        (counts, live, stopped, broken), drawn = report.arrays()
        ended = []
        for slot, owner in enumerate(self._owners):
            if owner and owner.since <= burst and not live[slot]:
                ids = drawn[slot, : counts[slot]].tolist()
                self.tokens += len(ids)
                ended.append((owner, Drawn(ids, bool(stopped[slot]), not broken[slot])))
                self._owners[slot] = None
                self._decoder.free([slot])
        for owner, sample in ended:
            self._done(owner.portion, owner.sample, sample)
