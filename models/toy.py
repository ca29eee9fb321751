"""A language model and an embedder that need no weights: for tests and for the documentation.

`builtin:toy` as a language model reads bytes. The next byte is guessed by three parts, added with
fixed weights: how often each byte followed the current one so far in this text, English letter
frequencies, and a uniform share for all 256 bytes and the end. So a response that repeats its
prompt is likely, English less so, and random characters least. As an embedder it hashes character
trigrams. Both are pure functions of the text, and follow the same contract as real models.
"""

import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Usage
from siftline.models.chat_messages import CALL_FORMS, CallForm, Tools
from siftline.models.embedding import Embeddings
from siftline.models.generation import (
    LENGTH,
    STOP,
    Conversation,
    Generations,
    OptionProbabilities,
    Sample,
    Sampling,
    stream,
    tools_of_each,
)
from siftline.models.likelihood import (
    BATCH_TOKENS,
    EMPTY_RESPONSE,
    PROMPT_TOO_LONG,
    Encoded,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
    check_window,
    fit,
    plan,
)
from siftline.models.rendering import Prompt, Template, render_prompt

# Bumped when the toy would give other numbers.
TOY_REVISION = 1

_END = 256
_WINDOW = 2048
_FOLLOWING, _ENGLISH, _UNIFORM = 0.5, 0.4, 0.1  # weights of the three parts; they sum to one
# Per thousand characters of ordinary English prose, rounded.
_PER_MILLE = {" ": 180, "e": 100, "t": 73, "a": 65, "o": 61, "i": 57, "n": 56, "s": 51, "h": 49}
_PER_MILLE |= {"r": 48, "d": 34, "l": 32, "c": 22, "u": 22, "m": 20, "w": 19, "f": 16, "g": 16}
_PER_MILLE |= {"y": 15, "p": 14, "b": 12, "v": 8, "k": 6, "j": 1, "q": 1, "x": 1, "z": 1}
_PER_MILLE |= {".": 9, ",": 9, "\n": 2}
_TOTAL = sum(_PER_MILLE.values())
_FREQUENCY = {ord(letter): count / _TOTAL for letter, count in _PER_MILLE.items()}


class ToyLanguageModel:
    """A byte model that learns from the text that it reads.

    Attributes:
        window: The most bytes that it accepts.
        special_tokens: Empty; the toy has no control tokens.
    """

    window = _WINDOW
    special_tokens: tuple[str, ...] = ()

    def render_chat(
        self,
        messages: list[Message],
        generation_prompt: bool,
        tools: Tools = (),
        form: CallForm = CALL_FORMS[0],
    ) -> str:
        """Refuse: the toy has no chat template.

        Raises:
            ModelError: Always.
        """
        raise ModelError("The model 'builtin:toy' has no chat template; use template 'plain'.")

    def say_refusal(self, reason: str) -> None:
        """Do nothing: there is no chat template that could refuse a conversation."""

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
        window = check_window(max_tokens, self.window)
        coded = [_encode(pair, window, score_eos) for pair in pairs]
        rows = [
            each.result(_sum_logprob(each), finite=True) if isinstance(each, Encoded) else each
            for each in coded
        ]
        lengths = [len(each.ids) if isinstance(each, Encoded) else 0 for each in coded]
        scored = [length for length in lengths if length]
        if on_batch:
            on_batch(len(pairs), sum(scored))
        calls = len(plan(scored, scored, max_batch_tokens or BATCH_TOKENS))
        return Likelihoods(rows, Usage(calls, sum(scored)))

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
        rows: list[list[Sample] | str] = []
        tokens = 0
        for prompt, offered in tools_of_each(prompts, tools):
            rendered = render_prompt(prompt, template, self, offered)
            if isinstance(rendered, str):
                rows.append(rendered)
            elif len(rendered.text.encode()) >= self.window:
                rows.append(PROMPT_TOO_LONG)
            else:
                samples = [_sample(rendered, sampling, number) for number in range(sampling.n)]
                tokens += sum(each.tokens or 0 for each in samples)
                rows.append(samples)
        if on_batch:
            on_batch(len(prompts), tokens)
        return Generations(rows, Usage(len(prompts), tokens))

    def choose(
        self,
        prompts: Sequence[Conversation],
        options: Sequence[str],
        *,
        template: Template = "chat",
        on_batch: OnBatch | None = None,
    ) -> OptionProbabilities:
        """Weigh options by their first bytes; see :class:`siftline.models.generation.Generator`.

        Raises:
            ModelError: Two options begin with the same byte.
        """
        firsts = [option.encode()[:1] for option in options]
        if len(set(firsts)) < len(firsts):
            raise ModelError(f"Two of the options {list(options)} begin with the same byte.")
        rows: list[list[float] | str] = []
        for prompt in prompts:
            rendered = render_prompt(prompt, template, self)
            if isinstance(rendered, str):
                rows.append(rendered)
                continue
            following = _following((rendered.text + rendered.opening).encode())
            rows.append([probability(first[0], following) for first in firsts])
        if on_batch:
            on_batch(len(prompts), 0)
        return OptionProbabilities(rows, Usage(len(prompts), 0))


