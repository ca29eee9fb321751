"""The forward passes of a causal model of `transformers`: packed where it can be, padded otherwise.

A pack has no padding, and prompts in it run once (siftline.models.engine.packing). Whether a model
can be run on packs is tried when it is loaded: a few rows are scored packed, with and without a
shared prompt, and alone. A model whose scores differ (hybrid and linear-attention models carry
state from row to row) is run on padded rows from then on, and a warning says so, with the reason.
Padding is on the right: a causal model does not look there, so it changes no score and needs no
mask.

The vocabulary projection, the largest matrix of a small model, is applied at response positions
only (siftline.models.engine.projection); where a model changes its logits afterwards, by a cap or a
scale, its own projection is used instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from siftline.contracts import outlook, progress
from siftline.contracts.errors import ModelError
from siftline.models.device_errors import in_one_line, is_of_device
from siftline.models.engine import attention
from siftline.models.engine.batch_limit import BatchLimit
from siftline.models.engine.capabilities import (
    attention_limit,
    has_flash_kernel,
    has_plain_projection,
    looks_ahead,
    scattered_tokens,
    weight_counts,
)
from siftline.models.engine.compilation import Compilation
from siftline.models.engine.layout import layout_of
from siftline.models.engine.packing import Pack, pack, plan_packs
from siftline.models.engine.prepacking import can_prepack, prepack, replace_weights
from siftline.models.engine.projection import Projection, logsumexp
from siftline.models.engine.rope import rope_window
from siftline.models.likelihood import Encoded

# Mean difference in nats per token between packed and alone above which packs are not used. On the
# random tokens of the trial, SmolLM2 gives 0.07 in bfloat16 by rounding and 0.9 when rows leak.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 0.25
# Samples that are answered at once: each has a row of logits.
_SLOTS = {"cpu": 128, "cuda": 512}
# Logits held at once in float32 where the model's own projection is used.
_LOGITS_AT_ONCE = 2**26


class Network:
    """A causal model, ready for forward passes.

    Attributes:
        model: The model of `transformers`.
        name: The model's name in the recipe, for messages.
        device: The device that it is on.
        projection: Its vocabulary projection; None when its logits are anything more than
            `lm_head(hidden states)`.
        body: Number of weights that each token is multiplied with, without the projection.
        head: Number of weights of the projection.
        longest_packed: Number of tokens of the longest row that may go into a pack; 0 when the
            model cannot be run on packs, None when there is no limit.
        rope: Up to which length the frequencies of its positions are always the same.
        decoders: By way of decoding, whether it is right for this model, as far as that was tried.
        captures: Whether its decoding steps can be captured; false once that has failed.
        most_slots: The most samples that are answered at once.
        limit: How many tokens fit the device's memory in one forward pass.
    """

    def __init__(self, model: PreTrainedModel, name: str) -> None:
        """Find out what a model can do.

        Raises:
            ModelError: It is not causal.
        """
        self.limit = BatchLimit()
        self.model: PreTrainedModel = model.eval()
        self.name = name
        self.device: torch.device = model.device
        self.body, self.head = weight_counts(model)
        self.projection: Projection | None = None
        if has_plain_projection(model):
            self.projection = Projection(model.get_output_embeddings())
        if can_prepack(self.device, model.dtype):
            prepack(model)
        self._compilation = Compilation(model)
        self._tried_compiled = False
        self._padded_because = ""
        self._flash = has_flash_kernel(model)
        self.longest_packed: int | None = attention_limit(model)
        self.rope = rope_window(model)
        self.decoders: dict[str, bool] = {}
        self.captures = True
        self.most_slots = _SLOTS.get(self.device.type, _SLOTS["cpu"])
        if looks_ahead(model, min(8, self.rope.tokens // 2)):
            raise ModelError(
                f"'{name}' is no causal language model: what it says after a token changes with "
                "the tokens that follow. Expected one that reads from left to right."
            )
        if reason := self._canary():
            progress.warn(
                f"The rows of '{name}' are padded instead of packed, and share no prompts: "
                f"{reason}."
            )
            self._padded_because = f": {reason}"
            self.longest_packed = 0

    def replace_weights(self, state: Mapping[str, torch.Tensor]) -> None:
        """Give the model the weights of another one with the same configuration, in place.

        What was found out about the model holds for these weights too: how it is run depends on its
        configuration. Scores are those of a network that is made for them, to the last bit.

        Args:
            state: The other model's `state_dict`, on any device.

        Raises:
            KeyError: It lacks a weight.
        """
        replace_weights(self.model, state)
        if self.projection:
            self.projection = Projection(self.model.get_output_embeddings())

    def tell(self, use: str, path: str) -> None:
        """Tell whoever runs it, once, on which path the model does something.

        Args:
            use: What is done, such as `likelihood`.
            path: The path, with what would make it faster.
        """
        dtype = str(self.model.dtype).removeprefix("torch.")
        progress.tell(f"{self.name}, {use} on {self.device} in {dtype}: {path}")

    def tell_packed(self, compiled: bool) -> None:
        """Tell how packs are scored."""
        path = f"packed, {'varlen' if self._flash else 'blockwise'}"
        path += ", compiled" if compiled else self._compilation.instead
        if self.device.type == "cuda" and not self._flash:
            path += "; dtype bfloat16 would be several times as fast"
        self.tell("likelihood", path)

    def tell_padded(self) -> None:
        """Tell why rows are padded."""
        limit = f": rows of more than {self.longest_packed} tokens, its window of attention"
        self.tell("likelihood", f"padded{limit if self.longest_packed else self._padded_because}")

    def compile_from(self, operations: float) -> None:
        """Compile the layers for calls of at least so many floating-point operations."""
        self._compilation.worth = operations

    def compiles_for(self, tokens: int, scored: int) -> bool:
        """Return whether the packs of a call should be run through compiled layers.

        It depends on the call's rows, and on what they are a part of, only.

        Args:
            tokens: Number of tokens that go through the model, over all packs.
            scored: Number of those that are projected onto the vocabulary.
        """
        operations = 2.0 * self.body * tokens + 2.0 * self.head * scored
        if not self._compilation.pays(operations * outlook.times()):
            return False
        if not self._tried_compiled:
            self._tried_compiled = True
            if reason := self._canary(compiled=True):
                progress.warn(f"The layers of '{self.name}' are not compiled: {reason}.")
                self._compilation.give_up(reason)
        return self._compilation.possible

    @torch.inference_mode()
    def score_pack(self, rows: Pack, compiled: bool = False) -> torch.Tensor:
        """Return the log-probability of each scored token of a pack: [scored] float32, in nats.

        Args:
            rows: The pack.
            compiled: Whether to use compiled layers; see :meth:`compiles_for`.
        """
        ids, positions, sources, targets = (
            on_device(each, self.device)
            for each in (rows.ids, rows.positions, rows.sources, rows.targets)
        )
        inputs = {"input_ids": ids[None], "position_ids": positions[None], "use_cache": False}
        layout = layout_of(rows, self.device, self._flash)
        # A single token, which the compiler holds for a case of its own, would be compiled anew.
        compiled = compiled and len(ids) > 1
        layers = self._compilation.enabled() if compiled else nullcontext()
        with attention.laid_out(layout), _packed_attention(self.model), layers:
            if self.projection:
                states = self.model.base_model(**inputs)[0][0][sources]
                return self.projection.log_probabilities(states, targets, compiled)
            logits = self.model(**inputs, logits_to_keep=sources).logits[0]
        return _normalised(logits, targets)

    @torch.inference_mode()
    def mean_states(self, rows: Pack) -> torch.Tensor:
        """Return the mean of the last hidden states of each row of a pack: [rows, hidden] float32.

        Args:
            rows: A pack in which no prompts are shared.
        """
        ids, positions = (on_device(each, self.device) for each in (rows.ids, rows.positions))
        layout = layout_of(rows, self.device, self._flash)
        with attention.laid_out(layout), _packed_attention(self.model):
            states = self.model.base_model(
                input_ids=ids[None], position_ids=positions[None], use_cache=False
            )[0][0]
        starts = np.flatnonzero(rows.positions == 0)
        lengths = np.diff([*starts, len(rows.ids)])
        parts = torch.split(states.float(), lengths.tolist())
        return torch.stack([part.mean(dim=0) for part in parts])

    @torch.inference_mode()
    def read(self, rows: Pack, cache: attention.KeyValueCache) -> None:
        """Run a pack for its keys and values only, which a cache keeps."""
        ids, positions = (on_device(each, self.device) for each in (rows.ids, rows.positions))
        inputs = {"input_ids": ids[None], "position_ids": positions[None], "use_cache": False}
        layout = layout_of(rows, self.device, self._flash)
        with attention.laid_out(layout), attention.cached(cache), _packed_attention(self.model):
            self.model.base_model(**inputs)

    @torch.inference_mode()
    def next_logits(
        self, ids: torch.Tensor, positions: torch.Tensor, cache: attention.KeyValueCache
    ) -> torch.Tensor:
        """Return the logits after one more token of each row.

        Args:
            ids: [rows] the tokens, on the device.
            positions: [rows] the position of each token in its row.
            cache: Attends in every layer, with the keys and values of the tokens before.

        Returns:
            [rows, vocabulary] float32.
        """
        inputs = {"input_ids": ids[None], "position_ids": positions[None], "use_cache": False}
        with attention.cached(cache), _packed_attention(self.model):
            if self.projection is None:
                logits: torch.Tensor = self.model(**inputs).logits[0]
                return logits.float()
            states = self.model.base_model(**inputs)[0][0]
        return self.projection.logits(states)

    @torch.inference_mode()
    def score_padded(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """Return the log-probability of each scored token of rows, which are padded.

        Returns:
            [scored] float32, in nats, one row after the other.
        """
        ids = self._padded([row.ids[:-1] for row in rows])
        places = [
            np.arange(row.prompt_tokens - 1, len(row.ids) - 1) + number * ids.shape[1]
            for number, row in enumerate(rows)
        ]
        scored = [np.array(row.ids[row.prompt_tokens :], dtype=np.int64) for row in rows]
        sources, targets = (
            on_device(np.concatenate(each), self.device) for each in (places, scored)
        )
        if self.projection:
            hidden = self.model.base_model(ids, use_cache=False)[0]
            states = hidden.flatten(0, 1)[sources]
            return self.projection.log_probabilities(states, targets)
        logits = self.model(ids, use_cache=False).logits
        return _normalised(logits.flatten(0, 1)[sources], targets)

    @torch.inference_mode()
    def logits_after(self, texts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Return the logits after some texts, which are padded: [texts, vocabulary] float32."""
        logits: torch.Tensor = self.model(self._padded(texts), use_cache=False).logits
        last = torch.tensor([len(text) - 1 for text in texts], device=self.device)
        return logits[torch.arange(len(texts), device=self.device), last].float()

    def _padded(self, texts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Return texts as a matrix on the device, filled up on the right with any token."""
        padded = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
        for number, text in enumerate(texts):
            padded[number, : len(text)] = text
        return on_device(padded, self.device)

    def _canary(self, compiled: bool = False) -> str | None:
        """Score a few rows packed, shared and alone; return what is wrong with packing, if any."""
        rows = self._tried_rows()
        try:
            alone = [self.score_padded([row]) for row in rows]
            difference = max(
                self._difference(rows, alone, share, compiled) for share in (False, True)
            )
        except Exception as error:  # whatever the model's own code says to an unknown attention
            if is_of_device(error):
                raise
            return in_one_line(error)
        if difference <= _TOLERANCE.get(self.model.dtype, _HALF_TOLERANCE):
            return None
        return f"their scores would differ by {difference:.2g} nats a token"

    def _tried_rows(self) -> list[Encoded]:
        """Return rows that share beginnings on two levels, and one that shares nothing."""
        size = min(24, (self.longest_packed or 48) // 2, self.rope.tokens // 2)
        ids = scattered_tokens(self.model, 6 * size).tolist()
        half = max(1, size // 2)
        system, other = ids[:size], ids[size : 2 * size]
        parts = [ids[start : start + half] for start in range(2 * size, 6 * size, half)]
        rows = [Encoded(tuple(other), 1, size - 1, False)]
        for prompt, responses in ((parts[0], parts[2:5]), (parts[1], parts[5:8])):
            for number, response in enumerate(responses):
                own = response[: max(1, half - number)]
                rows.append(Encoded((*system, *prompt, *own), size + half, len(own), False))
        return rows

    def _difference(
        self, rows: Sequence[Encoded], alone: Sequence[torch.Tensor], share: bool, compiled: bool
    ) -> float:
        plan = plan_packs(rows, 4096, share)
        laid = pack(plan.batches[0], rows, plan.riders)
        packed = self.score_pack(laid, compiled)
        return float((packed - torch.cat([alone[row] for row, _ in laid.rows])).abs().mean())


@contextmanager
def _packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let a model use the attention for packs inside the block."""
    usual = model.config._attn_implementation
    model.set_attn_implementation(attention.NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


def _normalised(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return log-probabilities of targets, a few rows of logits at a time in float32."""
    size = max(1, _LOGITS_AT_ONCE // logits.shape[1])
    parts = []
    for part, target in zip(torch.split(logits, size), torch.split(targets, size), strict=True):
        chosen = part.gather(1, target[:, None])[:, 0].float()
        parts.append(chosen - logsumexp(part))
    return torch.cat(parts)


def on_device(values: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Copy an array to a device without waiting for what the device is computing."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
