"""The responses of a local model: sampled in batches that fit the room for keys and values."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage
from siftline.models.engine.capabilities import cached_bytes
from siftline.models.engine.decoding import decoder_for
from siftline.models.engine.forward import Network
from siftline.models.engine.sampling import Drawn, sample
from siftline.models.generation import Sample, Sampling, stream
from siftline.models.likelihood import BATCH_TOKENS
from siftline.models.rendering import Prompt
from siftline.models.thoughts import MARKERS, open_thought

# Bytes of all keys and values: on a CPU in all, on a GPU as a share of its memory.
_CPU_CACHE = 2**30
_GPU_CACHE_SHARE = 0.3
# Samples at once: each has a row of logits.
_SAMPLES = {"cpu": 128, "cuda": 512}


class Question(NamedTuple):
    """A prompt, ready to be answered.

    Attributes:
        number: Its number in the caller's list.
        prompt: The rendered prompt.
        ids: The tokens of the prompt.
        limit: The most tokens that a response may have.
    """

    number: int
    prompt: Prompt
    ids: tuple[int, ...]
    limit: int


class SamplePortion(NamedTuple):
    """Some of the samples of one prompt, which are drawn together.

    Attributes:
        question: The prompt.
        samples: The numbers of the samples.
    """

    question: Question
    samples: range

    @property
    def places(self) -> int:
        """The number of tokens whose keys and values are kept."""
        return len(self.samples) * (len(self.question.ids) + self.question.limit)


class Answers:
    """The answers of a model to the prompts of one call.

    Attributes:
        usage: The forward passes and tokens so far.
    """

    def __init__(
        self, network: Network, tokenizer: PreTrainedTokenizerBase, sampling: Sampling
    ) -> None:
        self.usage = Usage()
        self._network = network
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._stops = _stop_tokens(network.model, tokenizer)
        self._thoughts = _thought_tokens(tokenizer)
        kind = network.device.type
        self._places = _cache_bytes(network.device) // cached_bytes(network.model)
        self._samples = _SAMPLES.get(kind, _SAMPLES["cpu"])

    def to(
        self, questions: Sequence[Question], on_done: Callable[[int, int], None]
    ) -> dict[int, list[Sample]]:
        """Return the samples of each question, by its number.

        Args:
            questions: The prompts, in any order: the batches depend on their set only.
            on_done: Called after a batch with the numbers of prompts that are finished and of
                tokens.

        Raises:
            ModelError: A single sample does not fit the device's memory.
        """
        answers: dict[int, list[Sample]] = {each.number: [] for each in questions}
        waiting = list(self._batches(questions))[::-1]
        while waiting:
            batch = waiting.pop()
            try:
                drawn = self._sample(batch)
            except torch.OutOfMemoryError as error:
                if len(parts := _halves(batch)) == 1:
                    raise ModelError(
                        f"A prompt of {len(batch[0].question.ids)} tokens and its response do not "
                        f"fit the memory of {self._network.device} beside '{self._network.name}'."
                    ) from error
                waiting += parts[::-1]
            else:
                tokens = 0
                for portion, samples in zip(batch, drawn, strict=True):
                    question = portion.question
                    answers[question.number] += [self._text(question, each) for each in samples]
                    tokens += len(question.ids) + sum(len(each.ids) for each in samples)
                finished = [each for each in batch if each.samples.stop == self._sampling.n]
                on_done(len(finished), tokens)
                continue
            torch.cuda.empty_cache()
        return answers

    def _batches(self, questions: Sequence[Question]) -> Iterator[list[SamplePortion]]:
        batch: list[SamplePortion] = []
        for question in sorted(questions, key=lambda each: (-len(each.ids), each.ids)):
            for portion in self._portions(question):
                if batch and not self._fits(batch, portion):
                    yield batch
                    batch = []
                batch.append(portion)
        if batch:
            yield batch

    def _fits(self, batch: Sequence[SamplePortion], portion: SamplePortion) -> bool:
        """Return whether a portion can join a batch, whose first portion is its longest."""
        count = len(batch) + 1
        regimes = [self._regimes(each.question) for each in (batch[0], portion)]
        return (
            regimes[0] == regimes[1]
            and len(portion.samples) == len(batch[0].samples)
            and count * len(portion.samples) <= self._samples
            and count * batch[0].places <= self._places
        )

    def _regimes(self, question: Question) -> tuple[int, int]:
        """Return which frequencies its prompt needs, and its longest response."""
        regime = self._network.rope.regime
        return regime(len(question.ids)), regime(len(question.ids) + question.limit - 1)

    def _portions(self, question: Question) -> Iterator[SamplePortion]:
        """Part the samples of a prompt where they do not fit together."""
        size = min(self._samples, self._places // (len(question.ids) + question.limit))
        for start in range(0, self._sampling.n, max(1, size)):
            stop = min(start + max(1, size), self._sampling.n)
            yield SamplePortion(question, range(start, stop))

    def _sample(self, batch: Sequence[SamplePortion]) -> list[list[Drawn]]:
        """Return the samples of each portion."""
        questions = [portion.question for portion in batch]
        size = max(question.limit for question in questions)
        numbers = np.array(
            [
                stream(self._sampling.seed, portion.question.prompt.text, number, size)
                for portion in batch
                for number in portion.samples
            ]
        )
        shortest = min(len(question.ids) for question in questions)
        longest = max(len(question.ids) + question.limit for question in questions)
        drawn, passes = sample(
            decoder_for(self._network, shortest, longest, BATCH_TOKENS),
            [question.ids for question in questions],
            numbers,
            [question.limit for question in questions],
            self._stops,
            self._sampling.temperature,
            self._sampling.top_p,
        )
        tokens = sum(len(each.ids) for each in questions) + sum(len(each.ids) for each in drawn)
        self.usage = self.usage.plus(Usage(passes, tokens))
        count = len(batch[0].samples)
        return [drawn[start : start + count] for start in range(0, len(drawn), count)]

    def _text(self, question: Question, drawn: Drawn) -> Sample:
        """Return a sample as text, ended where its template says that a response ends."""
        prompt = question.prompt
        text = self._decoded(drawn.ids).removeprefix(prompt.opening)
        text = open_thought(prompt.text if prompt.special else "") + text
        ended = drawn.stopped
        if prompt.ending and prompt.ending in text:
            text, ended = text.split(prompt.ending)[0], True
        return Sample(text, len(drawn.ids) + drawn.stopped, "stop" if ended else "length")

    def _decoded(self, ids: list[int]) -> str:
        """Return tokens as text without special ones, but for those that mark thoughts."""
        texts: list[str] = []
        start = 0
        for place, token in enumerate(ids):
            if token in self._thoughts:
                texts.append(
                    str(self._tokenizer.decode(ids[start:place], skip_special_tokens=True))
                )
                texts.append(self._thoughts[token])
                start = place + 1
        texts.append(str(self._tokenizer.decode(ids[start:], skip_special_tokens=True)))
        return "".join(texts)


def _halves(batch: Sequence[SamplePortion]) -> list[list[SamplePortion]]:
    """Cut a batch into two, or return the same one where it is a single sample."""
    if len(batch) > 1:
        half = (len(batch) + 1) // 2
        return [list(batch[:half]), list(batch[half:])]
    question, samples = batch[0]
    if len(samples) == 1:
        return [list(batch)]
    half = (samples.start + samples.stop + 1) // 2
    parts = (range(samples.start, half), range(half, samples.stop))
    return [[SamplePortion(question, part)] for part in parts]


def _stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens that end a response: the model's, and its tokenizer's."""
    tokens = {tokenizer.eos_token_id}
    for config in (getattr(model, "generation_config", None), model.config):
        ends = getattr(config, "eos_token_id", None)
        tokens |= set(ends) if isinstance(ends, list) else {ends}
    return frozenset(int(token) for token in tokens if token is not None)


def _thought_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Return the special tokens that mark thoughts, which are part of what is said."""
    added = tokenizer.added_tokens_decoder.items()
    return {each: token.content for each, token in added if token.content in MARKERS}


def _cache_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * _GPU_CACHE_SHARE)
    return _CPU_CACHE