def _encode(pair: Pair, window: int, score_eos: bool) -> Encoded | ResponseLikelihood:
    if not pair.response.strip():
        return ResponseLikelihood(EMPTY_RESPONSE)
    prompt = pair.prompt.encode()
    return fit(prompt, prompt + pair.response.encode(), _END if score_eos else None, window)


def _sum_logprob(encoded: Encoded) -> float:
    following: defaultdict[int, Counter[int]] = defaultdict(Counter)
    total = 0.0
    for position in range(1, len(encoded.ids)):
        previous, current = encoded.ids[position - 1], encoded.ids[position]
        if position >= encoded.prompt_tokens:
            total += math.log(probability(current, following[previous]))
        following[previous][current] += 1
    return total


def _following(text: bytes) -> Counter[int]:
    """Return how often each byte followed the last one of a text."""
    return Counter(text[place + 1] for place in range(len(text) - 1) if text[place] == text[-1])


def _sample(prompt: Prompt, sampling: Sampling, number: int) -> Sample:
    """Draw bytes until the end; what is no UTF-8 becomes the replacement character."""
    start = (prompt.text + prompt.opening).encode()
    text = bytearray(start)
    limit = min(sampling.max_tokens, _WINDOW - len(start))
    for random in stream(sampling.seed, prompt.text, number, limit):
        following = _following(bytes(text))
        weights = np.array([probability(byte, following) for byte in range(_END + 1)])
        if sampling.temperature == 0:
            byte = int(weights.argmax())
        else:
            weights = weights ** (1 / sampling.temperature)
            byte = int(np.searchsorted(np.cumsum(weights / weights.sum()), random))
        if byte >= _END:
            return Sample(
                text[len(start) :].decode(errors="replace"), len(text) - len(start) + 1, STOP
            )
        text.append(byte)
    return Sample(text[len(start) :].decode(errors="replace"), limit, LENGTH)


def probability(byte: int, following: Counter[int]) -> float:
    """Return the probability of the next byte.

    Args:
        byte: 0 to 255, or 256 for the end of the response.
        following: How often each byte followed the current one so far. Where none did, English
            takes its weight.
    """
    seen = following.total()
    english = _ENGLISH if seen else _ENGLISH + _FOLLOWING
    guess = _UNIFORM / 257 + english * _FREQUENCY.get(byte, 0.0)
    return guess + (_FOLLOWING * following[byte] / seen if seen else 0.0)


class ToyEmbedder:
    """Hashed character trigrams, signed, of length one.

    Attributes:
        dimensions: The number of components of a vector.
    """

    dimensions = 64

    def for_conversations(self, max_tokens: int) -> "ToyEmbedder":
        """Return this embedder; see :class:`siftline.models.embedding.Embedder`."""
        return self

    def embed(
        self,
        texts: Sequence[str],
        *,
        max_batch_tokens: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> Embeddings:
        """Embed texts; see :class:`siftline.models.embedding.Embedder`."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float64)
        for row, text in enumerate(texts):
            padded = f"  {text.casefold()}  "
            for start in range(len(padded) - 2):
                code = zlib.crc32(padded[start : start + 3].encode())
                vectors[row, code % self.dimensions] += 1 if code >> 31 else -1
            # Every trigram may have cancelled out; a vector of length one is promised.
            vectors[row, 0] += 0.5
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        lengths = [len(text.encode()) for text in texts]
        if on_batch:
            on_batch(len(texts), sum(lengths))
        calls = len(plan(lengths, texts, max_batch_tokens or BATCH_TOKENS))
        return Embeddings(vectors.astype(np.float32), Usage(calls, sum(lengths)))
