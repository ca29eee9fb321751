"""Token by token: the prompts of a batch once, then one token of every sample at a time.

A decoder keeps what the model has computed so far. The usual one runs prompts as packs and keeps
keys and values in buffers of its own, with a length for each sample: no prompt is padded on its
way through the model, and nothing is copied when a sample grows. For models that cannot be run on
packs there is one on the cache of `transformers`, with prompts padded on the left. Where neither
gives the logits that the model gives for the whole text, the whole text is read for each token.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from siftline.contracts import progress
from siftline.models.engine import attention
from siftline.models.engine.capabilities import cache_limit
from siftline.models.engine.decoder import Decoder
from siftline.models.engine.decoder_trial import TRIED, what_is_wrong
from siftline.models.engine.forward import Network, on_device
from siftline.models.engine.packing import Pack, Unit, fill, pack
from siftline.models.engine.recomputing import RecomputingDecoder
from siftline.models.likelihood import Encoded

# Buffers grow by so many tokens.
_GROWTH = 64


def decoder_for(network: Network, shortest: int, longest: int, max_batch_tokens: int) -> Decoder:
    """Return a decoder that a model can be run with.

    Args:
        network: The model.
        shortest: Number of tokens of the shortest prompt.
        longest: Number of tokens of the longest prompt and its response together.
        max_batch_tokens: The most tokens in one forward pass, where the decoder can choose.
    """
    # The last token is drawn, and never read.
    regimes = {network.rope.regime(length) for length in (shortest, longest - 1)}
    if len(regimes) == 1 and longest - 1 <= cache_limit(network.model):
        limit = network.longest_packed
        if (limit is None or longest <= limit) and _is_right(network, BufferedDecoder):
            return BufferedDecoder(network, max_batch_tokens)
        if _is_right(network, PaddedDecoder):
            return PaddedDecoder(network)
    return RecomputingDecoder(network, max_batch_tokens)


def _is_right(network: Network, kind: "type[BufferedDecoder | PaddedDecoder]") -> bool:
    """Return whether a decoder gives what the model gives without it; tried once for each model."""
    if kind.__name__ not in network.decoders:
        decoder = kind(network, sum(TRIED)) if kind is BufferedDecoder else PaddedDecoder(network)
        reason = what_is_wrong(decoder, network)
        network.decoders[kind.__name__] = reason is None
        if reason:
            progress.warn(f"'{network.name}' answers {kind.instead}: {reason}.")
    return network.decoders[kind.__name__]


class BufferedDecoder:
    """A decoder with keys and values in its own buffers, for models that can be run on packs."""

    instead = "by its own cache, not by buffers of keys and values"

    def __init__(self, network: Network, max_batch_tokens: int) -> None:
        self._network = network
        self._max_batch_tokens = max_batch_tokens
        # By layer: parts [tokens, key heads, size] while prompts are read, and afterwards
        # [samples, key heads, places, size].
        self._parts: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self._buffers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._reading: Pack | None = None
        self._lengths = torch.empty(0, dtype=torch.long)  # [samples]
        self._longest = 0
        self._mask = torch.empty(0)  # [samples, 1, 1, places], minus infinity after the last token

    @torch.inference_mode()
    def start(self, prompts: Sequence[tuple[int, ...]], samples: int) -> torch.Tensor:
        """Read prompts; see :class:`Decoder`."""
        device = self._network.device
        rows = [Encoded((*ids, 0), len(ids), 1, False) for ids in prompts]  # packed without the 0
        units = [Unit(0, (row,), len(ids), len(ids)) for row, ids in enumerate(prompts)]
        logits = []
        for batch in fill(units, self._max_batch_tokens):
            self._reading = pack(batch, rows, {row: [row] for unit in batch for row in unit.rows})
            ids, positions, sources = (
                on_device(each, device)
                for each in (self._reading.ids, self._reading.positions, self._reading.sources)
            )
            logits.append(self._network.next_logits(ids, positions, sources, self, self._reading))
        self._reading = None
        self._lay(np.array([len(ids) for ids in prompts]), samples)
        return torch.cat(logits).repeat_interleave(samples, dim=0)

    def _lay(self, lengths: npt.NDArray[np.int64], samples: int) -> None:
        """Turn the parts into buffers."""
        device = self._network.device
        longest = int(lengths.max())
        starts = np.cumsum(lengths) - lengths
        inside = np.arange(longest)[None, :] < lengths[:, None]
        places = starts[:, None] + np.arange(longest)[None, :] * inside
        gather = on_device(np.ascontiguousarray(places.ravel()), device)

        def laid(parts: list[torch.Tensor]) -> torch.Tensor:
            flat = torch.cat(parts).index_select(0, gather)
            rows = flat.view(len(lengths), longest, *flat.shape[1:]).transpose(1, 2)
            return pad(rows.repeat_interleave(samples, dim=0), (0, 0, 0, _GROWTH))

        for layer in list(self._parts):
            parts = self._parts.pop(layer)
            self._buffers[layer] = (laid([k for k, _ in parts]), laid([v for _, v in parts]))
        self._lengths = on_device(np.repeat(lengths, samples), device)
        self._longest = longest

    @torch.inference_mode()
    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to each sample; see :class:`Decoder`."""
        self._longest += 1
        everyone = torch.arange(len(tokens), device=tokens.device)
        outside = torch.arange(self._longest, device=tokens.device) > self._lengths[:, None]
        dtype = self._network.model.dtype
        self._mask = torch.zeros(outside.shape, dtype=dtype, device=tokens.device)
        self._mask = self._mask.masked_fill_(outside, float("-inf"))[:, None, None]
        logits = self._network.next_logits(tokens, self._lengths, everyone, self)
        self._lengths = self._lengths + 1
        return logits

    @torch.inference_mode()
    def keep(self, samples: torch.Tensor) -> None:
        """Drop all samples but some; see :class:`Decoder`."""
        self._lengths = self._lengths[samples]
        self._longest = int(self._lengths.max())
        for layer, (keys, values) in self._buffers.items():
            self._buffers[layer] = (keys[samples], values[samples])

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Attend in one layer; see :class:`siftline.models.engine.attention.KeyValueCache`."""
        new = key[0].transpose(0, 1), value[0].transpose(0, 1)  # [tokens, key heads, size]
        if self._reading:
            self._parts.setdefault(layer, []).append(new)
            mixed: torch.Tensor = attention.packed_attention(query, key, value, scale)
            return mixed
        keys, values = self._buffers[layer]
        if self._longest > keys.shape[2]:
            keys, values = (pad(each, (0, 0, 0, _GROWTH)) for each in (keys, values))
            self._buffers[layer] = keys, values
        everyone = torch.arange(len(keys), device=keys.device)
        keys[everyone, :, self._lengths], values[everyone, :, self._lengths] = new
        heads = query.shape[1] // key.shape[1]
        # Query heads that read the same keys: [samples, key heads, heads, size]
        queries = query[0].transpose(0, 1).reshape(len(keys), key.shape[1], heads, -1)
        mixed = scaled_dot_product_attention(
            queries,
            keys[:, :, : self._longest],
            values[:, :, : self._longest],
            attn_mask=self._mask,
            scale=scale,
        )
        return mixed.flatten(1, 2)[None]


class PaddedDecoder:
    """A decoder on the cache of `transformers`, with prompts padded on the left."""

    instead = "slowly, from the whole text for each token, since its cache cannot be used"

    def __init__(self, network: Network) -> None:
        self._network = network
        self._past: Any = None
        self._mask = torch.empty(0)  # [samples, places] one where there is a token
        self._lengths = torch.empty(0)  # [samples]

    @torch.inference_mode()
    def start(self, prompts: Sequence[tuple[int, ...]], samples: int) -> torch.Tensor:
        """Read prompts; see :class:`Decoder`."""
        width = max(map(len, prompts))
        ids = np.zeros((len(prompts), width), dtype=np.int64)
        mask = np.zeros((len(prompts), width), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = prompt
            mask[row, width - len(prompt) :] = 1
        device = self._network.device
        self._mask = on_device(mask, device)
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        logits = self._forward(on_device(ids, device), positions)
        self._past.batch_repeat_interleave(samples)
        self._mask = self._mask.repeat_interleave(samples, dim=0)
        self._lengths = self._mask.sum(1)
        return logits.repeat_interleave(samples, dim=0)

    @torch.inference_mode()
    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to each sample; see :class:`Decoder`."""
        self._mask = pad(self._mask, (0, 1), value=1)
        logits = self._forward(tokens[:, None], self._lengths[:, None])
        self._lengths = self._lengths + 1
        return logits

    @torch.inference_mode()
    def keep(self, samples: torch.Tensor) -> None:
        """Drop all samples but some; see :class:`Decoder`."""
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
