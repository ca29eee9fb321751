"""The scoring engine on local weights: `transformers` models on CPU or CUDA.

Rows are padded on the right. A causal model cannot look to the right, so padding changes no score
and no attention mask is needed, which lets attention take its fastest path. The vocabulary
projection, the largest matrix of a small model, is applied to response positions only, in chunks,
and the normalisation is done in float32; sums are in float64.
"""

import threading
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import torch

from siftline.models.likelihood import (
    EMPTY_RESPONSE,
    TOKENIZER_ERROR,
    Encoded,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
    check_window,
    fit,
    plan,
)
from siftline.pipelines.errors import ModelError
from siftline.pipelines.method import Usage

# Logits held at once in float32: 2**26 of them are 256 MiB, or 1,365 positions of SmolLM2.
_LOGITS_AT_ONCE = 2**26
# Tokenizers say "no limit" with a number of this size or more.
_NO_LIMIT = 10**9


class TransformerModel:
    """A causal language model of `transformers`, ready to score.

    Attributes:
        name: As the recipe names it, for messages.
        window: The most tokens that it accepts.
        special_tokens: The texts of its control tokens.
        projects: True when its logits are `lm_head(hidden states)` and nothing else, so that they
            are computed at response positions only.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self.model = model.eval()
        self.device: torch.device = model.device
        self.window = _window(model.config, tokenizer)
        self.special_tokens = _special_tokens(tokenizer)
        self.head = _opening_tokens(tokenizer)
        self.projects = _is_plain_projection(model)
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
            results = self._encode(pairs, window, score_eos)
            todo = [row for row, each in enumerate(results) if isinstance(each, Encoded)]
            if on_batch and len(todo) < len(pairs):
                on_batch(len(pairs) - len(todo), 0)
            encoded = [each for each in results if isinstance(each, Encoded)]
            scores, usage = self._score(encoded, max_batch_tokens, on_batch)
        rows = [each for each in results if isinstance(each, ResponseLikelihood)]
        refused = iter(rows)
        scored = iter(
            each.result(float(score), bool(np.isfinite(score)))
            for each, score in zip(encoded, scores, strict=True)
        )
        final = [next(scored if isinstance(each, Encoded) else refused) for each in results]
        return Likelihoods(final, usage)

    def _encode(
        self, pairs: Sequence[Pair], window: int, score_eos: bool
    ) -> list[Encoded | ResponseLikelihood]:
        """Tokenise pairs, and find the boundary in each."""
        texts = [text for pair in pairs for text in (pair.prompt, pair.prompt + pair.response)]
        special = [pair.special for pair in pairs for _ in range(2)]
        ids = self._tokenise(texts, special)
        results: list[Encoded | ResponseLikelihood] = []
        for number, pair in enumerate(pairs):
            prompt, full = ids[2 * number], ids[2 * number + 1]
            if not pair.response.strip():
                results.append(ResponseLikelihood(EMPTY_RESPONSE))
            elif prompt is None or full is None:
                results.append(ResponseLikelihood(TOKENIZER_ERROR))
            else:
                end = self._end(pair) if score_eos else None
                results.append(fit(self._open(prompt), self._open(full), end, window))
        return results

    def _open(self, ids: list[int]) -> list[int]:
        """Put the tokens in front that every sequence starts with, unless they are there."""
        return ids if ids[: len(self.head)] == self.head else [*self.head, *ids]

    def _end(self, pair: Pair) -> int:
        if pair.end is not None:
            return int(self.tokenizer.convert_tokens_to_ids(pair.end))
        if self.tokenizer.eos_token_id is None:
            raise ModelError(
                f"The tokenizer of '{self.name}' has no end token; turn score_eos off."
            )
        return int(self.tokenizer.eos_token_id)

    def _tokenise(self, texts: list[str], special: list[bool]) -> list[list[int] | None]:
        """Tokenise texts without adding special tokens; None where the tokenizer fails."""
        found: list[list[int] | None] = [None] * len(texts)
        for parse in (False, True):
            rows = [row for row, each in enumerate(special) if each == parse]
            if not rows:
                continue
            try:
                several = self._ids([texts[row] for row in rows], parse)
            except Exception:  # whatever it is, it must be pinned to its row
                several = [self._ids_or_none(texts[row], parse) for row in rows]
            for row, ids in zip(rows, several, strict=True):
                found[row] = ids
        return found

    def _ids(self, texts: list[str], parse: bool) -> Sequence[list[int] | None]:
        found: Sequence[list[int]] = self.tokenizer(
            texts,
            add_special_tokens=False,
            split_special_tokens=not parse,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        return found

    def _ids_or_none(self, text: str, parse: bool) -> list[int] | None:
        try:
            return self._ids([text], parse)[0]
        except Exception:  # becomes the status `tokenizer_error`
            return None

    def _score(
        self, rows: Sequence[Encoded], max_batch_tokens: int, on_batch: OnBatch | None
    ) -> tuple[npt.NDArray[np.float64], Usage]:
        """Return the sum of log-probabilities of each row: [rows] in nats."""
        scores = np.empty(len(rows), dtype=np.float64)
        lengths = [len(row.ids) for row in rows]
        keys = [(row.ids, row.prompt_tokens) for row in rows]
        usage = Usage()
        waiting = plan(lengths, keys, max_batch_tokens)[::-1]
        while waiting:
            batch = waiting.pop()
            tokens = sum(lengths[row] for row in batch)
            found = self._try([rows[row] for row in batch])
            if found is None:
                half = (len(batch) + 1) // 2
                waiting += [batch[half:], batch[:half]]
                continue
            scores[batch] = found
            usage = usage.plus(Usage(1, tokens))
            if on_batch:
                on_batch(len(batch), tokens)
        return scores, usage

    def _try(self, rows: list[Encoded]) -> npt.NDArray[np.float64] | None:
        """Score one batch, or return None when it must be halved to fit the device's memory."""
        try:
            return self._forward(rows)
        except torch.OutOfMemoryError as error:
            if len(rows) == 1:
                raise ModelError(
                    f"A row of {len(rows[0].ids)} tokens does not fit the memory of "
                    f"{self.device} beside '{self.name}'; lower max_tokens."
                ) from error
        # Outside the handler, whose traceback would keep the tensors alive.
        torch.cuda.empty_cache()
        return None

    @torch.inference_mode()
    def _forward(self, rows: list[Encoded]) -> npt.NDArray[np.float64]:
        """Score one batch: [rows] sums in nats."""
        width = max(len(row.ids) for row in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)  # any token will do as padding
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = row.ids
        inputs = torch.from_numpy(ids).to(self.device)
        # Position t predicts the token at t + 1.
        flat = np.concatenate(
            [
                np.arange(row.prompt_tokens - 1, len(row.ids) - 1) + number * width
                for number, row in enumerate(rows)
            ]
        )
        positions = torch.from_numpy(flat).to(self.device)
        logprobs = self._logprobs(inputs, positions).cpu().numpy()
        starts = np.cumsum([0, *(row.scored_tokens for row in rows[:-1])])
        sums: npt.NDArray[np.float64] = np.add.reduceat(logprobs.astype(np.float64), starts)
        return sums

    def _logprobs(self, inputs: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return log p of the token after each position.

        Args:
            inputs: [rows, width] tokens.
            positions: [scored] into the flattened inputs.

        Returns:
            [scored] float32.
        """
        targets = inputs.flatten()[positions + 1]
        if self.projects:
            hidden = self.model.base_model(inputs, use_cache=False)[0]
            states = hidden.flatten(0, 1)[positions]
            project = self.model.get_output_embeddings()
        else:
            states = self.model(inputs, use_cache=False).logits.flatten(0, 1)[positions]
            project = torch.nn.Identity()
        size = max(1, _LOGITS_AT_ONCE // self.model.config.get_text_config().vocab_size)
        chunks = []
        for part, target in zip(torch.split(states, size), torch.split(targets, size), strict=True):
            logits = project(part).float()
            chosen = logits.gather(1, target[:, None])[:, 0]
            chunks.append(chosen - logits.logsumexp(dim=1))
        return torch.cat(chunks)


@torch.inference_mode()
def _is_plain_projection(model: Any) -> bool:
    """Return whether logits are `lm_head(hidden states)`, by trying it on a few tokens.

    It is not so where logits are scaled or capped (Granite, Gemma 2, Cohere). The same operations
    on the same shapes give the same bits, so nothing short of equality will do: a cap is nearly
    the identity on small logits.
    """
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        return False
    vocabulary = model.config.get_text_config().vocab_size
    ids = torch.arange(16, device=model.device)[None] * 7919 % vocabulary  # spread out by a prime
    expected = model(ids, use_cache=False).logits
    own = head(model.base_model(ids, use_cache=False)[0])
    return bool(torch.equal(own.float(), expected.float()))


def _window(config: Any, tokenizer: Any) -> int:
    """Return the most tokens that a model accepts: what its positions and tokenizer allow."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    limits = [
        int(limit)
        for limit in (positions, tokenizer.model_max_length)
        if limit and limit < _NO_LIMIT
    ]
    return min(limits, default=_NO_LIMIT)


def _special_tokens(tokenizer: Any) -> tuple[str, ...]:
    added = tokenizer.added_tokens_decoder.values()
    return tuple(sorted(str(token) for token in added if token.special))


def _opening_tokens(tokenizer: Any) -> list[int]:
    """Return the special tokens that the tokenizer puts before a text, such as BOS."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    opened = tokenizer("a")["input_ids"]
    for start in range(len(opened) - len(bare) + 1):
        if opened[start : start + len(bare)] == bare:
            return list(opened[:start])
    return []
