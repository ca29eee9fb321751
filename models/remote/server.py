"""A language model behind an OpenAI-compatible server.

Chat completions serve generation and the weighing of options. Completions with `echo` and
`logprobs`, where the server has them, serve likelihoods. Servers ignore what they do not know; so
every answer is checked for what was asked for. What is missing is an error, or is asked for in
another way.
"""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Usage
from siftline.models.chat_messages import (
    CALL_FORMS,
    CallForm,
    ChatOptions,
    Tools,
    server_messages,
    server_tools,
)
from siftline.models.generation import (
    Conversation,
    Generations,
    OptionProbabilities,
    Sample,
    Sampling,
    require_distinct,
    tools_of_each,
)
from siftline.models.likelihood import (
    EMPTY_RESPONSE,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
)
from siftline.models.plain_rendering import plain_prompt
from siftline.models.remote.answers import (
    Answer,
    echoed_logprobs,
    echoes_logprobs,
    likelihood_in,
    option_probabilities,
    require_choices,
    samples_in,
    top_logprobs,
)
from siftline.models.remote.client import Client, ServerRequest, TooLongError
from siftline.models.remote.upstream import upstream_of
from siftline.models.rendering import Template

_log = logging.getLogger(__name__)

# Nobody knows the window of a model on a server: it says so when a prompt exceeds it.
_WINDOW = 10**9
_CHAT, _TEXT = "/chat/completions", "/completions"
# A text whose second half any model foresees, and the mean log-probability that it must have there.
_REPETITION = " ".join(["one two three four five six seven"] * 8)
_FORESEEN = -2.0
# The most that the protocol allows.
_TOP_LOGPROBS = 20


