"""The responses of a local model: who can be answered together, and how many at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage
from siftline.models.batching import batch_tokens
from siftline.models.engine.batching import PACES, Batch, Portion
from siftline.models.engine.capabilities import cached_bytes
from siftline.models.engine.decoding import CACHE, WHOLE_TEXT, Kind, Room, decoder_for
from siftline.models.engine.forward import Network
from siftline.models.engine.replaying import Replayer
from siftline.models.engine.sampling import Drawn, Slots
from siftline.models.generation import Sample, Sampling, stream
from siftline.models.likelihood import NOT_FINITE
from siftline.models.rendering import Prompt
from siftline.models.thoughts import MARKERS, open_thought

# Bytes of all keys and values: on a CPU in all, on a GPU as a share of what its memory has beside
# the weights; the rest is for logits, prompts on their way, and other models.
_CPU_CACHE = 2**30
_GPU_CACHE_SHARE = 0.6


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
        self._most_slots = network.most_slots
        self._places = _cache_bytes(network) // cached_bytes(network.model)

    def to(
        self, questions: Sequence[Question], on_done: Callable[[int, int], None]
    ) -> dict[int, list[Sample] | str]:
        """Return the samples of each question, or the status of one without, by its number.

        Args:
            questions: The prompts, in any order: what happens depends on their set only.
            on_done: Called with the numbers of prompts that are finished and of tokens, now and
                then.

        Raises:
            ModelError: A single sample does not fit the device's memory.
        """
        answers: dict[int, list[Sample | str | None]] = {
            each.number: [None] * self._sampling.n for each in questions
        }
        by_number = {each.number: each for each in questions}

        def done(portion: Portion, sample: int, drawn: Drawn) -> None:
            samples = answers[portion.number]
            question = by_number[portion.number]
            samples[sample] = self._text(question, drawn) if drawn.finite else NOT_FINITE
            if None not in samples:
                tokens = sum(each.tokens or 0 for each in samples if isinstance(each, Sample))
                on_done(1, len(portion.ids) + tokens)

        for kind, group in self._groups(questions):
            self._answer(kind, group, done)
            self._network.tell("generation", kind.path + self._captured(kind))
        return {number: _row(samples) for number, samples in answers.items()}

    def _captured(self, kind: Kind) -> str:
        """Return what is said of captured steps."""
        network = self._network
        captures = network.captures and kind not in (CACHE, WHOLE_TEXT)
        return ", captured" if captures and network.device.type == "cuda" else ""

    def _groups(self, questions: Sequence[Question]) -> Iterator[tuple[Kind, list[Question]]]:
        """Part questions so that those of a part can be answered together, the longest first."""
        groups: dict[tuple[str, int, int], tuple[Kind, list[Question]]] = {}
        regime = self._network.rope.regime
        for question in sorted(questions, key=lambda each: (-len(each.ids), each.ids)):
            prompt, longest = len(question.ids), len(question.ids) + question.limit
            kind = decoder_for(self._network, prompt, longest)
            key = (kind.name, regime(prompt), regime(longest - 1))
            groups.setdefault(key, (kind, []))[1].append(question)
        yield from groups.values()

    def _answer(
        self, kind: Kind, questions: list[Question], done: Callable[[Portion, int, Drawn], None]
    ) -> None:
        every = tuple(range(self._sampling.n))
        waiting = [Portion(each.number, each.ids, each.limit, every) for each in questions]
        texts = {each.number: each.prompt.text for each in questions}
        while waiting:
            room = self._room(waiting)
            batch = self._batch(kind, waiting, room, texts, done)
            try:
                batch.run()
            except torch.OutOfMemoryError as error:
                if room.slots == 1:
                    longest = max(len(each.ids) for each in batch.unfinished())
                    raise ModelError(
                        f"A prompt of {longest} tokens and its response do not fit the memory "
                        f"of {self._network.device} beside '{self._network.name}'."
                    ) from error
                self._most_slots = room.slots // 2
            self.usage = self.usage.plus(Usage(batch.passes, batch.tokens))
            waiting = batch.unfinished()
            if waiting:  # outside the handler, whose traceback would keep the tensors alive
                del batch
                torch.cuda.empty_cache()

    def _room(self, portions: Sequence[Portion]) -> Room:
        """Return how many samples are answered at once, and how long they and prompts may be."""
        limit = max(each.limit for each in portions)
        lengths = [len(each.ids) for each in portions]
        samples = [len(each.samples) for each in portions]
        # Of the prompts, each sample has its share of the mean one.
        share = sum(lengths) // sum(samples) + 1
        most = min(self._most_slots, sum(samples), self._places // (limit + share))
        most = max(1, min(most, (self._places - max(lengths)) // limit))
        rest = max(self._places - most * limit, max(lengths))
        return Room(
            most,
            limit,
            min(rest, sum(lengths), most * max(lengths)),
            batch_tokens(self._network.device.type),
        )

    def _batch(
        self,
        kind: Kind,
        waiting: Sequence[Portion],
        room: Room,
        texts: dict[int, str],
        done: Callable[[Portion, int, Drawn], None],
    ) -> Batch:
        device, sampling = self._network.device, self._sampling

        def numbers(prompt: int, sample: int) -> npt.NDArray[np.float64]:
            return stream(sampling.seed, texts[prompt], sample, room.places)

        slots = Slots(
            room.slots, room.places, self._stops, sampling.temperature, sampling.top_p, device
        )
        return Batch(
            [part for each in waiting for part in _parts(each, room.slots)],
            kind.make(self._network, room),
            slots,
            Replayer.of(self._network),
            PACES.get(device.type, PACES["cpu"]),
            numbers,
            done,
        )

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


def _row(samples: Sequence[Sample | str | None]) -> list[Sample] | str:
    """Return the samples of a prompt, or the status of one that is none."""
    statuses = [each for each in samples if isinstance(each, str)]
    return statuses[0] if statuses else [each for each in samples if isinstance(each, Sample)]


def _parts(portion: Portion, slots: int) -> Iterator[Portion]:
    """Part the samples of a prompt so that some can begin before half of all slots are free."""
    size = max(1, slots // 2) if len(portion.samples) > slots // 2 else len(portion.samples)
    for start in range(0, len(portion.samples), size):
        yield portion._replace(samples=portion.samples[start : start + size])


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


def _cache_bytes(network: Network) -> int:
    if network.device.type != "cuda":
        return _CPU_CACHE
    weights = sum(each.nbytes for each in network.model.parameters())
    memory = torch.cuda.get_device_properties(network.device).total_memory
    return int(max(memory - weights, 0) * _GPU_CACHE_SHARE)
