"""The scoring engine on local weights: `transformers` models on CPU or CUDA.

Rows go through the model in packs without padding, those with the same prompt together
(siftline.models.packing); a model that cannot be run on packs gets padded batches
(siftline.models.network). Sums are in float64.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import jinja2

from siftline.models.likelihood import (
    Encoded,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
    check_window,
)
from siftline.models.network import Network
from siftline.models.passes import Passes
from siftline.models.tokenisation import PairTokenizer
from siftline.pipelines.errors import ModelError

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
        # Neither a tokenizer's settings nor a device's memory can be used by two threads.
        self._tokenizing = threading.Lock()
        self._computing = threading.Lock()

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
        max_batch_tokens: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> Likelihoods:
        """Score responses; see :class:`siftline.models.likelihood.LanguageModel`."""
        coded = self.encode(pairs, max_tokens=max_tokens, score_eos=score_eos)
        return self.score(coded, max_batch_tokens=max_batch_tokens, on_batch=on_batch)

    def encode(
        self, pairs: Sequence[Pair], *, max_tokens: int | None = None, score_eos: bool = False
    ) -> list[Encoded | ResponseLikelihood]:
        """Tokenise responses for :meth:`score`, of this model or of others with its tokenizer.

        Raises:
            ModelError: `max_tokens` exceeds the window, or there is no end token to score.
        """
        window = check_window(max_tokens, self.window)
        with self._tokenizing:  # while another thread's rows are on the device
            return self.pairs.encode(pairs, window, score_eos)

    def score(
        self,
        coded: Sequence[Encoded | ResponseLikelihood],
        *,
        max_batch_tokens: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> Likelihoods:
        """Score tokenised responses; see :meth:`log_likelihood`."""
        rows = [each for each in coded if isinstance(each, Encoded)]
        if on_batch and len(rows) < len(coded):
            on_batch(len(coded) - len(rows), 0)
        passes = Passes(
            self.network,
            rows,
            max_batch_tokens=max_batch_tokens,
            share_prompts=self.share_prompts,
            on_batch=on_batch,
        )
        with self._computing:
            scores = iter(passes.run().tolist())
        return Likelihoods(
            [
                each.result(score := next(scores), math.isfinite(score))
                if isinstance(each, Encoded)
                else each
                for each in coded
            ],
            passes.usage,
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
