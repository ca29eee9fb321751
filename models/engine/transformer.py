"""The engine: a language model of `transformers` on CPU or CUDA that scores and answers.

Rows go through the model in packs without padding, those with the same prompt together
(siftline.models.engine.packing). A model that cannot be run on packs gets padded batches
(siftline.models.engine.forward). Sums of log-probabilities are in float64.
"""

import logging
import math
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager

import jinja2
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.models.chat_messages import (
    AS_GIVEN,
    CALL_FORMS,
    CallForm,
    ChatOptions,
    Tools,
    template_messages,
    thought_names,
)
from siftline.models.device_errors import device_errors_told
from siftline.models.engine.answering import Answers, Question
from siftline.models.engine.chat_template import chat_template_of
from siftline.models.engine.choosing import continuations, probabilities, ways_of
from siftline.models.engine.forward import Network
from siftline.models.engine.passes import Passes
from siftline.models.engine.tokenisation import PairTokenizer
from siftline.models.generation import (
    Conversation,
    Generations,
    OptionProbabilities,
    Sampling,
    tools_of_each,
)
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

_log = logging.getLogger(__name__)

# A template is a program over a row's turns, and fails like one: it adds a number to a text, say.
_OF_TEMPLATES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

# Tokenizers say "no limit" with a number of this size or more.
_NO_LIMIT = 10**9


class TransformerModel:
    """A causal language model of `transformers` with its tokenizer.

    It serves one thread at a time; another waits.

    Attributes:
        name: The model's name in the recipe, for messages.
        chat: How turns reach its chat template.
        tokenizer: The tokenizer of `transformers`.
        pairs: The tokenizer as the scoring contract uses it.
        network: The weights, ready for forward passes.
        window: The most tokens that it accepts, prompt and response together.
        special_tokens: The texts of its control tokens.
        share_prompts: Whether to compute once what rows have in common.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        chat: ChatOptions = AS_GIVEN,
    ) -> None:
        self.name = name
        self.chat = chat
        self.tokenizer = tokenizer
        self.pairs = PairTokenizer(tokenizer, name)
        self.network = Network(model, name)
        self.window = _window(model, tokenizer)
        self.special_tokens = self.pairs.special_tokens
        self.share_prompts = True
        self._refusals: set[str] = set()
        # Neither a tokenizer's settings nor a device's memory can be used by two threads.
        self._tokenizing = threading.Lock()
        self._computing = threading.Lock()

    def render_chat(
        self,
        messages: list[Message],
        generation_prompt: bool,
        tools: Tools = (),
        form: CallForm = CALL_FORMS[0],
    ) -> str:
        """Render messages; see :class:`siftline.models.likelihood.LanguageModel`.

        Raises:
            ModelError: The model has no chat template.
            ValueError: The template refuses these messages.
        """
        template = chat_template_of(self.tokenizer, bool(tools))
        if template is None:
            raise ModelError(
                f"The model '{self.name}' has no chat template; use template 'plain', "
                "or a model that was tuned for chat."
            )
        try:
            text = self.tokenizer.apply_chat_template(
                template_messages(messages, thought_names(template), form, self.chat),
                tools=list(tools) or None,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=generation_prompt,
            )
        except (jinja2.TemplateError, *_OF_TEMPLATES) as error:
            raise ValueError(str(error)) from error
        return str(text)

    def say_refusal(self, reason: str) -> None:
        """Log why the chat template refuses a conversation, once for each reason."""
        if reason not in self._refusals:
            self._refusals.add(reason)
            _log.warning("The chat template of '%s' refuses messages: %r", self.name, reason)

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
        """Tokenise responses for :meth:`score`, of this model or of another with its tokenizer.

        Args:
            pairs: Prompts and responses.
            max_tokens: As for :meth:`log_likelihood`.
            score_eos: As for :meth:`log_likelihood`.

        Returns:
            One per pair: the tokens to score, or a result whose status says why there are none.

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
        """Score tokenised responses.

        Args:
            coded: The result of :meth:`encode`.
            max_batch_tokens: As for :meth:`log_likelihood`.
            on_batch: As for :meth:`log_likelihood`.

        Raises:
            ModelError: A single row does not fit the device's memory.
        """
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
        with self._computing, self._device_told():
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
        tools: Sequence[Tools] | None = None,
        on_batch: OnBatch | None = None,
    ) -> Generations:
        """Sample responses; see :class:`siftline.models.generation.Generator`."""
        report = on_batch or _nothing
        rendered = [
            render_prompt(prompt, template, self, offered)
            for prompt, offered in tools_of_each(prompts, tools)
        ]
        asked = self._questions(rendered, sampling.max_tokens)
        questions = [each for each in asked if isinstance(each, Question)]
        report(len(asked) - len(questions), 0)
        answers = Answers(self.network, self.tokenizer, sampling)
        with self._computing, self._device_told():
            samples = answers.to(questions, report)
        rows = [samples[each.number] if isinstance(each, Question) else each for each in asked]
        return Generations(rows, answers.usage)

    def _device_told(self) -> AbstractContextManager[None]:
        return device_errors_told(self.name, "was run", str(self.network.device))

    def _questions(self, rendered: Sequence[Prompt | str], max_tokens: int) -> list[Question | str]:
        """Tokenise prompts; a status stands for one that cannot be continued."""
        with self._tokenizing:
            tokens = iter(
                self.pairs.encode_prompts([each for each in rendered if isinstance(each, Prompt)])
            )
        questions: list[Question | str] = []
        for number, prompt in enumerate(rendered):
            if isinstance(prompt, str):
                questions.append(prompt)
            elif (ids := next(tokens)) is None:
                questions.append(TOKENIZER_ERROR)
            elif not ids:
                questions.append(EMPTY_PROMPT)
            elif len(ids) >= self.window:
                questions.append(PROMPT_TOO_LONG)
            else:
                limit = min(max_tokens, self.window - len(ids))
                questions.append(Question(number, prompt, ids, limit))
        return questions

    def choose(
        self,
        prompts: Sequence[Conversation],
        options: Sequence[str],
        *,
        template: Template = "chat",
        on_batch: OnBatch | None = None,
    ) -> OptionProbabilities:
        """Weigh options; see :class:`siftline.models.generation.Generator`."""
        report = on_batch or _nothing
        rendered = [render_prompt(prompt, template, self) for prompt in prompts]
        asked = self._questions(rendered, max_tokens=1)
        questions = [each for each in asked if isinstance(each, Question)]
        opening = next((each.prompt.opening for each in questions), "")
        ways = ways_of(options, opening, self.pairs)
        coded = [each for question in questions for each in continuations(question.ids, ways)]
        report(len(asked) - len(questions), 0)
        part = len(questions) / max(len(coded), 1)
        scored = self.score(coded, on_batch=lambda rows, tokens: report(rows * part, tokens))
        results = iter(scored.rows)
        return OptionProbabilities(
            [each if isinstance(each, str) else probabilities(results, ways) for each in asked],
            scored.usage,
        )


def _nothing(prompts: float, tokens: int) -> None:
    """Stand for a callback that is not wanted."""


def _window(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the most tokens that a model accepts: what its positions and tokenizer allow."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limits = [
        int(limit)
        for limit in (positions, tokenizer.model_max_length)
        if limit and limit < _NO_LIMIT
    ]
    return min(limits, default=_NO_LIMIT)