class ServerModel:
    """A model on a server; see the protocols LanguageModel and Generator.

    Attributes:
        window: Without limit, because a server does not tell its model's window.
        special_tokens: Empty, because a server does not tell them: its template is trusted to keep
            them out of the messages.
    """

    window = _WINDOW
    special_tokens: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec) -> None:
        self._client = Client(spec, upstream_of(spec))
        self._name = spec.name
        self._chat = ChatOptions.of(spec)
        self._one_by_one = False
        self._echo_checked = False

    def render_chat(
        self,
        messages: list[Message],
        generation_prompt: bool,
        tools: Tools = (),
        form: CallForm = CALL_FORMS[0],
    ) -> str:
        """Refuse: the chat template is on the server.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"The chat template of '{self._name}' is on its server, where a response cannot be "
            "marked; score with template 'plain', or with local weights."
        )

    def say_refusal(self, reason: str) -> None:
        """Do nothing: what the chat template refuses is an error of the server."""

    def generate(
        self,
        prompts: Sequence[Conversation],
        sampling: Sampling,
        *,
        template: Template = "chat",
        tools: Sequence[Tools] | None = None,
        on_batch: OnBatch | None = None,
    ) -> Generations:
        """Sample responses; see :class:`siftline.models.generation.Generator`.

        A server that ignores `n` is asked again for each sample, with other seeds. Where a prompt
        offers tools and the answer is a call, its status is `tool_calls`.
        """
        before = self._client.usage
        path = _CHAT if template == "chat" else _TEXT
        settings = _sampling_body(sampling)
        requests = [
            ServerRequest(path, self._prompt_body(prompt, template, offered) | settings)
            for prompt, offered in tools_of_each(prompts, tools)
        ]
        first = 1 if self._one_by_one else sampling.n
        several = [
            request._replace(body={**request.body, "n": first}) if first > 1 else request
            for request in requests
        ]
        report = _reporting(on_batch if first == sampling.n else None)
        answers = self._client.ask(several, require_choices, report)
        rows = [samples_in(answer) for answer in answers]
        self._add_missing(rows, requests, sampling)
        if on_batch and first < sampling.n:
            on_batch(len(prompts), 0)
        return Generations(rows, _spent(before, self._client.usage))

    def _prompt_body(
        self, prompt: Conversation, template: Template, tools: Tools = ()
    ) -> dict[str, Any]:
        if template == "plain":
            return {"prompt": plain_prompt(prompt, tools), "stop": ["\nQuestion:"]}
        offered = {"tools": server_tools(tools)} if tools else {}
        return {"messages": server_messages(prompt, self._chat), **offered}

    def _add_missing(
        self, rows: list[list[Sample] | str], requests: Sequence[ServerRequest], sampling: Sampling
    ) -> None:
        """Ask for the samples that a server did not give, one by one, and add them to the rows.

        Args:
            rows: One per prompt: the samples so far, or a status.
            requests: One per prompt: the request for a single sample.
            sampling: How many samples there are to be.
        """
        missing = [
            (row, number)
            for row, samples in enumerate(rows)
            if not isinstance(samples, str)
            for number in range(len(samples), sampling.n)
        ]
        if not missing:
            return
        self._say_one_by_one()
        more = []
        for row, number in missing:
            path, body = requests[row]
            more.append(ServerRequest(path, {**body, "seed": sampling.seed + 1_000_003 * number}))
        for (row, _), answer in zip(missing, self._client.ask(more, require_choices), strict=True):
            samples, extra = rows[row], samples_in(answer)
            if isinstance(samples, str) or isinstance(extra, str):
                rows[row] = samples if isinstance(samples, str) else extra
            else:
                rows[row] = [*samples, *extra[:1]]

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
    ) -> OptionProbabilities:
        """Weigh options; see :class:`siftline.models.generation.Generator`.

        Raises:
            ModelError: Two options are alike, or the server does not report log-probabilities.
        """
        require_distinct(options)
        if template != "chat":
            raise ModelError("A server weighs options in template 'chat' only.")
        before = self._client.usage
        settings = {"max_tokens": 1, "logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        requests = [
            ServerRequest(_CHAT, self._prompt_body(prompt, "chat") | settings) for prompt in prompts
        ]
        answers = self._client.ask(requests, self._require_top_logprobs, _reporting(on_batch))
        rows = [option_probabilities(answer, options) for answer in answers]
        return OptionProbabilities(rows, _spent(before, self._client.usage))

    def _require_top_logprobs(self, answer: Answer) -> None:
        require_choices(answer)
        if not top_logprobs(answer):
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
        asked = [number for number, pair in enumerate(pairs) if pair.response.strip()]
        if on_batch and len(asked) < len(pairs):
            on_batch(len(pairs) - len(asked), 0)
        requests = [_echo(pairs[row].prompt + pairs[row].response) for row in asked]
        answers = self._client.ask(requests, self._require_echo, _reporting(on_batch))
        rows = [ResponseLikelihood(EMPTY_RESPONSE)] * len(pairs)
        for row, answer in zip(asked, answers, strict=True):
            rows[row] = likelihood_in(pairs[row], answer, max_tokens)
        return Likelihoods(rows, _spent(before, self._client.usage))

    def _check_echo(self) -> None:
        """Check, on a text that repeats itself, that values belong to the tokens beside them."""
        if self._echo_checked:
            return
        (answer,) = self._client.ask([_echo(_REPETITION)], self._require_echo)
        values = [] if isinstance(answer, TooLongError) else echoed_logprobs(answer)
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

    def _require_echo(self, answer: Answer) -> None:
        require_choices(answer)
        if not echoes_logprobs(answer):
            raise ModelError(
                f"The server of '{self._name}' was asked for 'echo' with 'logprobs' and gave none; "
                "likelihoods need a server that has them (vLLM, llama.cpp), or local weights."
            )


def _echo(text: str) -> ServerRequest:
    """Return a request for the log-probabilities of a text's own tokens."""
    settings = {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
    return ServerRequest(_TEXT, {"prompt": text, **settings})


def _sampling_body(sampling: Sampling) -> dict[str, Any]:
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
