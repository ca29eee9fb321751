"""Responses of a local model: prompts sorted, batched by the room for keys and values, sampled."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage
from siftline.models.engine.decoding import decoder_for
from siftline.models.engine.forward import Network
from siftline.models.engine.sampling import Drawn, sample
from siftline.models.generation import Sample, Sampling, stream
from siftline.models.likelihood import BATCH_TOKENS
from siftline.models.rendering import Prompt

# Bytes of keys and values on a CPU, and their share of a GPU's memory.
_CPU_CACHE = 2**30
_GPU_CACHE_SHARE = 0.3
# Samples at once: each has a row of logits.
_SAMPLES = {"cpu": 128, "cuda": 512}


class Question(NamedTuple):
    """A prompt, ready to be answered.

    Attributes:
        number: In the caller's list.
        prompt: As text.
        ids: Its tokens.
        limit: The most tokens of a response that fit.
    """

    number: int
    prompt: Prompt
    ids: tuple[int, ...]
    limit: int


class Job(NamedTuple):
    """Some of the samples of one prompt.

    Attributes:
        question: The prompt.
        samples: Numbers of the samples.
    """

    question: Question
    samples: range

    @property
    def places(self) -> int:
        """Tokens whose keys and values are kept."""
        return len(self.samples) * (len(self.question.ids) + self.question.limit)


class Answers:
    """The answers of a model to the prompts of one call.

    Attributes:
        usage: What has been spent so far.
    """

    def __init__(self, network: Network, tokenizer: Any, sampling: Sampling) -> None:
        self.usage = Usage()
        self._network = network
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._stops = _stop_tokens(network.model, tokenizer)
        kind = network.device.type
        self._places = _cache_bytes(network.device) // _bytes_per_token(network.model)
        self._samples = _SAMPLES.get(kind, _SAMPLES["cpu"])

    def to(
        self, questions: Sequence[Question], on_done: Callable[[int, int], None]
    ) -> dict[int, list[Sample]]:
        """Return the samples of each question, by its number.

        Args:
            questions: In any order: the batches depend on the set of them.
            on_done: Called with the number of prompts that are finished, and tokens.

        Raises:
            ModelError: A single sample does not fit the device's memory.
        """
        found: dict[int, list[Sample]] = {each.number: [] for each in questions}
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
                for job, samples in zip(batch, drawn, strict=True):
                    found[job.question.number] += [self._text(job, each) for each in samples]
                    tokens += len(job.question.ids) + sum(len(each.ids) for each in samples)
                finished = [job for job in batch if job.samples.stop == self._sampling.n]
                on_done(len(finished), tokens)
                continue
            torch.cuda.empty_cache()
        return found

    def _batches(self, questions: Sequence[Question]) -> Iterator[list[Job]]:
        batch: list[Job] = []
        for question in sorted(questions, key=lambda each: (-len(each.ids), each.ids)):
            for job in self._jobs(question):
                if batch and not self._fits(batch, job):
                    yield batch
                    batch = []
                batch.append(job)
        if batch:
            yield batch

    def _fits(self, batch: Sequence[Job], job: Job) -> bool:
        """Return whether a job can join a batch, whose first job is its longest."""
        count = len(batch) + 1
        return (
            len(job.samples) == len(batch[0].samples)
            and count * len(job.samples) <= self._samples
            and count * batch[0].places <= self._places
        )

    def _jobs(self, question: Question) -> Iterator[Job]:
        """Part the samples of a prompt where they do not fit together."""
        size = min(self._samples, self._places // (len(question.ids) + question.limit))
        for start in range(0, self._sampling.n, max(1, size)):
            stop = min(start + max(1, size), self._sampling.n)
            yield Job(question, range(start, stop))

    def _sample(self, batch: Sequence[Job]) -> list[list[Drawn]]:
        """Return the samples of each job."""
        size = max(job.question.limit for job in batch)
        numbers = np.array(
            [
                stream(self._sampling.seed, job.question.prompt.text, number, size)
                for job in batch
                for number in job.samples
            ]
        )
        longest = max(len(job.question.ids) + job.question.limit for job in batch)
        drawn, passes = sample(
            decoder_for(self._network, longest, BATCH_TOKENS),
            [job.question.ids for job in batch],
            numbers,
            [job.question.limit for job in batch],
            self._stops,
            self._sampling.temperature,
            self._sampling.top_p,
        )
        tokens = sum(len(job.question.ids) for job in batch) + sum(len(each.ids) for each in drawn)
        self.usage = self.usage.plus(Usage(passes, tokens))
        count = len(batch[0].samples)
        return [drawn[start : start + count] for start in range(0, len(drawn), count)]

    def _text(self, job: Job, drawn: Drawn) -> Sample:
        prompt = job.question.prompt
        text = self._tokenizer.decode(drawn.ids, skip_special_tokens=True)
        text = str(text).removeprefix(prompt.opening)
        ended = drawn.stopped
        if prompt.ending and prompt.ending in text:
            text, ended = text.split(prompt.ending)[0], True
        return Sample(text, len(drawn.ids) + drawn.stopped, "stop" if ended else "length")


def _halves(batch: Sequence[Job]) -> list[list[Job]]:
    if len(batch) > 1:
        half = (len(batch) + 1) // 2
        return [list(batch[:half]), list(batch[half:])]
    question, samples = batch[0]
    if len(samples) == 1:
        return [list(batch)]
    half = (samples.start + samples.stop + 1) // 2
    parts = (range(samples.start, half), range(half, samples.stop))
    return [[Job(question, part)] for part in parts]


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end a response: the model's, and its tokenizer's."""
    found = {tokenizer.eos_token_id}
    for config in (getattr(model, "generation_config", None), model.config):
        ends = getattr(config, "eos_token_id", None)
        found |= set(ends) if isinstance(ends, list) else {ends}
    return frozenset(int(each) for each in found - {None})


def _cache_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * _GPU_CACHE_SHARE)
    return _CPU_CACHE


def _bytes_per_token(model: Any) -> int:
    """Return the bytes of the keys and values of a token, as far as a configuration says."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * key_heads * size * model.dtype.itemsize)
