"""The rows of a call on their way through a network, batch by batch.

A batch that does not fit the device's memory is cut in two; from then on, batches of about that
size are cut beforehand (siftline.models.engine.batch_limit). The results of a batch are fetched
when the next one is on its way, so that a GPU computes while the host lays out the batch after it.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage
from siftline.models.engine.forward import Network
from siftline.models.engine.packing import Unit, pack, plan_packs, split
from siftline.models.engine.rope import by_regime
from siftline.models.likelihood import BATCH_TOKENS, Encoded, OnBatch, plan

Batch = TypeVar("Batch", list[int], list[Unit])
# Tokens of a forward pass unless the user says otherwise, by kind of device. On two cores 2,048
# are the fastest (docs/decisions.md); a GPU takes as many as fit, found by halving.
_TOKENS = {"cuda": 65536}


class Passes:
    """The forward passes of the rows of one call.

    Attributes:
        usage: The forward passes and tokens so far.
    """

    def __init__(
        self,
        network: Network,
        rows: Sequence[Encoded],
        *,
        max_batch_tokens: int | None = None,
        share_prompts: bool = True,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.usage = Usage()
        self._network = network
        self._rows = rows
        self._budget = max_batch_tokens or _TOKENS.get(network.device.type, BATCH_TOKENS)
        self._share_prompts = share_prompts
        self._on_batch = on_batch
        self._scores = np.empty(len(rows), dtype=np.float64)
        self._pending: tuple[list[tuple[int, int]], torch.Tensor] | None = None

    def run(self) -> npt.NDArray[np.float64]:
        """Return the sum of log-probabilities of each row: [rows] in nats.

        Raises:
            ModelError: A single row does not fit the device's memory.
        """
        limit = self._network.longest_packed
        for numbers in by_regime([len(row.ids) - 1 for row in self._rows], self._network.rope):
            lengths = {number: len(self._rows[number].ids) for number in numbers}
            packed = [number for number in numbers if limit is None or lengths[number] <= limit]
            chosen = set(packed)
            self._run_packed(packed)
            self._run_padded([number for number in numbers if number not in chosen])
        self._fetch()
        return self._scores

    def _run_packed(self, numbers: Sequence[int]) -> None:
        rows = [self._rows[number] for number in numbers]
        packs = plan_packs(rows, self._budget, self._share_prompts)
        compiled = self._network.compiles_for(
            sum(map(_tokens, packs.batches)), sum(row.scored_tokens for row in rows)
        )

        if rows:
            self._network.tell_packed(compiled)

        def score(batch: list[Unit]) -> None:
            laid = pack(batch, rows, packs.riders)
            logprobs = self._network.score_pack(laid, compiled)
            finished = [(numbers[row], count) for row, count in laid.rows]
            self._finish(finished, logprobs, len(laid.ids))

        self._halving(packs.batches, score, split, _tokens)

    def _run_padded(self, numbers: Sequence[int]) -> None:
        lengths = [len(self._rows[number].ids) for number in numbers]
        keys = [(self._rows[number].ids, self._rows[number].prompt_tokens) for number in numbers]

        if numbers:
            self._network.tell_padded()

        def score(batch: list[int]) -> None:
            rows = [self._rows[numbers[row]] for row in batch]
            logprobs = self._network.score_padded(rows)
            counts = [
                (numbers[row], each.scored_tokens) for row, each in zip(batch, rows, strict=True)
            ]
            self._finish(counts, logprobs, sum(len(row.ids) for row in rows))

        def halves(batch: list[int]) -> list[list[int]]:
            half = (len(batch) + 1) // 2
            return [part for part in (batch[:half], batch[half:]) if part]

        def size(batch: list[int]) -> int:
            return len(batch) * max(lengths[row] for row in batch)

        self._halving(plan(lengths, keys, self._budget), score, halves, size)

    def _finish(self, rows: list[tuple[int, int]], logprobs: torch.Tensor, tokens: int) -> None:
        """Count a batch, and fetch the results of the one before.

        Args:
            rows: For each row, its number and the number of its scored tokens.
            logprobs: [scored] log-probabilities of those tokens, one row after the other.
            tokens: Number of tokens that went through the model.
        """
        self._fetch()
        self._pending = (rows, logprobs)
        self.usage = self.usage.plus(Usage(1, tokens))
        if self._on_batch:
            self._on_batch(len(rows), tokens)

    def _fetch(self) -> None:
        if self._pending is None:
            return
        rows, logprobs = self._pending
        self._pending = None
        starts = np.cumsum([0, *(count for _, count in rows[:-1])])
        values = logprobs.cpu().numpy().astype(np.float64)
        self._scores[[row for row, _ in rows]] = np.add.reduceat(values, starts)

    def _halving(
        self,
        batches: Sequence[Batch],
        score: Callable[[Batch], None],
        halves: Callable[[Batch], list[Batch]],
        size: Callable[[Batch], int],
    ) -> None:
        """Score batches, cutting those that do not fit the device's memory in two."""
        waiting = list(batches[::-1])
        limit = self._network.limit
        while waiting:
            batch = waiting.pop()
            if size(batch) >= limit.tokens and len(parts := halves(batch)) > 1:
                waiting += parts[::-1]
                continue
            try:
                score(batch)
                limit.passed()
                continue
            except torch.OutOfMemoryError as error:
                limit.failed(size(batch))
                parts = halves(batch)
                if len(parts) == 1:
                    raise self._too_large() from error
            # Outside the handler, whose traceback would keep the tensors alive.
            self._fetch()
            torch.cuda.empty_cache()
            waiting += parts[::-1]

    def _too_large(self) -> ModelError:
        longest = max(len(row.ids) for row in self._rows)
        return ModelError(
            f"A row of up to {longest} tokens does not fit the memory of "
            f"{self._network.device} beside '{self._network.name}'; lower max_tokens."
        )


def _tokens(batch: Sequence[Unit]) -> int:
    return sum(unit.tokens for unit in batch)
