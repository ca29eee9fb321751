"""Keys and values on a CPU: those of a prompt once, attended to by all its samples in one product.

Prompts that were read together and are of similar length make a block. A step attends to the block
with the queries of all samples of each of its prompts, and to the own tokens of each sample; the
two parts are merged by the sums of their exponentials. Keys lie transposed, so that all products
read their larger factor as it lies in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch

from siftline.models.engine import attention
from siftline.models.engine.packing import Pack

# Own tokens are attended to in steps of so many places.
_REACH = 16


@dataclass
class _Block:
    """Prompts of similar length.

    Attributes:
        slots: By prompt, the slots of its samples.
        lengths: [prompts] their lengths in tokens.
        gather: [prompts * longest] places of their tokens in the pack.
        layers: By layer: keys [prompts * key heads, size, longest] and values
            [prompts * key heads, longest, size].
    """

    slots: list[list[int]]
    lengths: torch.Tensor
    gather: torch.Tensor
    layers: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    @property
    def places(self) -> int:
        """Number of tokens that there is room for."""
        return len(self.gather)

    def lay_out(self) -> None:
        """Bring the slots into the tables that a step reads."""
        prompts, longest = len(self.slots), self.places // len(self.slots)
        self.width = max(map(len, self.slots))
        table = np.zeros((prompts, self.width), dtype=np.int64)
        for number, slots in enumerate(self.slots):
            table[number, : len(slots)] = slots
        inside = np.arange(self.width) < np.array([len(each) for each in self.slots])[:, None]
        self.queries = torch.from_numpy(table.ravel())
        self.samples = torch.from_numpy(table[inside])
        self.answers = torch.from_numpy(np.flatnonzero(inside))
        outside = torch.arange(longest) >= self.lengths[:, None]
        self.mask = torch.zeros(outside.shape).masked_fill_(outside, -torch.inf)[:, None, None]

    def put(self, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep the keys and values of a pack in the next layer: [tokens, key heads, size] each."""
        shape = (len(self.slots), -1, *key.shape[1:])
        keys = key[self.gather].view(shape).permute(0, 2, 3, 1)
        values = value[self.gather].view(*shape[:-1], value.shape[2]).permute(0, 2, 1, 3)
        laid = keys.contiguous().flatten(0, 1), values.contiguous().flatten(0, 1)
        self.layers.append(laid)

    def attend(self, layer: int, query: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend with the samples of the block; see :func:`_part`.

        Args:
            layer: Number of the layer.
            query: [rows, key heads, heads per key head, size], scaled.

        Returns:
            [samples, key heads, heads per key head, value size], and the logarithms of the sums
            without the last dimension.
        """
        _, key_heads, heads, size = query.shape
        prompts = len(self.slots)
        grouped = query[self.queries].view(prompts, self.width, key_heads, heads, size)
        together = grouped.transpose(1, 2).reshape(prompts, key_heads, self.width * heads, size)
        mixed, sums = _part(together, *self.layers[layer], self.mask)

        def apart(each: torch.Tensor) -> torch.Tensor:
            shape = (prompts, key_heads, self.width, heads, *each.shape[3:])
            return each.view(shape).transpose(1, 2).flatten(0, 1)[self.answers]

        return apart(mixed), apart(sums)


class GroupedMemory:
    """The keys and values of some slots and their prompts; a cache of the attention."""

    def __init__(self, slots: int, places: int, prompt_places: int) -> None:
        """Make room.

        Args:
            slots: Number of slots.
            places: The most own tokens of a sample.
            prompt_places: The most tokens of all prompts together.
        """
        self._slots, self._places, self._prompt_places = slots, places, prompt_places
        self._blocks: list[_Block] = []
        self._reading: list[_Block] = []
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._layer = 0
        self._read = np.zeros(slots, dtype=np.int64)  # tokens of the prompt, by slot
        self._reach = 0
        self._filled = 0  # no place of the buffers before this one was never written
        self._counts = torch.zeros(0, dtype=torch.long)
        self._mask = torch.zeros(0)

    def take(self, lengths: Sequence[int], slots: Sequence[Sequence[int]]) -> int:
        """Return for how many prompts, from the first on, there is room.

        Args:
            lengths: Number of tokens of each.
            slots: The slots of its samples.
        """
        self.free([slot for own in slots for slot in own])
        room = self._prompt_places - sum(block.places for block in self._blocks)
        for number, length in enumerate(lengths):
            room -= length
            if room < 0 and (number or self._blocks):
                return number
            self._read[list(slots[number])] = length
        return len(lengths)

    def begin_reading(self, pack: Pack, lengths: Sequence[int], slots: list[list[int]]) -> None:
        """Make ready for a pack of prompts.

        Args:
            pack: The pack, in which the prompts follow one another.
            lengths: Number of tokens of each.
            slots: The slots of its samples.
        """
        self._layer = 0
        starts = np.cumsum(lengths) - lengths
        for _, numbers in groupby(range(len(lengths)), lambda row: int(lengths[row]).bit_length()):
            rows = list(numbers)
            own = np.array([lengths[row] for row in rows])
            places = np.arange(own.max())
            gather = starts[rows][:, None] + places * (places < own[:, None])
            self._reading.append(
                _Block(
                    [slots[row] for row in rows],
                    torch.from_numpy(own),
                    torch.from_numpy(gather.ravel()),
                )
            )

    def end_reading(self) -> None:
        """Let the samples of the prompts go on."""
        for block in self._reading:
            block.lay_out()
        self._blocks += self._reading
        self._reading = []

    def begin_step(self, counts: torch.Tensor, longest: int) -> torch.Tensor:
        """Make ready for a step; see :class:`siftline.models.engine.decoder.Decoder`.

        Returns:
            [rows] the position of each token.
        """
        self._layer = 0
        self._counts = counts.clamp(max=self._places - 1)
        self._reach = min(-(-(longest + 1) // _REACH) * _REACH, self._places)
        if self._reach > self._filled:
            for keys, values in self._layers:
                keys[..., self._filled : self._reach] = 0
                values[:, :, self._filled : self._reach] = 0
            self._filled = self._reach
        outside = torch.arange(self._reach) > self._counts[:, None]
        self._mask = torch.zeros(outside.shape).masked_fill_(outside, -torch.inf)[:, None, None]
        return torch.from_numpy(self._read[: len(counts)]) + counts

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attend in the next layer; see :class:`siftline.models.engine.attention.KeyValueCache`."""
        new = key[0].transpose(0, 1), value[0].transpose(0, 1)  # [tokens, key heads, size]
        if self._reading:
            for block in self._reading:
                block.put(*new)
            return attention.attend_within(query, key, value, scale)
        rows, (key_heads, size) = query.shape[2], new[0].shape[1:]
        queries = (query[0].transpose(0, 1) * scale).reshape(rows, key_heads, -1, size)
        mixed, sums = self._attend_own(queries, *new)
        before, before_sums = torch.zeros_like(mixed), torch.full_like(sums, -torch.inf)
        for block in self._blocks:
            part, part_sums = block.attend(self._layer, queries)
            before[block.samples], before_sums[block.samples] = part, part_sums
        self._layer += 1
        share = (sums - before_sums).sigmoid_().to(mixed.dtype)[..., None]
        return torch.lerp(before, mixed, share).view(1, rows, query.shape[1], -1)

    def _attend_own(
        self, queries: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep one more key and value of each sample, and attend to all of its own."""
        if self._layer == len(self._layers):
            shape = (self._slots, key.shape[1])
            keys = key.new_empty(*shape, key.shape[2], self._places)
            values = value.new_empty(*shape, self._places, value.shape[2])
            keys[..., : self._filled] = 0
            values[:, :, : self._filled] = 0
            self._layers.append((keys, values))
        keys, values = self._layers[self._layer]
        everyone = torch.arange(len(key))
        keys[everyone, :, :, self._counts] = key
        values[everyone, :, self._counts] = value
        own = slice(len(key)), slice(self._reach)
        laid = keys[own[0], :, :, own[1]].flatten(0, 1), values[own[0], :, own[1]].flatten(0, 1)
        return _part(queries, *laid, self._mask)

    def shape(self, rows: int, longest: int) -> None:
        """Return None: the blocks of prompts change, and nothing is captured on a CPU."""

    def free(self, slots: Sequence[int]) -> None:
        """Forget the samples of some slots, and prompts that have none any more."""
        gone = set(slots)
        kept = []
        for block in self._blocks:
            left = [[slot for slot in own if slot not in gone] for own in block.slots]
            if not any(left):
                continue
            if left != block.slots:
                block.slots = left
                block.lay_out()
            kept.append(block)
        self._blocks = kept

    def keep(self, slots: Sequence[int]) -> None:
        """Keep some slots, which become the first ones."""
        where = torch.tensor(slots)
        for keys, values in self._layers:
            keys[: len(slots)], values[: len(slots)] = keys[where], values[where]
        self._read[: len(slots)] = self._read[list(slots)]
        places = {slot: place for place, slot in enumerate(slots)}
        self.free([slot for slot in range(self._slots) if slot not in places])
        for block in self._blocks:
            block.slots = [[places[slot] for slot in own] for own in block.slots]
            block.lay_out()


def _part(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend to a part of the keys.

    Args:
        query: [batch, key heads, queries, size], scaled.
        keys: [batch * key heads, size, places].
        values: [batch * key heads, places, value size].
        mask: [batch, 1, 1, places] float32, minus infinity where no key is.

    Returns:
        [batch, key heads, queries, value size], and [batch, key heads, queries] float32, the
        logarithms of the sums of the exponentials.
    """
    batch, key_heads, queries, _ = query.shape
    scores = torch.bmm(query.flatten(0, 1), keys).view(batch, key_heads, queries, -1) + mask
    highest = scores.amax(dim=-1, keepdim=True)
    weights = scores.sub_(highest).exp_()
    sums = weights.sum(dim=-1, keepdim=True)
    mixed = torch.bmm(weights.div_(sums).to(values.dtype).flatten(0, 1), values)
    return mixed.view(batch, key_heads, queries, -1), (highest + sums.log_()).squeeze(-1)
