"""A language model behind an OpenAI-compatible server.

Chat completions serve generation and choices, completions with `echo` and `logprobs` serve
likelihoods, where the server has them. Servers ignore what they do not know; so every answer is
checked for what was asked for, and what is missing is an error, or asked for in another way.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.contracts.runtime import Usage
from siftline.models.generation import (
    LENGTH,
    STOP,
    Choices,
    Conversation,
    Generations,
    Sample,
    Sampling,
)
from siftline.models.likelihood import (
    BOUNDARY,
    EMPTY_PROMPT,
    EMPTY_RESPONSE,
    NOT_FINITE,
    OK,
    PROMPT_TOO_LONG,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
)
from siftline.models.remote.client import Client, Request, TooLongError
from siftline.models.rendering import Template, plain_prompt

_log = logging.getLogger(__name__)

CONTENT_FILTER = "content_filter"  # the server withheld the response
OPTION_UNLIKELY = "option_unlikely"  # an option that may count is not among the reported tokens
# Nobody knows the window of a model on a server: it says so when a prompt exceeds it.
_WINDOW = 10**9
_CHAT, _TEXT = "/chat/completions", "/completions"
# A text whose second half any model foresees, and the mean log-probability that it must have there.
_REPETITION = " ".join(["one two three four five six seven"] * 8)
_FORESEEN = -2.0
# The most that the protocol allows.
_TOP_LOGPROBS = 20
# Of the options together: what an option may weigh that a server does not report.
_NEGLIGIBLE = 0.01


class ServerModel:
    """A model on a server; see the protocols LanguageModel and Generator.

    Attributes:
        window: Unknown, and so without limit.
        special_tokens: Unknown, and so none: the server's template is trusted with them.
    """

    window = _WINDOW
    special_tokens: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec, server: ServerSpec) -> None:
        self._client = Client(spec, server)
        self._name = spec.name
        self._one_by_one = False
        self._echo_checked = False

    def render_chat(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        """Refuse: the chat template is on the server.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"The chat template of '{self._name}' is on its server, where a response cannot be "
            "marked; score with template 'plain', or with local weights."
        )

    def generate(
        self,
        prompts: Sequence[Conversation],
        sampling: Sampling,
        *,
        template: Template = "chat",
        on_batch: OnBatch | None = None,
    ) -> Generations:
        """Sample responses; see :class:`siftline.models.generation.Generator`.

        A server that ignores `n` is asked again for each sample, with other seeds.
        """
        before = self._client.usage
        path = _CHAT if template == "chat" else _TEXT
        asked = [_question(prompt, template) | _options(sampling) for prompt in prompts]
        first = 1 if self._one_by_one else sampling.n
        requests = [Request(path, {**body, "n": first} if first > 1 else body) for body in asked]
        report = _reporting(on_batch if first == sampling.n else None)
        answers = self._client.ask(requests, _has_choices, report)
        found = [_samples(answer) for answer in answers]
        missing: list[tuple[int, int]] = [
            (row, number)
            for row, samples in enumerate(found)
            if not isinstance(samples, str)
            for number in range(len(samples), sampling.n)
        ]
        if missing:
            self._say_one_by_one()
            more = [
                Request(path, {**asked[row], "seed": sampling.seed + 1_000_003 * number})
                for row, number in missing
            ]
            for (row, _), answer in zip(missing, self._client.ask(more, _has_choices), strict=True):
                samples, extra = found[row], _samples(answer)
                if isinstance(samples, str) or isinstance(extra, str):
                    found[row] = samples if isinstance(samples, str) else extra
                else:
                    found[row] = [*samples, *extra[:1]]
        if on_batch and first < sampling.n:
            on_batch(len(prompts), 0)
        return Generations(found, _spent(before, self._client.usage))

    def _say_one_by_one(self) -> None:
        if not self._one_by_one:
            self._one_by_one = True
            _log.warning(
                "The server of '%s' gives one response where several are asked for; each sample "
                "is a request of its own from now on.",
                self._name,
            )

    def choose(
        self,
        prompts: Sequence[Conversation],
        options: Sequence[str],
        *,
        template: Template = "chat",
        on_batch: OnBatch | None = None,
    ) -> Choices:
        """Weigh options; see :class:`siftline.models.generation.Generator`.

        Raises:
            ModelError: Two options are alike, or the server does not report log-probabilities.
        """
        if len({option.strip() for option in options}) < len(options):
            raise ModelError(f"Two of the options {list(options)} cannot be told apart.")
        if template != "chat":
            raise ModelError("A server weighs options in template 'chat' only.")
        before = self._client.usage
        settings = {"max_tokens": 1, "logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        requests = [Request(_CHAT, _question(prompt, "chat") | settings) for prompt in prompts]
        answers = self._client.ask(requests, self._has_top_logprobs, _reporting(on_batch))
        rows = [_weigh(answer, options) for answer in answers]
        return Choices(rows, _spent(before, self._client.usage))

    def _has_top_logprobs(self, answer: dict[str, Any]) -> None:
        _has_choices(answer)
        if not _top_logprobs(answer):
            raise ModelError(
                f"The server of '{self._name}' was asked for 'top_logprobs' and gave none; options "
                "need a server that reports them, or local weights."
            )

    def log_likelihood(
        self,
        pairs: Sequence[Pair],
        *,
        max_tokens: int | None = None,
        score_eos: bool = False,
        max_batch_tokens: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> Likelihoods:
        """Score responses; see :class:`siftline.models.likelihood.LanguageModel`.

        Raises:
            ModelError: The server does not echo log-probabilities, or an end token is to be
                scored.
        """
        if score_eos:
            raise ModelError("A server cannot score the end token; turn score_eos off.")
        before = self._client.usage
        self._check_echo()
        rows = [number for number, pair in enumerate(pairs) if pair.response.strip()]
        if on_batch and len(rows) < len(pairs):
            on_batch(len(pairs) - len(rows), 0)
        requests = [_echo(pairs[row].prompt + pairs[row].response) for row in rows]
        answers = self._client.ask(requests, self._has_echo, _reporting(on_batch))
        found = [ResponseLikelihood(EMPTY_RESPONSE)] * len(pairs)
        for row, answer in zip(rows, answers, strict=True):
            found[row] = _likelihood(pairs[row], answer, max_tokens)
        return Likelihoods(found, _spent(before, self._client.usage))

    def _check_echo(self) -> None:
        """Score a text that repeats itself, which tells whether values belong to their tokens."""
        if self._echo_checked:
            return
        (answer,) = self._client.ask([_echo(_REPETITION)], self._has_echo)
        values = [] if isinstance(answer, TooLongError) else _values(answer)
        later = [-math.inf if value is None else value for value in values[len(values) // 2 : -2]]
        mean = math.fsum(later) / max(1, len(later))
        if mean < _FORESEEN:
            raise ModelError(
                f"The server of '{self._name}' gives a text that repeats itself {mean:.1f} nats a "
                f"token, expected more than {_FORESEEN}: its values are not those of the tokens "
                "beside them (llama-cpp-python gives them one place too early). Use another "
                "server, or local weights."
            )
        self._echo_checked = True

    def _has_echo(self, answer: dict[str, Any]) -> None:
        _has_choices(answer)
        logprobs = answer["choices"][0].get("logprobs") or {}
        if not logprobs.get("token_logprobs") or not logprobs.get("text_offset"):
            raise ModelError(
                f"The server of '{self._name}' was asked for 'echo' with 'logprobs' and gave none; "
                "likelihoods need a server that has them (vLLM, llama.cpp), or local weights."
            )


def _values(answer: dict[str, Any]) -> list[float | None]:
    found: list[float | None] = answer["choices"][0]["logprobs"]["token_logprobs"]
    return found


def _echo(text: str) -> Request:
    settings = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
    return Request(_TEXT, {"prompt": text, **settings})


def _question(prompt: Conversation, template: Template) -> dict[str, Any]:
    if template == "plain":
        return {"prompt": plain_prompt(prompt), "stop": ["\nQuestion:"]}
    return {"messages": [{"role": turn["role"], "content": turn["content"]} for turn in prompt]}


def _options(sampling: Sampling) -> dict[str, Any]:
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_tokens": sampling.max_tokens,
    }


def _reporting(on_batch: OnBatch | None) -> Callable[[int], None]:
    return lambda number: on_batch(1, 0) if on_batch else None


def _spent(before: Usage, after: Usage) -> Usage:
    return Usage(after.model_calls - before.model_calls, after.tokens - before.tokens)


def _has_choices(answer: dict[str, Any]) -> None:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ModelError(
            "The server's answer has no 'choices'; expected the protocol of OpenAI, got the fields "
            f"{sorted(answer)}."
        )


def _samples(answer: dict[str, Any] | TooLongError) -> list[Sample] | str:
    """Return the responses in an answer, or the status that says why there are none."""
    if isinstance(answer, TooLongError):
        return PROMPT_TOO_LONG
    choices = answer["choices"]
    tokens = (answer.get("usage") or {}).get("completion_tokens") if len(choices) == 1 else None
    found = []
    for choice in choices:
        reason = choice.get("finish_reason")
        text = (choice.get("message") or {}).get("content") if "message" in choice else None
        text = choice.get("text") if text is None else text
        if reason == CONTENT_FILTER:
            return CONTENT_FILTER
        if reason == LENGTH and text is None:  # all tokens went into thinking
            text = ""
        if reason not in (STOP, LENGTH) or not isinstance(text, str):
            raise ModelError(
                f"The server's answer ended with {reason!r}; expected a text that ended with "
                "'stop' or 'length'."
            )
        found.append(Sample(text, tokens, reason))
    return found


def _top_logprobs(answer: dict[str, Any]) -> list[dict[str, Any]]:
    content = (answer["choices"][0].get("logprobs") or {}).get("content") or []
    found: list[dict[str, Any]] = content[0].get("top_logprobs") or [] if content else []
    return found


def _weigh(answer: dict[str, Any] | TooLongError, options: Sequence[str]) -> list[float] | str:
    """Return the probability of each option: of the tokens that are it, spaces apart.

    An option that is not reported is less likely than the least of those reported. Where that
    bound is below :data:`_NEGLIGIBLE` of the other options it counts as zero.
    """
    if isinstance(answer, TooLongError):
        return PROMPT_TOO_LONG
    weights: defaultdict[str, float] = defaultdict(float)
    reported = _top_logprobs(answer)
    for each in reported:
        weights[str(each["token"]).strip()] += math.exp(each["logprob"])
    found = [weights.get(option.strip(), 0.0) for option in options]
    bound = min(math.exp(each["logprob"]) for each in reported)
    if 0.0 in found and bound > _NEGLIGIBLE * sum(found):
        return OPTION_UNLIKELY
    return found


def _likelihood(
    pair: Pair, answer: dict[str, Any] | TooLongError, max_tokens: int | None
) -> ResponseLikelihood:
    """Read the score of a response off an echoed prompt."""
    if isinstance(answer, TooLongError):
        return ResponseLikelihood(PROMPT_TOO_LONG)
    text_offset = answer["choices"][0]["logprobs"]["text_offset"]
    end = len(pair.prompt) + len(pair.response)
    # What the server has generated after the text does not count.
    offsets = [offset for offset in text_offset if offset < end]
    if len(pair.prompt) not in offsets:
        return ResponseLikelihood(BOUNDARY)
    start = offsets.index(len(pair.prompt))
    if start == 0:
        return ResponseLikelihood(EMPTY_PROMPT, prompt_tokens=0, response_tokens=len(offsets))
    stop = min(len(offsets), max_tokens or len(offsets))
    if start >= stop:
        return ResponseLikelihood(
            PROMPT_TOO_LONG,
            prompt_tokens=start,
            response_tokens=len(offsets) - start,
            truncated=True,
        )
    values = _values(answer)[start:stop]
    known = [value for value in values if value is not None and math.isfinite(value)]
    finite = len(known) == len(values)
    return ResponseLikelihood(
        status=OK if finite else NOT_FINITE,
        sum_logprob=math.fsum(known) if finite else None,
        scored_tokens=len(values) if finite else None,
        prompt_tokens=start,
        response_tokens=len(offsets) - start,
        truncated=stop < len(offsets),
        eos_scored=False,
    )
