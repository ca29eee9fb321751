"""The scoring engine on local weights: `transformers` models on CPU or CUDA.

Rows go through the model in packs without padding, those with the same prompt together
(siftline.models.packing); a model that cannot be run on packs gets padded batches
(siftline.models.network). A batch that does not fit the device's memory is cut in two. Sums are in
float64.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jinja2
import numpy as np
import numpy.typing as npt
import torch

from siftline.models.likelihood import (
    Encoded,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
    check_window,
    plan,
)
from siftline.models.network import Network
from siftline.models.packing import Unit, pack, plan_packs, split
from siftline.models.tokenisation import PairTokenizer
from siftline.pipelines.errors import ModelError
from siftline.pipelines.method import Usage

Batch = TypeVar("Batch", list[int], list[Unit])
# Tokenizers say "no limit" with a number of this size or more.
_NO_LIMIT = 10**9


class TransformerModel:
    """A causal language model of `transformers`, ready to score.

    Attributes:
        name: As the recipe names it, for messages.
        window: The most tokens that it accepts.
        special_tokens: The texts of its control tokens.
        network: The model itself.
        share_prompts: Compute what rows have in common once.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self.pairs = PairTokenizer(tokenizer, name)
        self.network = Network(model, name)
        self.window = _window(model.config, tokenizer)
        self.special_tokens = self.pairs.special_tokens
        self.share_prompts = True
        self._lock = threading.Lock()

    def render_chat(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        """Render messages; see :class:`siftline.models.likelihood.LanguageModel`.

        Raises:
            ModelError: The model has no chat template.
            ValueError: The template refuses these messages.
        """
        if not self.tokenizer.chat_template:
            raise ModelError(
                f"The model '{self.name}' has no chat template; use template 'plain', "
                "or a model that was tuned for chat."
            )
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=generation_prompt
            )
        except jinja2.TemplateError as error:
            raise ValueError(str(error)) from error
        return str(text)

    def log_likelihood(
        self,
        pairs: Sequence[Pair],
        *,
        max_tokens: int | None = None,
        score_eos: bool = False,
        max_batch_tokens: int = 4096,
        on_batch: OnBatch | None = None,
    ) -> Likelihoods:
        """Score responses; see :class:`siftline.models.likelihood.LanguageModel`."""
        window = check_window(max_tokens, self.window)
        with self._lock:  # neither a tokenizer's settings nor a device's memory can be shared
            results = self.pairs.encode(pairs, window, score_eos)
            encoded = [each for each in results if isinstance(each, Encoded)]
            if on_batch and len(encoded) < len(pairs):
                on_batch(len(pairs) - len(encoded), 0)
            work = _Work(self.network, encoded, max_batch_tokens, self.share_prompts, on_batch)
            scores = work.run()
        refused = iter([each for each in results if isinstance(each, ResponseLikelihood)])
        scored = iter(
            each.result(float(score), bool(np.isfinite(score)))
            for each, score in zip(encoded, scores, strict=True)
        )
        final = [next(scored if isinstance(each, Encoded) else refused) for each in results]
        return Likelihoods(final, work.usage)


class _Work:
    """The rows of one call on their way through the model.

    Attributes:
        usage: What has been spent so far.
    """

    def __init__(
        self,
        network: Network,
        rows: Sequence[Encoded],
        max_batch_tokens: int,
        share_prompts: bool,
        on_batch: OnBatch | None,
    ) -> None:
        self.usage = Usage()
        self._network = network
        self._rows = rows
        self._max_batch_tokens = max_batch_tokens
        self._share_prompts = share_prompts
        self._on_batch = on_batch
        self._scores = np.empty(len(rows), dtype=np.float64)

    def run(self) -> npt.NDArray[np.float64]:
        """Return the sum of log-probabilities of each row: [rows] in nats."""
        limit = self._network.longest_packed
        lengths = [len(row.ids) for row in self._rows]
        packed = [row for row, size in enumerate(lengths) if limit is None or size <= limit]
        chosen = set(packed)
        self._run_packed(packed)
        self._run_padded([row for row in range(len(lengths)) if row not in chosen])
        return self._scores

    def _run_packed(self, numbers: Sequence[int]) -> None:
        rows = [self._rows[number] for number in numbers]
        plan = plan_packs(rows, self._max_batch_tokens, self._share_prompts)

        def score(batch: list[Unit]) -> None:
            laid = pack(batch, rows, plan.riders)
            logprobs = self._network.score_pack(laid)
            finished = [(numbers[row], count) for row, count in laid.rows]
            self._finish(finished, logprobs, len(laid.ids))

        self._halving(plan.batches, score, lambda batch: split(batch, rows))

    def _run_padded(self, numbers: Sequence[int]) -> None:
        lengths = [len(self._rows[number].ids) for number in numbers]
        keys = [(self._rows[number].ids, self._rows[number].prompt_tokens) for number in numbers]

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

        self._halving(plan(lengths, keys, self._max_batch_tokens), score, halves)

    def _finish(
        self, rows: Sequence[tuple[int, int]], logprobs: npt.NDArray[np.float32], tokens: int
    ) -> None:
        """Keep the sums of a batch.

        Args:
            rows: Number and scored tokens of each row.
            logprobs: Of their tokens, one row after the other.
            tokens: How many went through the model.
        """
        counts = [count for _, count in rows]
        starts = np.cumsum([0, *counts[:-1]])
        numbers = [row for row, _ in rows]
        self._scores[numbers] = np.add.reduceat(logprobs.astype(np.float64), starts)
        self.usage = self.usage.plus(Usage(1, tokens))
        if self._on_batch:
            self._on_batch(len(rows), tokens)

    def _halving(
        self,
        batches: Sequence[Batch],
        score: Callable[[Batch], None],
        halves: Callable[[Batch], list[Batch]],
    ) -> None:
        """Score batches, cutting those that do not fit the device's memory in two."""
        waiting = list(batches[::-1])
        while waiting:
            batch = waiting.pop()
            try:
                score(batch)
                continue
            except torch.OutOfMemoryError as error:
                parts = halves(batch)
                if len(parts) == 1:
                    raise self._too_large() from error
            # Outside the handler, whose traceback would keep the tensors alive.
            torch.cuda.empty_cache()
            waiting += parts[::-1]

    def _too_large(self) -> ModelError:
        longest = max(len(row.ids) for row in self._rows)
        return ModelError(
            f"A row of up to {longest} tokens does not fit the memory of "
            f"{self._network.device} beside '{self._network.name}'; lower max_tokens."
        )


def _window(config: Any, tokenizer: Any) -> int:
    """Return the most tokens that a model accepts: what its positions and tokenizer allow."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    limits = [
        int(limit)
        for limit in (positions, tokenizer.model_max_length)
        if limit and limit < _NO_LIMIT
    ]
    return min(limits, default=_NO_LIMIT)
