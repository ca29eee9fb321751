"""The log-likelihood of a response given its prompt: the contract that every method shares.

For a prompt x and a response y of tokens y_1 .. y_n the score is sum_t log p(y_t | x, y_<t), in
nats, kept with the count n. Perplexities and means follow from the two and are never stored.

- Only tokens of the response count. The boundary is found in one tokenisation of the whole text:
  the tokens of the prompt must be its exact beginning, or the row gets the status `boundary`.
- A response that does not fit is cut, scored as far as it fits, and marked `truncated`; a prompt
  that leaves no room for one response token is `prompt_too_long`. Nothing gets a default score.
- Batches depend on the set of rows and on the token budget, not on the order of the rows, so a
  permutation of the rows gives the same bits.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage

# Bumped when the engine would give other scores, beyond rounding, for the same model and text. It
# is part of the identity of every cached score.
ENGINE_REVISION = 1

# Tokens in one batch where nothing else is asked for and no GPU computes.
BATCH_TOKENS = 2048

OK = "ok"
EMPTY_RESPONSE = "empty_response"  # nothing but white space
PROMPT_TOO_LONG = "prompt_too_long"  # the prompt fills the window
BOUNDARY = "boundary"  # a token spans the end of the prompt and the start of the response
EMPTY_PROMPT = "empty_prompt"  # no token precedes the first one of the response
TOKENIZER_ERROR = "tokenizer_error"  # the tokenizer refused the text
NOT_FINITE = "nan"  # the model's answer is not a finite number

OnBatch = Callable[[int, int], None]


class Pair(NamedTuple):
    """A response to be scored, as text.

    Attributes:
        prompt: All that precedes the response.
        response: What is scored; the text is `prompt + response`.
        end: The special token that ends the response, as text; None takes the tokenizer's own.
        special: True when special tokens written in the text count as such (a rendered chat
            template), False when they are only text.
    """

    prompt: str
    response: str
    end: str | None = None
    special: bool = False


class ResponseLikelihood(NamedTuple):
    """What is known about one response.

    Attributes:
        status: `ok`, or why there is no score.
        sum_logprob: Sum of the log-probabilities of the scored tokens in nats; None unless ok.
        scored_tokens: How many there are, the end token included if scored; None unless ok.
        prompt_tokens: Tokens of the prompt, special ones included; None when not tokenised.
        response_tokens: Tokens of the whole response before any cut, without an end token.
        truncated: The response was cut to fit the window.
        eos_scored: The end token is among the scored ones.
    """

    status: str
    sum_logprob: float | None = None
    scored_tokens: int | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    truncated: bool | None = None
    eos_scored: bool | None = None


class Likelihoods(NamedTuple):
    """The result of a call.

    Attributes:
        rows: One per pair, in their order.
        usage: What it has cost.
    """

    rows: list[ResponseLikelihood]
    usage: Usage


class LanguageModel(Protocol):
    """A language model, wherever it runs.

    Attributes:
        window: The most tokens that it accepts, prompt and response together.
    """

    @property
    def window(self) -> int:
        """The most tokens that it accepts, prompt and response together."""
        ...

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The texts that a chat template may use as control tokens."""
        ...

    def render_chat(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        """Render messages through the chat template of the model.

        Raises:
            ModelError: It has none.
            ValueError: The template refuses these messages.
        """
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
            max_tokens: Of prompt and response together; None takes the whole window.
            score_eos: Score the token that ends the response too, where it fits.
            max_batch_tokens: Tokens in one forward pass, padding included; one long row may
                exceed it. None takes what suits the device.
            on_batch: Called after each batch with the number of pairs and of tokens, padding not
                counted. Every pair is reported exactly once.

        Raises:
            ModelError: The model cannot be run on them.
        """
        ...


class Encoded(NamedTuple):
    """A tokenised pair that can be scored.

    Attributes:
        ids: Tokens, cut to the window, with the end token if it is scored.
        prompt_tokens: How many of them belong to the prompt.
        response_tokens: Tokens of the whole response before any cut, without an end token.
        eos: The last of `ids` is the end token.
    """

    ids: tuple[int, ...]
    prompt_tokens: int
    response_tokens: int
    eos: bool

    @property
    def scored_tokens(self) -> int:
        """How many tokens are scored."""
        return len(self.ids) - self.prompt_tokens

    def result(self, sum_logprob: float, finite: bool) -> ResponseLikelihood:
        """Return what is reported about the pair, given its score."""
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
        full: Tokens of prompt and response, of one tokenisation.
        end: The token that ends the response, if it is to be scored.
        max_tokens: Size of the window.

    Returns:
        The tokens to score, or the reason why there are none.
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
    """Return the window to use.

    Raises:
        ModelError: More is asked for than the model has.
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
        lengths: Tokens of each row.
        keys: Content of each row, comparable, which orders rows of one length.
        max_batch_tokens: Rows times the longest of them; a single row may exceed it.

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
