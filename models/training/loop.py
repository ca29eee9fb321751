"""Supervised fine-tuning: the one loop that every model trained here goes through.

The loss is the mean cross-entropy over the learned tokens of a step: responses with their end
tokens, never prompts. AdamW, linear warm-up, cosine decay, gradients clipped at norm 1. The rows of
a step are drawn at random and then go through the model in batches of similar length, as many
as a token budget allows, so that little is padding and no step is made of short rows only.

Every step is a function of seed and step number, so a training that was killed goes on from its
last checkpoint, on a CPU to the same bits. `transformers.Trainer` is about as fast
(benchmarks/training.py: 1.03 times in our favour, within the noise); what it cannot do is keep its
state without pickles, stop for checkpoints at any steps, and fit its batches to a token budget.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts import progress
from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage
from siftline.models.likelihood import Encoded, Pair
from siftline.models.rendering import Message, Template, render_turns
from siftline.models.training.state import load_state, save_state

# Padded tokens in one backward pass. On two cores 2,048 took a tenth longer, in page faults, and a
# GPU wants more.
_CPU_TOKENS = 1024
_GPU_TOKENS = 8192
_CLIP_NORM = 1.0


class Lesson(NamedTuple):
    """A tokenised conversation to learn from.

    Attributes:
        ids: Its tokens.
        spans: Start and end of each stretch of tokens that is learned, in order.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def learned_tokens(self) -> int:
        """How many tokens are learned."""
        return sum(end - start for start, end in self.spans)


