"""Text from a language model: sampled responses, and choices between options.

Every sample draws from a random stream of its own, a function of the seed, the prompt and the
sample's number. So a sample does not depend on what else is asked for in the same call, beyond
what the shape of a batch does to the last bits of a logit.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from siftline.contracts.config import Config
from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Usage
from siftline.models.chat_messages import Tools
from siftline.models.likelihood import LanguageModel, OnBatch
from siftline.models.rendering import Template

Conversation: TypeAlias = Sequence[Message]
"""The turns of a conversation, the first one first."""

STOP: Literal["stop"] = "stop"  # the model ended its response
LENGTH: Literal["length"] = "length"  # it was cut at max_tokens, or at the end of the window


class Sampling(Config):
    """How responses are drawn.

    Attributes:
        n: Number of samples for each prompt.
        temperature: Temperature of the softmax; 0 takes the likeliest token, and makes all samples
            alike.
        top_p: Draw from the smallest set of likeliest tokens that holds this probability.
        seed: Seed of the random streams.
        max_tokens: The most tokens of one response.
    """

    n: int = Field(default=1, ge=1)
    temperature: float = Field(default=1.0, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    max_tokens: int = Field(default=256, ge=1)


class Sample(NamedTuple):
    """One response.

    Attributes:
        text: The response, without the end token.
        tokens: Number of generated tokens, the end token included; None where a server does not
            say.
        finish: `stop` where the model ended the response, `length` where it was cut.
    """

    text: str
    tokens: int | None
    finish: Literal["stop", "length"]


class Generations(NamedTuple):
    """The samples of the prompts of one call.

    Attributes:
        rows: One per prompt, in their order: its samples, or the status that says why there are
            none.
        usage: What the call has cost.
    """

    rows: list[list[Sample] | str]
    usage: Usage


class OptionProbabilities(NamedTuple):
    """The probabilities of some options as the beginning of a response, for each prompt of a call.

    Attributes:
        rows: One per prompt, in their order: the probability that the first token of the response
            is the option, white space apart, for each option; or the status that says why there
            are none. They need not sum to one: the rest is the probability of all other tokens.
        usage: What the call has cost.
    """

    rows: list[list[float] | str]
    usage: Usage


class Generator(Protocol):
    """A language model that answers prompts, on this machine or on a server."""

    def generate(
        self,
        prompts: Sequence[Conversation],
        sampling: Sampling,
        *,
        template: Template = "chat",
        tools: Sequence[Tools] | None = None,
        on_batch: OnBatch | None = None,
    ) -> Generations:
        """Sample responses.

        Args:
            prompts: Conversations that the model is to continue.
            sampling: How many responses are drawn, and how.
            template: The template that renders the prompts.
            tools: What each of the prompts offers to be called; None where none offers anything.
            on_batch: Called now and then with the numbers of prompts that are finished and of
                tokens; every prompt is reported exactly once.

        Raises:
            ModelError: The model cannot be run on them.
        """
        ...

    def choose(
        self,
        prompts: Sequence[Conversation],
        options: Sequence[str],
        *,
        template: Template = "chat",
        on_batch: OnBatch | None = None,
    ) -> OptionProbabilities:
        """Return how likely each option is as the beginning of the response.

        Args:
            prompts: Conversations that the model is to continue.
            options: Texts such as "A" and "B".
            template: The template that renders the prompts.
            on_batch: As for :meth:`generate`.

        Raises:
            ModelError: The model cannot be run on them, or options cannot be told apart.
        """
        ...


class GenerativeModel(LanguageModel, Generator, Protocol):
    """A language model that scores and answers."""


def tools_of_each(
    prompts: Sequence[Conversation], tools: Sequence[Tools] | None
) -> Sequence[tuple[Conversation, Tools]]:
    """Return each prompt with what it offers to be called."""
    return list(zip(prompts, tools if tools is not None else [()] * len(prompts), strict=True))


def option_in(token: str) -> str:
    """Return the option that a token says: its text without the white space around it.

    Local models and servers count the tokens of an option alike by this.
    """
    return token.strip()


def require_distinct(options: Sequence[str]) -> None:
    """Check that options can be told apart.

    Raises:
        ModelError: Two are alike, white space apart, or one is nothing else.
    """
    said = {option_in(option) for option in options}
    if len(said) < len(options) or "" in said:
        raise ModelError(
            f"The options {list(options)} cannot be told apart; expected texts that differ in more "
            "than white space, such as 'A' and 'B'."
        )


def stream(seed: int, prompt: str, sample: int, size: int) -> npt.NDArray[np.float64]:
    """Return the random numbers of one sample.

    Args:
        seed: Seed of the sampling.
        prompt: The rendered prompt.
        sample: Number of the sample among those of the prompt.
        size: How many numbers.

    Returns:
        [size] numbers in [0, 1).
    """
    digest = hashlib.sha256(f"{seed} {sample} {prompt}".encode(errors="surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest)).random(size)
