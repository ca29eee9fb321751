"""Token by token: prompts once, then one token of every sample at a time.

A decoder keeps what the model has computed so far. The usual one runs prompts as packs and keeps
keys and values in buffers of its own: no prompt is padded on its way through the model, its keys
are held once for all its samples, and samples begin and end while others go on. For models that
cannot be run on packs there is one on the cache of `transformers`, with prompts padded on the left.
Where neither gives the logits that the model gives for the whole text, the whole text is read for
each token.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.nn.functional import pad

from siftline.contracts import progress
from siftline.models.engine.attention import KeyValueCache
from siftline.models.engine.capabilities import cache_limit, has_flash_kernel
from siftline.models.engine.decoder import Decoder
from siftline.models.engine.decoder_trial import ROOM, what_is_wrong
from siftline.models.engine.forward import Network, on_device
from siftline.models.engine.grouped_memory import GroupedMemory
from siftline.models.engine.packing import Pack, Unit, fill, pack
from siftline.models.engine.pooled_memory import PooledMemory
from siftline.models.engine.recomputing import RecomputingDecoder
from siftline.models.engine.segments import FlashSegments, PlainSegments, SegmentKernel
from siftline.models.likelihood import Encoded


class Room(NamedTuple):
    """How much a decoder has to hold.

    Attributes:
        slots: Number of samples at once.
        places: The most tokens of a sample.
        prompt_places: The most tokens of all prompts together, at once.
        batch_tokens: The most tokens in one forward pass, where the decoder can choose.
    """

    slots: int
    places: int
    prompt_places: int
    batch_tokens: int


class Kind(NamedTuple):
    """A way of decoding.

    Attributes:
        name: What tells it from the others.
        path: What is said of it at the start of a run.
        make: Makes a decoder with some room.
        instead: How a model answers for which this way is wrong.
    """

    name: str
    path: str
    make: Callable[[Network, Room], Decoder]
    instead: str


def decoder_for(network: Network, prompt: int, longest: int) -> Kind:
    """Return a way of decoding that is right for a model and a prompt.

    Args:
        network: The model.
        prompt: Number of tokens of the prompt.
        longest: Number of tokens of the prompt and its response together.
    """
    # The last token is drawn, and never read.
    regimes = {network.rope.regime(length) for length in (prompt, longest - 1)}
    if len(regimes) == 1 and longest - 1 <= cache_limit(network.model):
        limit = network.longest_packed
        packed = _buffers(network) if limit is None or longest <= limit else []
        for kind in (*packed, CACHE):
            if _is_right(network, kind):
                return kind
    return WHOLE_TEXT


def _is_right(network: Network, kind: Kind) -> bool:
    """Return whether a decoder gives what the model gives without it; tried once for each model."""
    if kind.name not in network.decoders:
        reason = what_is_wrong(kind.make(network, Room(*ROOM)), network)
        network.decoders[kind.name] = reason is None
        if reason:
            progress.warn(f"'{network.name}' answers {kind.instead}: {reason}.")
    return network.decoders[kind.name]


def _buffers(network: Network) -> list[Kind]:
    """Return the ways of decoding on buffers of keys and values, the fastest first."""
    if network.device.type != "cuda":
        return [Kind("buffers", "continuous", _grouped, _NO_BUFFERS)]
    plain = Kind("buffers", "continuous", partial(_pooled, kernel=PlainSegments()), _NO_BUFFERS)
    if not has_flash_kernel(network.model):
        return [plain]
    flash = Kind("flash", "continuous, varlen", partial(_pooled, kernel=FlashSegments()), _NO_FLASH)
    return [flash, plain]


_NO_BUFFERS = "by its own cache, not by buffers of keys and values"
_NO_FLASH = "by plain products over its keys, not by the flash kernel"


def _grouped(network: Network, room: Room) -> Decoder:
    return BufferedDecoder(network, GroupedMemory(*room[:3]), room.batch_tokens)


def _pooled(network: Network, room: Room, kernel: SegmentKernel) -> Decoder:
    memory = PooledMemory(*room[:3], kernel, network.device)
    return BufferedDecoder(network, memory, room.batch_tokens)


class Memory(KeyValueCache, Protocol):
    """The keys and values of a :class:`BufferedDecoder`."""

    def take(self, lengths: Sequence[int], slots: Sequence[Sequence[int]]) -> int:
        """Return for how many prompts, from the first on, there is room, and reserve it.

        Args:
            lengths: Number of tokens of each.
            slots: The slots of its samples.
        """
        ...

    def begin_reading(self, pack: Pack, lengths: Sequence[int], slots: list[list[int]]) -> None:
        """Make ready for a pack of prompts.

        Args:
            pack: The pack, in which the prompts follow one another.
            lengths: Number of tokens of each.
            slots: The slots of its samples.
        """
        ...

    def end_reading(self) -> None:
        """Let the samples of the prompts that were read go on."""
        ...

    def begin_step(self, counts: torch.Tensor, longest: int) -> torch.Tensor:
        """Make ready for a step; see :class:`Decoder`.

        Returns:
            [rows] the position of each token.
        """
        ...

    def shape(self, rows: int, longest: int) -> Hashable:
        """Return what the shapes of a step depend on; see :class:`Decoder`."""
        ...

    def free(self, slots: Sequence[int]) -> None:
        """Forget the samples of some slots, and prompts that have none any more."""
        ...

    def keep(self, slots: Sequence[int]) -> None:
        """Keep some slots, which become the first ones."""
        ...


class BufferedDecoder:
    """A decoder with keys and values in its own buffers, for models that can be run on packs.

    Attributes:
        joins: Prompts are read while other samples are under way.
        passes: Number of forward passes so far that read prompts and nothing else.
    """

    joins = True

    def __init__(self, network: Network, memory: Memory, batch_tokens: int) -> None:
        self.passes = 0
        self._network, self._memory, self._batch_tokens = network, memory, batch_tokens
        self.shape = memory.shape
        self.free = memory.free
        self.keep = memory.keep

    def read(self, prompts: Sequence[tuple[int, ...]], slots: Sequence[Sequence[int]]) -> int:
        """Read prompts; see :class:`Decoder`."""
        lengths = [len(prompt) - 1 for prompt in prompts]
        taken = self._memory.take(lengths, slots)
        if not taken:
            return 0
        rows = [
            Encoded(prompt, max(size, 1), 1, False)
            for prompt, size in zip(prompts, lengths, strict=True)
        ]
        units = [
            Unit(0, (row,), lengths[row], lengths[row]) for row in range(taken) if lengths[row]
        ]
        for batch in fill(units, self._batch_tokens):
            numbers = [row for unit in batch for row in unit.rows]
            laid = pack(batch, rows, {row: [row] for row in numbers})
            self._memory.begin_reading(
                laid, [lengths[row] for row in numbers], [list(slots[row]) for row in numbers]
            )
            self._network.read(laid, self._memory)
            self.passes += 1
            self._memory.end_reading()
        if not units:
            self._memory.end_reading()
        return taken

    def step(self, tokens: torch.Tensor, counts: torch.Tensor, longest: int) -> torch.Tensor:
        """Add one token to each sample; see :class:`Decoder`."""
        positions = self._memory.begin_step(counts, longest)
        return self._network.next_logits(tokens, positions, self._memory)


class PaddedDecoder:
    """A decoder on the cache of `transformers`, with prompts padded on the left.

    Attributes:
        joins: Prompts wait until all samples have ended.
        passes: None read prompts only.
    """

    joins = False
    passes = 0

    def __init__(self, network: Network, room: Room) -> None:
        self._network = network
        self._prompts: Sequence[tuple[int, ...]] = ()  # to be read by the next step
        self._samples: list[int] = []  # by slot: the number of its prompt
        self._past: Any = None
        self._mask = torch.empty(0)  # [samples, places] one where there is a token
        self._lengths = torch.empty(0)  # [samples]

    def read(self, prompts: Sequence[tuple[int, ...]], slots: Sequence[Sequence[int]]) -> int:
        """Keep prompts for the next step, which reads them whole; see :class:`Decoder`."""
        self._prompts, self._past = prompts, None
        owners = {slot: number for number, own in enumerate(slots) for slot in own}
        self._samples = [owners[slot] for slot in sorted(owners)]
        return len(prompts)

    def step(self, tokens: torch.Tensor, counts: torch.Tensor, longest: int) -> torch.Tensor:
        """Add one token to each sample; see :class:`Decoder`."""
        if self._past is None:
            return self._start()
        self._mask = pad(self._mask, (0, 1), value=1)
        logits = self._forward(tokens[:, None], self._lengths[:, None])
        self._lengths = self._lengths + 1
        return logits

    def _start(self) -> torch.Tensor:
        width = max(map(len, self._prompts))
        ids = np.zeros((len(self._prompts), width), dtype=np.int64)
        mask = np.zeros((len(self._prompts), width), dtype=np.int64)
        for row, prompt in enumerate(self._prompts):
            ids[row, width - len(prompt) :] = prompt
            mask[row, width - len(prompt) :] = 1
        device = self._network.device
        self._mask = on_device(mask, device)
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        logits = self._forward(on_device(ids, device), positions)
        samples = torch.tensor(self._samples, device=device)
        self._past.batch_select_indices(samples)
        self._mask = self._mask[samples]
        self._lengths = self._mask.sum(1)
        return logits[samples]

    def shape(self, rows: int, longest: int) -> None:
        """Return None: the cache grows with each step."""

    def free(self, slots: Sequence[int]) -> None:
        """Do nothing: what has ended is dropped by :meth:`keep`."""

    def keep(self, slots: Sequence[int]) -> None:
        """Drop samples; see :class:`Decoder`."""
        if self._past is None:
            self._samples = [self._samples[slot] for slot in slots]
            return
        samples = torch.tensor(slots, device=self._network.device)
        self._past.batch_select_indices(samples)
        self._mask, self._lengths = self._mask[samples], self._lengths[samples]

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        output = self._network.model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._past,
            use_cache=True,
            logits_to_keep=1,
        )
        self._past = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits


CACHE = Kind(
    "cache",
    "in padded batches, by its own cache",
    PaddedDecoder,
    "slowly, from the whole text for each token, since its cache cannot be used",
)
WHOLE_TEXT = Kind(
    "whole text",
    "in batches, the whole text for each token",
    lambda network, room: RecomputingDecoder(network, room.batch_tokens),
    "",
)
