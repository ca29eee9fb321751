"""What an answer of the protocol of OpenAI says: samples, probabilities of options, likelihoods.

An answer is the JSON object that the server sent, or the error that says that a prompt exceeds the
model's window, which becomes the status `prompt_too_long`.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

from siftline.contracts.errors import ModelError
from siftline.models.generation import LENGTH, STOP, Sample, option_in
from siftline.models.likelihood import (
    BOUNDARY,
    EMPTY_PROMPT,
    NOT_FINITE,
    OK,
    PROMPT_TOO_LONG,
    Pair,
    ResponseLikelihood,
)
from siftline.models.remote.client import TooLongError

CONTENT_FILTER = "content_filter"  # the server withheld the response
TOOL_CALLS = "tool_calls"  # a text is wanted, and this is a call, or text beside one
OPTION_UNLIKELY = "option_unlikely"  # an option that may count is not among the reported tokens

# Share of the probability of all options below which an option that a server does not report
# counts as zero.
_NEGLIGIBLE = 0.01

Answer: TypeAlias = dict[str, Any]


def require_choices(answer: Answer) -> None:
    """Check that an answer holds what every answer of the protocol holds.

    Raises:
        ModelError: It has no `choices`.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ModelError(
            "The server's answer has no 'choices'; expected the protocol of OpenAI, got the fields "
            f"{sorted(answer)}."
        )


def samples_in(answer: Answer | TooLongError) -> list[Sample] | str:
    """Return the responses in an answer, or the status that says why there are none.

    Raises:
        ModelError: A response has no text, or ended for an unknown reason.
    """
    if isinstance(answer, TooLongError):
        return PROMPT_TOO_LONG
    choices = answer["choices"]
    tokens = (answer.get("usage") or {}).get("completion_tokens") if len(choices) == 1 else None
    samples = []
    for choice in choices:
        reason = choice.get("finish_reason")
        text = (choice.get("message") or {}).get("content") if "message" in choice else None
        text = choice.get("text") if text is None else text
        if reason == CONTENT_FILTER:
            return CONTENT_FILTER
        if reason == TOOL_CALLS or (choice.get("message") or {}).get("tool_calls"):
            return TOOL_CALLS
        if reason == LENGTH and text is None:  # all tokens went into thinking
            text = ""
        if reason not in (STOP, LENGTH) or not isinstance(text, str):
            raise ModelError(
                f"The server's answer ended with {reason!r}; expected a text that ended with "
                "'stop' or 'length'."
            )
        samples.append(Sample(text, tokens, reason))
    return samples


def top_logprobs(answer: Answer) -> list[dict[str, Any]]:
    """Return the likeliest first tokens of a response, with their log-probabilities."""
    content = (answer["choices"][0].get("logprobs") or {}).get("content") or []
    reported: list[dict[str, Any]] = content[0].get("top_logprobs") or [] if content else []
    return reported


def option_probabilities(
    answer: Answer | TooLongError, options: Sequence[str]
) -> list[float] | str:
    """Return the probability of each option: of the tokens that are it, white space apart.

    A model of this machine counts them alike (:mod:`siftline.models.engine.choosing`).

    An option that is not reported is less likely than the least likely token that is. Where that
    bound is below 1 % of the other options together, the option counts as zero.

    Returns:
        The probabilities, or the status that says why there are none: `prompt_too_long`, or
        `option_unlikely` where an option may count and is not reported.
    """
    if isinstance(answer, TooLongError):
        return PROMPT_TOO_LONG
    weights: defaultdict[str, float] = defaultdict(float)
    reported = top_logprobs(answer)
    for entry in reported:
        weights[option_in(str(entry["token"]))] += math.exp(entry["logprob"])
    probabilities = [weights.get(option_in(option), 0.0) for option in options]
    bound = min(math.exp(entry["logprob"]) for entry in reported)
    if 0.0 in probabilities and bound > _NEGLIGIBLE * sum(probabilities):
        return OPTION_UNLIKELY
    return probabilities


def echoes_logprobs(answer: Answer) -> bool:
    """Return whether an answer echoes the prompt's tokens with their log-probabilities."""
    logprobs = answer["choices"][0].get("logprobs") or {}
    return bool(logprobs.get("token_logprobs") and logprobs.get("text_offset"))


def echoed_logprobs(answer: Answer) -> list[float | None]:
    """Return the log-probability of each token of an echoed prompt, in nats; the first is None."""
    logprobs: list[float | None] = answer["choices"][0]["logprobs"]["token_logprobs"]
    return logprobs


def likelihood_in(
    pair: Pair, answer: Answer | TooLongError, max_tokens: int | None
) -> ResponseLikelihood:
    """Return the likelihood of a response, read off its echoed prompt and response.

    Args:
        pair: The pair whose text was echoed.
        answer: The echo.
        max_tokens: The most tokens of prompt and response that count; None for all.
    """
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
    values = echoed_logprobs(answer)[start:stop]
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
