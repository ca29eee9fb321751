"""The scoring engine on local weights: `transformers` models on CPU or CUDA.

Rows go through the model in packs without padding, those with the same prompt together
(siftline.models.engine.packing); a model that cannot be run on packs gets padded batches
(siftline.models.engine.forward). Sums are in float64.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import jinja2

from siftline.contracts.errors import ModelError
from siftline.models.engine.answering import Answers, Question
from siftline.models.engine.forward import Network
from siftline.models.engine.passes import Passes
from siftline.models.engine.tokenisation import PairTokenizer
from siftline.models.generation import Choices, Conversation, Generations, Sampling
from siftline.models.likelihood import (
    EMPTY_PROMPT,
    PROMPT_TOO_LONG,
    TOKENIZER_ERROR,
    Encoded,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
    check_window,
)
from siftline.models.rendering import Prompt, Template, render_prompt

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

    def generate(
        self,
        prompts: Sequence[Conversation],
        sampling: Sampling,
        *,
        template: Template = "chat",
        on_batch: OnBatch | None = None,
    ) -> Generations:
        """Sample responses; see :class:`siftline.models.generation.Generator`."""
        report = on_batch or (lambda prompts, tokens: None)
        rendered = [render_prompt(prompt, template, self) for prompt in prompts]
        asked = self._questions(rendered, sampling.max_tokens)
        questions = [each for each in asked if isinstance(each, Question)]
        report(len(asked) - len(questions), 0)
        answers = Answers(self.network, self.tokenizer, sampling)
        with self._computing:
            found = answers.to(questions, report)
        rows = [found[each.number] if isinstance(each, Question) else each for each in asked]
        return Generations(rows, answers.usage)

    def _questions(self, rendered: Sequence[Prompt | str], max_tokens: int) -> list[Question | str]:
        """Tokenise prompts; a status stands for one that cannot be continued."""
        with self._tokenizing:
            tokens = iter(
                self.pairs.encode_prompts([each for each in rendered if isinstance(each, Prompt)])
            )
        found: list[Question | str] = []
        for number, prompt in enumerate(rendered):
            if isinstance(prompt, str):
                found.append(prompt)
            elif (ids := next(tokens)) is None:
                found.append(TOKENIZER_ERROR)
            elif not ids:
                found.append(EMPTY_PROMPT)
            elif len(ids) >= self.window:
                found.append(PROMPT_TOO_LONG)
            else:
                limit = min(max_tokens, self.window - len(ids))
                found.append(Question(number, prompt, ids, limit))
        return found

    def choose(
        self,
        prompts: Sequence[Conversation],
        options: Sequence[str],
        *,
        template: Template = "chat",
        on_batch: OnBatch | None = None,
    ) -> Choices:
        """Weigh options; see :class:`siftline.models.generation.Generator`."""
        rendered = [render_prompt(prompt, template, self) for prompt in prompts]
        pairs = [
            Pair(prompt.text, prompt.opening + option, special=prompt.special)
            for prompt in rendered
            if isinstance(prompt, Prompt)
            for option in options
        ]
        # Only the first token of an option counts; what is computed is the prompt, once.
        coded = [
            each._replace(ids=each.ids[: each.prompt_tokens + 1], eos=False)
            if isinstance(each, Encoded)
            else each
            for each in self.encode(pairs)
        ]
        check_options(options, coded)
        report = on_batch or (lambda prompts, tokens: None)
        scored = self.score(coded, on_batch=lambda rows, tokens: report(0, tokens))
        report(len(prompts), 0)
        results = iter(scored.rows)
        rows: list[list[float] | str] = []
        for prompt in rendered:
            found = [next(results) for _ in options] if isinstance(prompt, Prompt) else []
            bad = [each.status for each in found if each.sum_logprob is None]
            status = prompt if isinstance(prompt, str) else next(iter(bad), None)
            rows.append(status or [math.exp(each.sum_logprob or 0.0) for each in found])
        return Choices(rows, scored.usage)


def check_options(options: Sequence[str], coded: Sequence[Encoded | ResponseLikelihood]) -> None:
    """Check that options can be told apart by their first tokens.

    Args:
        options: As texts.
        coded: The options after the first prompt, then after the second, and so on.

    Raises:
        ModelError: Two of them begin with the same token after some prompt.
    """
    for start in range(0, len(coded), len(options)):
        seen: dict[int, int] = {}
        for number, each in enumerate(coded[start : start + len(options)]):
            if not isinstance(each, Encoded):
                continue
            other = seen.setdefault(each.ids[-1], number)
            if other != number:
                raise ModelError(
                    f"The options {options[other]!r} and {options[number]!r} begin with the same "
                    "token, so their "
                    "probabilities cannot be told apart; use options such as 'A' and 'B'."
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
