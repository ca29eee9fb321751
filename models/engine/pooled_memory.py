"""Keys and values on a GPU: buffers that never move, so that a step can be captured and replayed.

The prompts lie in a pool, each once, one after the other where there is room; each slot has places
for its own tokens. A step attends to the prompts, the samples of one prompt side by side, and to
the own tokens, with one call of a kernel each, and merges the two by the sums of their
exponentials. What changes from step to step (lengths, where a prompt lies) are values in tensors.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from siftline.models.engine import attention
from siftline.models.engine.forward import on_device
from siftline.models.engine.packing import Pack
from siftline.models.engine.ranges import Ranges
from siftline.models.engine.segments import SegmentKernel, Segments


class _Layer(NamedTuple):
    """The keys and values of a layer, [places, key heads, size] each."""

    own_keys: torch.Tensor
    own_values: torch.Tensor
    prompt_keys: torch.Tensor
    prompt_values: torch.Tensor


class _Reading(NamedTuple):
    """What the queries of a step read.

    Attributes:
        heads: Number of heads of a query that go as queries of their own, since they read the same
            keys.
        own: The own tokens of each.
        before: The prompt of each.
        promptless: [rows * heads] which of them have no prompt.
    """

    heads: int
    own: Segments
    before: Segments
    promptless: torch.Tensor


class PooledMemory:
    """The keys and values of some slots and their prompts; a cache of the attention."""

    def __init__(
        self,
        slots: int,
        places: int,
        prompt_places: int,
        kernel: SegmentKernel,
        device: torch.device,
    ) -> None:
        """Make room.

        Args:
            slots: Number of slots.
            places: The most own tokens of a sample.
            prompt_places: The most tokens of all prompts together.
            kernel: Attends.
            device: Where the buffers are.
        """
        self._slots, self._places, self._prompt_places = slots, places, prompt_places
        self._kernel, self._device = kernel, device
        self._pool = Ranges(prompt_places)
        self._prompts: dict[int, tuple[int, int]] = {}  # by slot: start and length in the pool
        self._users: Counter[int] = Counter()  # by start: how many slots read it
        self._layers: list[_Layer] = []
        self._layer = 0
        self._reading: torch.Tensor | None = None

        def table(size: int, dtype: torch.dtype) -> torch.Tensor:
            return torch.zeros(size, dtype=dtype, device=device)

        self._everyone = torch.arange(slots + 1, dtype=torch.int32, device=device)
        self._own_starts = self._everyone * places
        # Of the segments: the samples of one prompt in slots that follow one another.
        self._ends = table(slots + 1, torch.int32)
        self._starts = table(slots + 1, torch.int32)
        self._used = table(slots, torch.int32)
        self._read = table(slots, torch.long)  # tokens of the prompt, by slot
        self._longest = 1  # tokens of the longest prompt so far
        self._together = 1  # samples of a prompt, at most, so far
        self._rows = slots
        self._place = table(0, torch.long)
        self._readings: dict[int, _Reading] = {}  # of the step, by heads that go as queries

    def take(self, lengths: Sequence[int], slots: Sequence[Sequence[int]]) -> int:
        """Return for how many prompts, from the first on, there is room, and reserve it.

        Args:
            lengths: Number of tokens of each.
            slots: The slots of its samples.
        """
        self.free([slot for own in slots for slot in own])
        taken = 0
        for length, own in zip(lengths, slots, strict=True):
            start = self._pool.take(length) if length else 0
            if start is None:
                break
            taken += 1
            self._prompts |= dict.fromkeys(own, (start, length))
            if length:
                self._users[start] = len(own)
            self._longest = max(self._longest, length)
            self._together = max(self._together, len(own))
        return taken

    def begin_reading(self, pack: Pack, lengths: Sequence[int], slots: list[list[int]]) -> None:
        """Make ready for a pack of prompts; see :class:`GroupedMemory`."""
        self._layer = 0
        starts = [self._prompts[own[0]][0] for own in slots]
        places = [
            np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)
        ]
        self._reading = on_device(np.concatenate(places), self._device)

    def end_reading(self) -> None:
        """Let the samples of the prompts go on."""
        self._reading = None
        self._lay_out()

    def _lay_out(self) -> None:
        """Bring the prompts into the tables that a step reads."""
        ends: list[int] = [0]
        starts: list[int] = []
        used: list[int] = []
        read = np.zeros(self._slots, dtype=np.int64)
        for slot in range(self._rows):
            start, length = self._prompts.get(slot, (0, 0))
            read[slot] = length
            same = bool(starts) and (starts[-1], used[-1]) == (start, length)
            if same and slot - ends[-2] < self._together:
                ends[-1] = slot + 1
            else:
                ends.append(slot + 1)
                starts.append(start)
                used.append(length)
        self._read.copy_(on_device(read, self._device))
        for table, values, rest in (
            (self._ends, ends, self._rows),
            (self._starts, starts, 0),
            (self._used, used, 0),
        ):
            padded = np.full(len(table), rest, dtype=np.int32)
            padded[: len(values)] = values
            table.copy_(on_device(padded, self._device))

    def shape(self, rows: int, longest: int) -> Hashable:
        """Return what the shapes of a step depend on; see `Decoder.shape`."""
        return (
            rows,
            self._together,
            *(self._kernel.reach(each) for each in (self._longest, longest + 1)),
        )

    def begin_step(self, counts: torch.Tensor, longest: int) -> torch.Tensor:
        """Make ready for a step; see :class:`GroupedMemory`."""
        self._layer = 0
        rows = len(counts)
        own = counts.clamp(max=self._places - 1)
        self._place = self._own_starts[:rows] + own
        own_segments = Segments(
            self._everyone[: rows + 1],
            self._own_starts[: rows + 1],
            (own + 1).int(),
            1,
            min(self._kernel.reach(longest + 1), self._places),
        )
        before = Segments(
            self._ends[: rows + 1],
            self._starts[: rows + 1],
            self._used[:rows],
            self._together,
            min(self._kernel.reach(self._longest), self._prompt_places),
        )
        read = self._read[:rows]
        self._readings = {1: _Reading(1, own_segments, before, read == 0)}
        return read + counts

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attend in the next layer; see :class:`siftline.models.engine.attention.KeyValueCache`."""
        q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
        if self._layer == len(self._layers):
            self._layers.append(self._room(k, v))
        layer = self._layers[self._layer]
        self._layer += 1
        if self._reading is not None:
            layer.prompt_keys.index_copy_(0, self._reading, k)
            layer.prompt_values.index_copy_(0, self._reading, v)
            return attention.attend_within(query, key, value, scale)
        layer.own_keys.index_copy_(0, self._place, k)
        layer.own_values.index_copy_(0, self._place, v)
        folds = self._kernel.folds(q.shape[2])
        reading = self._reading_with(q.shape[1] // k.shape[1] if folds else 1)
        q = _folded(q, reading.heads)
        own, sums = self._kernel(q, layer.own_keys, layer.own_values, reading.own, scale)
        before, before_sums = self._kernel(
            q, layer.prompt_keys, layer.prompt_values, reading.before, scale
        )
        mixed = _merge(own, sums, before, before_sums, reading.promptless)
        return _unfolded(mixed, reading.heads)[None]

    def _reading_with(self, heads: int) -> "_Reading":
        """Return what a step reads, where so many heads of a query go as queries of their own."""
        if heads not in self._readings:
            one = self._readings[1]
            self._readings[heads] = _Reading(
                heads,
                one.own.times(heads),
                one.before.times(heads),
                one.promptless.repeat_interleave(heads),
            )
        return self._readings[heads]

    def _room(self, key: torch.Tensor, value: torch.Tensor) -> _Layer:
        """Return the buffers of one more layer."""
        places = (self._slots * self._places,) * 2 + (self._prompt_places,) * 2
        like = (key, value) * 2
        pairs = zip(places, like, strict=True)
        return _Layer(*(each.new_zeros(size, *each.shape[1:]) for size, each in pairs))

    def free(self, slots: Sequence[int]) -> None:
        """Forget the samples of some slots, and prompts that have none any more."""
        for slot in slots:
            start, length = self._prompts.pop(slot, (0, 0))
            if not length:
                continue
            self._users[start] -= 1
            if not self._users[start]:
                self._pool.give(start, length)

    def keep(self, slots: Sequence[int]) -> None:
        """Keep some slots, which become the first ones."""
        where = on_device(np.array(slots), self._device)
        for layer in self._layers:
            for buffer in (layer.own_keys, layer.own_values):
                table = buffer.view(self._slots, self._places, *buffer.shape[1:])
                table[: len(slots)] = table[where]
        self.free(sorted(set(self._prompts) - set(slots)))
        places = {slot: place for place, slot in enumerate(slots)}
        self._prompts = {places[slot]: prompt for slot, prompt in self._prompts.items()}
        self._rows = len(slots)
        self._lay_out()


def _folded(query: torch.Tensor, heads: int) -> torch.Tensor:
    """Bring heads that read the same keys side by side: [queries * heads, key heads, size]."""
    if heads == 1:
        return query
    queries, _, size = query.shape
    return query.view(queries, -1, heads, size).transpose(1, 2).reshape(queries * heads, -1, size)


def _unfolded(mixed: torch.Tensor, heads: int) -> torch.Tensor:
    """Undo :func:`_folded`: [queries, key heads * heads, size]."""
    if heads == 1:
        return mixed
    parted = mixed.view(-1, heads, *mixed.shape[1:]).transpose(1, 2)
    return parted.reshape(len(parted), -1, mixed.shape[2])


def _merge(
    own: torch.Tensor,
    sums: torch.Tensor,
    before: torch.Tensor,
    before_sums: torch.Tensor,
    promptless: torch.Tensor,
) -> torch.Tensor:
    """Join what queries have read from their own tokens and from their prompts.

    Args:
        own: [queries, heads, value size].
        sums: [heads, queries] float32, the logarithms of the sums of the exponentials.
        before: As `own`, of the prompts.
        before_sums: As `sums`, of the prompts.
        promptless: [queries] which of them have no prompt, whatever `before` says.

    Returns:
        [queries, heads, value size].
    """
    share = (sums - before_sums).sigmoid().masked_fill(promptless, 1)
    return torch.lerp(before, own, share.t()[..., None].to(own.dtype))