class Course(NamedTuple):
    """How a model learns.

    Attributes:
        learning_rate: At its peak.
        epochs: Passes over the rows.
        batch_rows: Rows in one step.
        warmup: Share of the steps over which the rate rises.
        weight_decay: AdamW's.
        seed: Of the order of the rows, and of dropout.
        bfloat16: Multiply in bfloat16, with the weights in their own type.
    """

    learning_rate: float
    epochs: int
    batch_rows: int
    warmup: float = 0.03
    weight_decay: float = 0.0
    seed: int = 0
    bfloat16: bool = False

    def steps(self, rows: int) -> int:
        """Return the number of steps that so many rows take."""
        return self.epochs * self.epoch_steps(rows)

    def epoch_steps(self, rows: int) -> int:
        """Return the number of steps of one pass over so many rows; the last one may be short."""
        return -(-rows // self.batch_rows)

    def learned(self, rows: int, steps: int) -> int:
        """Return how many rows have been gone through after some steps, each epoch anew."""
        epochs, place = divmod(steps, self.epoch_steps(rows))
        return epochs * rows + place * self.batch_rows

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warm = math.ceil(self.warmup * steps)
        if step < warm:
            return self.learning_rate * (step + 1) / (warm + 1)
        done = (step - warm) / max(1, steps - warm)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def lessons(
    conversations: Sequence[Sequence[Message]], template: Template, scorer: Any, max_tokens: int
) -> list[Lesson | str]:
    """Tokenise conversations as the engine does for scoring.

    Args:
        conversations: Each ends in a response.
        template: How they are rendered.
        scorer: A :class:`siftline.models.engine.transformer.TransformerModel`.
        max_tokens: A longer conversation is cut there.

    Returns:
        By conversation: what can be learned, all assistant turns of it; or the status of the last
        turn that says why nothing can.
    """
    talks = [render_turns(list(turns), template, scorer) for turns in conversations]
    window = min(max_tokens, scorer.window)
    pairs = [each for talk in talks for each in talk if isinstance(each, Pair)]
    coded = iter(scorer.encode(pairs, max_tokens=window, score_eos=True))
    return [
        _lesson([next(coded) if isinstance(each, Pair) else each for each in talk])
        for talk in talks
    ]


def _lesson(turns: Sequence[Any]) -> Lesson | str:
    last = turns[-1]
    if not isinstance(last, Encoded):
        return last if isinstance(last, str) else str(last.status)
    spans = []
    for turn in turns[:-1]:
        if isinstance(turn, Encoded):
            # With a plain template the next question follows where the turn's end token would be.
            for end in (len(turn.ids), len(turn.ids) - turn.eos):
                if last.ids[:end] == turn.ids[:end] and end > turn.prompt_tokens:
                    spans.append((turn.prompt_tokens, end))
                    break
    return Lesson(last.ids, (*spans, (last.prompt_tokens, len(last.ids))))


def train(
    model: Any,
    rows: Sequence[Lesson],
    course: Course,
    *,
    stops: Sequence[int],
    on_stop: Callable[[int], None],
    folder: Path,
) -> Usage:
    """Train a model in place, and stop now and then to let a checkpoint be written.

    What is needed to go on is written at every stop, and removed at the end. A call with the same
    arguments that finds it goes on from there.

    Args:
        model: Of `transformers` or `peft`, on its device; what requires no gradient stays.
        rows: What to learn, in an order that depends on their set alone.
        course: How.
        stops: After how many steps checkpoints are made, ascending; the last one ends the training.
        on_stop: Called with each of them.
        folder: Where the state lies.

    Returns:
        Backward passes and tokens, of this call alone.

    Raises:
        ModelError: The loss or a weight is not finite, or a row does not fit the device's memory.
    """
    learner = _Learner(model.train(), rows, course)
    state = folder / "state.safetensors"
    done, losses = load_state(state, learner.named, learner.optimizer)
    learner.losses.update(losses)
    progress.advance(course.learned(len(rows), done))
    steps, usage = course.steps(len(rows)), Usage()
    with own_randomness():
        for step in range(done, stops[-1]):
            usage = usage.plus(learner.step(step, steps))
            if step + 1 in stops:
                learner.check()
                on_stop(step + 1)
                save_state(state, learner.named, learner.optimizer, step + 1, learner.losses)
    told = {str(step): round(loss, 5) for step, loss in learner.losses.items()}
    (folder / "losses.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    state.unlink()
    return usage


@contextmanager
def own_randomness() -> Iterator[None]:
    """Leave the random numbers of torch, on all devices, as they were before the block."""
    import torch  # an optional dependency, and slow to import

    # Unless the devices are named, torch warns where there are several.
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        yield


class _Learner:
    """A model, its optimizer, and the rows that it goes through."""

    def __init__(self, model: Any, rows: Sequence[Lesson], course: Course) -> None:
        import torch

        self.model, self.rows, self.course = model, rows, course
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.named.values(), lr=course.learning_rate, weight_decay=course.weight_decay
        )
        self.device = next(iter(self.named.values())).device
        self.max_tokens = _CPU_TOKENS if self.device.type == "cpu" else _GPU_TOKENS
        self.losses: dict[int, float] = {}
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    def step(self, step: int, steps: int) -> Usage:
        """Make one step."""
        import torch

        rows = self._rows_of(step)
        loss, passes = self._halving(rows, step)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss of step {step + 1} is {loss}")
        torch.nn.utils.clip_grad_norm_(self.named.values(), _CLIP_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = self.course.rate(step, steps)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.losses[step + 1] = loss
        tokens = sum(len(row.ids) for row in rows)
        progress.advance(len(rows), tokens)
        progress.note(f"step {step + 1}/{steps}, loss {loss:.3f}")
        return Usage(passes, tokens)

    def _rows_of(self, step: int) -> list[Lesson]:
        """Return the rows of a step: every epoch has an order of its own."""
        epoch, place = divmod(step, self.course.epoch_steps(len(self.rows)))
        if self._order is None or self._order[0] != epoch:
            random = np.random.default_rng([self.course.seed, epoch])
            self._order = (epoch, random.permutation(len(self.rows)))
        start = place * self.course.batch_rows
        return [self.rows[row] for row in self._order[1][start : start + self.course.batch_rows]]

    def _halving(self, rows: Sequence[Lesson], step: int) -> tuple[float, int]:
        """Go through the rows of a step, in smaller batches where they do not fit the memory."""
        import torch

        seed = int(np.random.SeedSequence([self.course.seed, step]).generate_state(1)[0])
        longest = max(len(row.ids) for row in rows)
        while True:
            torch.manual_seed(seed)  # of dropout, also when the step is begun again
            try:
                return self._backward(rows)
            except torch.OutOfMemoryError as error:
                if self.max_tokens <= longest:
                    raise ModelError(
                        f"A row of {longest} tokens does not fit the memory of {self.device} in "
                        "training; lower 'max_tokens', or name a smaller model."
                    ) from error
            # Outside the handler, whose traceback would keep the tensors alive.
            self.max_tokens = max(longest, self.max_tokens // 2)
            self.optimizer.zero_grad()
            torch.cuda.empty_cache()

    def _backward(self, rows: Sequence[Lesson]) -> tuple[float, int]:
        """Add up the gradients of a step; return its mean loss and the passes."""
        total = sum(row.learned_tokens for row in rows)
        waiting = sorted(rows, key=lambda row: (len(row.ids), row.ids))
        loss: Any = 0.0
        passes = 0
        while waiting:
            count = max(1, min(len(waiting), self.max_tokens // len(waiting[-1].ids)))
            batch, waiting = waiting[-count:], waiting[:-count]
            part = self._loss(batch) / total
            part.backward()
            loss = loss + part.detach()  # fetched once a step: a GPU need not wait for the host
            passes += 1
        return float(loss), passes

    def _loss(self, batch: Sequence[Lesson]) -> Any:
        """Return the sum of the learned tokens' cross-entropies."""
        import torch

        width = max(len(row.ids) for row in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros(len(batch), width, dtype=torch.long)
        labels = torch.full((len(batch), width), -100)
        for place, row in enumerate(batch):
            tokens = torch.tensor(row.ids)
            ids[place, : len(row.ids)], mask[place, : len(row.ids)] = tokens, 1
            for start, end in row.spans:
                labels[place, start:end] = tokens[start:end]
        # Position t predicts token t + 1; a position that predicts none in any row needs no logits.
        used = (labels[:, 1:] != -100).any(0).nonzero().flatten()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.course.bfloat16):
            logits = self.model(
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                logits_to_keep=used.to(self.device),
                use_cache=False,
            ).logits
        return torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1),
            labels[:, 1:][:, used].flatten().to(self.device),
            ignore_index=-100,
            reduction="sum",
        )

    def check(self) -> None:
        """Hold the weights to be finite.

        Raises:
            ModelError: One of them is not.
        """
        for name, weight in self.named.items():
            if not bool(weight.isfinite().all()):
                raise self._diverged(f"'{name}' holds a number that is not finite")

    def _diverged(self, what: str) -> ModelError:
        return ModelError(
            f"Training diverged: {what}. Expected a lower 'learning_rate' than "
            f"{self.course.learning_rate}, or 'dtype: float32'."
        )
