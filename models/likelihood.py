"""The log-likelihood of a response given its prompt: the contract that every method shares.

For a prompt x and a response y of tokens y_1 .. y_n the score is sum_t log p(y_t | x, y_<t), in
nats, kept with the count n. Perplexities and means follow from the two and are never stored.

- Only tokens of the response count, behind the tokens that the prompt has by itself, which are
  those that a model is asked with. The response has the tokens that follow in one tokenisation of
  the whole text. Where that begins otherwise, because a token spans the boundary or white space
  before it is parted in another way, the response has the tokens that it has by itself. Where the
  two then do not make up the text, the row gets the status `boundary`.
- A response that does not fit is cut, scored as far as it fits, and marked `truncated`; a prompt
  that leaves no room for one response token is `prompt_too_long`. Nothing gets a default score.
- Batches depend on the set of rows and on the token budget, not on the order of the rows, so a
  permutation of the rows gives the same bits.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Usage
from siftline.models.chat_messages import CALL_FORMS, CallForm, Tools

# Bumped when the engine would give other scores, beyond rounding, for the same model and text. It
# is part of the identity of every cached score.
# 2: what a chat template writes is all that stands before its text; options count with all their
# tokens; a response may be parted from its prompt, and its white space be the template's.
ENGINE_REVISION = 2

# Tokens in one batch where nothing else is asked for and no GPU computes.
BATCH_TOKENS = 2048

OK = "ok"
EMPTY_RESPONSE = "empty_response"  # nothing but white space
PROMPT_TOO_LONG = "prompt_too_long"  # the prompt fills the window
BOUNDARY = "boundary"  # prompt and response cannot be parted into tokens of their own
EMPTY_PROMPT = "empty_prompt"  # no token precedes the first one of the response
TOKENIZER_ERROR = "tokenizer_error"  # the tokenizer refused the text
NOT_FINITE = "nan"  # the model's answer is not a finite number

OnBatch = Callable[[float, int], None]
"""Called after a batch with the numbers of rows that are finished, in part where a row is several
pieces of work, and of tokens."""


class Pair(NamedTuple):
    """A response to be scored, as text.

    Attributes:
        prompt: The text before the response.
        response: The text that is scored; the model reads `prompt + response`.
        end: The special token that ends the response, as text; None takes the tokenizer's own.
        special: Whether special tokens written in the text count as such, as in a rendered chat
            template; otherwise they are only text.
    """

    prompt: str
    response: str
    end: str | None = None
    special: bool = False


class ResponseLikelihood(NamedTuple):
    """The score of one response, or the reason why it has none.

    Attributes:
        status: `ok`, or a slug that says why there is no score.
        sum_logprob: Sum of the log-probabilities of the scored tokens in nats; None unless ok.
        scored_tokens: Number of scored tokens, the end token included if scored; None unless ok.
        prompt_tokens: Number of tokens of the prompt, special ones included; None when the pair was
            not tokenised.
        response_tokens: Number of tokens of the whole response before any cut, without an end
            token.
        truncated: Whether the response was cut to fit the window.
        eos_scored: Whether the end token is among the scored ones.
    """

    status: str
    sum_logprob: float | None = None
    scored_tokens: int | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    truncated: bool | None = None
    eos_scored: bool | None = None


class Likelihoods(NamedTuple):
    """The likelihoods of the pairs of one call.

    Attributes:
        rows: One per pair, in the order of the pairs.
        usage: What the call has cost.
    """

    rows: list[ResponseLikelihood]
    usage: Usage


class LanguageModel(Protocol):
    """A language model that scores responses, on this machine or on a server."""

    @property
    def window(self) -> int:
        """The most tokens that it accepts, prompt and response together."""
        ...

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The texts that a chat template may use as control tokens."""
        ...

    def render_chat(
        self,
        messages: list[Message],
        generation_prompt: bool,
        tools: Tools = (),
        form: CallForm = CALL_FORMS[0],
    ) -> str:
        """Render messages through the chat template of the model.

        Args:
            messages: The turns.
            generation_prompt: Whether to end with what opens a response of the model.
            tools: What the conversation offers to be called.
            form: How calls are handed to the template.

        Raises:
            ModelError: The model has no chat template.
            ValueError: The template refuses these messages.
        """
        ...

    def say_refusal(self, reason: str) -> None:
        """Log why the chat template refuses a conversation, once for each reason."""
        ...

    def log_likelihood(
        self,
        pairs: Sequence[Pair],
        *,
        max_tokens: int | None = None,
        score_eos: bool = False,
        max_batch_tokens: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> Likelihoods:
        """Score responses.

        Args:
            pairs: Prompts and responses.
            max_tokens: The most tokens of prompt and response together; None takes the whole
                window.
            score_eos: Score the token that ends the response too, where it fits.
            max_batch_tokens: The most tokens in one forward pass, padding included; one long row
                may exceed it. None takes what suits the device.
            on_batch: Called after each batch with the number of pairs and of tokens, padding not
                counted. Every pair is reported exactly once.

        Raises:
            ModelError: The model cannot be run on them.
        """
        ...


class Encoded(NamedTuple):
    """A tokenised pair that can be scored.

    Attributes:
        ids: Tokens of prompt and response, cut to the window, with the end token if it is scored.
        prompt_tokens: How many of `ids` belong to the prompt.
        response_tokens: Number of tokens of the whole response before any cut, without an end
            token.
        eos: Whether the last of `ids` is the end token.
    """

    ids: tuple[int, ...]
    prompt_tokens: int
    response_tokens: int
    eos: bool

    @property
    def scored_tokens(self) -> int:
        """The number of tokens that are scored."""
        return len(self.ids) - self.prompt_tokens

    def result(self, sum_logprob: float, finite: bool) -> ResponseLikelihood:
        """Return the result for the pair.

        Args:
            sum_logprob: Sum of the log-probabilities of the scored tokens, in nats.
            finite: Whether the sum is a finite number.
        """
        return ResponseLikelihood(
            status=OK if finite else NOT_FINITE,
            sum_logprob=sum_logprob if finite else None,
            scored_tokens=self.scored_tokens if finite else None,
            prompt_tokens=self.prompt_tokens,
            response_tokens=self.response_tokens,
            truncated=self.scored_tokens - self.eos < self.response_tokens,
            eos_scored=self.eos,
        )


def fit(
    prompt: Sequence[int], full: Sequence[int], end: int | None, max_tokens: int
) -> Encoded | ResponseLikelihood:
    """Find the boundary of a tokenised pair and cut it to the window.

    Args:
        prompt: Tokens of the prompt.
        full: Tokens of prompt and response.
        end: The token that ends the response, if it is to be scored.
        max_tokens: Size of the window, in tokens.

    Returns:
        The tokens to score, or a result whose status says why there are none.
    """
    start, length = len(prompt), len(full) - len(prompt)
    if list(full[:start]) != list(prompt) or length <= 0:
        return ResponseLikelihood(BOUNDARY, prompt_tokens=start)
    if start == 0:
        return ResponseLikelihood(EMPTY_PROMPT, prompt_tokens=0, response_tokens=length)
    if start >= max_tokens:
        return ResponseLikelihood(
            PROMPT_TOO_LONG, prompt_tokens=start, response_tokens=length, truncated=True
        )
    scored_end = end is not None and len(full) < max_tokens
    ids = (*full, end) if end is not None and scored_end else tuple(full[:max_tokens])
    return Encoded(ids, start, length, scored_end)


def check_window(max_tokens: int | None, window: int) -> int:
    """Return the window to use, in tokens.

    Args:
        max_tokens: The window that is asked for; None asks for all of the model's.
        window: The model's window.

    Raises:
        ModelError: `max_tokens` exceeds the model's window.
    """
    if max_tokens is None:
        return window
    if max_tokens > window:
        raise ModelError(
            f"Got max_tokens {max_tokens}, but the model's window has {window} tokens; "
            "lower max_tokens, or leave it out to use the whole window."
        )
    return max_tokens


def plan(lengths: Sequence[int], keys: Sequence[object], max_batch_tokens: int) -> list[list[int]]:
    """Group rows into batches whose padded size stays within a budget.

    The longest come first, so that running out of memory happens at once or never.

    Args:
        lengths: Number of tokens of each row.
        keys: Content of each row, comparable, which orders rows of one length.
        max_batch_tokens: The most that the number of rows times the length of the longest may be;
            a single row may exceed it.

    Returns:
        Row numbers by batch. Apart from numbering, they depend on the set of rows only.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], keys[row]))
    batches: list[list[int]] = []
    for row in order:
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > max_batch_tokens:
            batches.append([])
        batches[-1].append(row)
    return batches
