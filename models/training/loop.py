"""Supervised fine-tuning: the loop through which every model of this project is trained.

The loss is the mean cross-entropy over the learned tokens of a step: responses with their end
tokens, never prompts. AdamW, linear warm-up, cosine decay, gradients clipped at norm 1. The rows of
a step are drawn at random and then go through the model in batches of similar length, as many
as a token budget allows, so that little is padding and no step is made of short rows only.

Every step is a function of seed and step number, so a training that was killed goes on from its
last state, on a CPU to the same bits. A GPU is not waited for: the loss of a step is read when the
next one is under way, and before anything is kept of either.

`transformers.Trainer` (benchmarks/training.py) cannot keep its state without pickles, stop for
checkpoints at any steps, or fit its batches to a token budget.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts import progress
from siftline.contracts.errors import DamagedError, ModelError
from siftline.contracts.records import write_text
from siftline.contracts.runtime import Usage
from siftline.models.training.batches import batches_of, laid_out
from siftline.models.training.gpu_passes import gpu_batches, is_launch_bound
from siftline.models.training.rows import TrainingRow
from siftline.models.training.state import (
    StateSchedule,
    begin_anew,
    load_state,
    remove_state,
    save_state,
)

if TYPE_CHECKING:  # an optional dependency, and slow to import
    import torch


# Padded tokens in one backward pass on a CPU. On two cores 2,048 took a tenth longer, in page
# faults.
_CPU_TOKENS = 1024
_CLIP_NORM = 1.0


class Hyperparameters(NamedTuple):
    """The settings of AdamW and of its schedule.

    Attributes:
        learning_rate: Learning rate at its peak, after the warm-up.
        epochs: Number of passes over the rows.
        batch_rows: Number of rows in one step.
        warmup: Share of the steps over which the learning rate rises.
        weight_decay: Weight decay of AdamW.
        seed: Seed of the order of the rows, and of dropout.
        bfloat16: Whether to multiply in bfloat16, with the weights in their own type.
    """

    learning_rate: float
    epochs: int
    batch_rows: int
    warmup: float = 0.03
    weight_decay: float = 0.0
    seed: int = 0
    bfloat16: bool = False

    def steps(self, rows: int) -> int:
        """Return the number of steps of a whole training on so many rows."""
        return self.epochs * self.epoch_steps(rows)

    def epoch_steps(self, rows: int) -> int:
        """Return the number of steps of one epoch over so many rows; the last one may be short."""
        return -(-rows // self.batch_rows)

    def learned(self, rows: int, steps: int) -> int:
        """Return how many rows were learned from in the first `steps` steps, over all epochs."""
        epochs, place = divmod(steps, self.epoch_steps(rows))
        return epochs * rows + place * self.batch_rows

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step.

        Args:
            step: Number of the step, from 0.
            steps: Number of steps of the whole training.
        """
        warm = math.ceil(self.warmup * steps)
        if step < warm:
            return self.learning_rate * (step + 1) / (warm + 1)
        done = (step - warm) / max(1, steps - warm)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def train(
    model: "torch.nn.Module",
    rows: Sequence[TrainingRow],
    hyperparameters: Hyperparameters,
    *,
    stops: Sequence[int],
    on_stop: Callable[[int], None],
    folder: Path,
) -> Usage:
    """Train a model in place, and stop at some steps to let a checkpoint be written.

    The state of the training is written on the way, as often as is cheap, and removed at the end. A
    call with the same arguments that finds a state goes on from there, and makes the checkpoints
    behind it again.

    Args:
        model: A causal model of `transformers` or `peft`, on its device. Weights that require no
            gradient are not trained.
        rows: The rows to learn, in an order that depends on their set alone.
        hyperparameters: The settings of the training.
        stops: The numbers of steps after which checkpoints are made, ascending; the last one ends
            the training.
        on_stop: Called with each of the stops.
        folder: Where the state is kept, and the losses are written (`losses.json`).

    Returns:
        The backward passes and tokens of this call, without those of an interrupted one.

    Raises:
        ModelError: The loss or a weight is not finite, or a row does not fit the device's memory.
    """
    optimisation = _Optimisation(model, rows, hyperparameters)
    done, losses = _gone_on_from(folder, optimisation)
    optimisation.losses.update(losses)
    progress.advance(hyperparameters.learned(len(rows), done))
    steps, usage, schedule = hyperparameters.steps(len(rows)), Usage(), StateSchedule()
    with own_randomness(), optimisation.on_its_stream():
        for step in range(done, stops[-1]):
            usage = usage.plus(optimisation.step(step, steps))
            if step + 1 in stops:
                optimisation.check()
                on_stop(step + 1)
            if step + 1 < stops[-1] and schedule.is_due(step + 1 in stops):
                optimisation.check()
                with schedule.writing():
                    optimisation.save(folder, step + 1)
    losses_by_step = {str(step): round(loss, 5) for step, loss in optimisation.losses.items()}
    write_text(folder / "losses.json", json.dumps(losses_by_step) + "\n")
    remove_state(folder)
    return usage


def _gone_on_from(folder: Path, optimisation: "_Optimisation") -> tuple[int, dict[int, float]]:
    """Restore the state in a folder, if it has a whole one; return its steps and losses."""
    try:
        return load_state(folder, optimisation.named, optimisation.optimizer)
    except DamagedError as error:
        begin_anew(folder, error)
        return 0, {}


@contextmanager
def own_randomness() -> Iterator[None]:
    """Leave the random state of torch, on all devices, as it was before the block."""
    import torch  # an optional dependency, and slow to import

    # Unless the devices are named, torch warns where there are several.
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        yield


class _Step(NamedTuple):
    """A step that has been made, with its loss on the device."""

    step: int
    steps: int
    rows: Sequence[TrainingRow]
    loss: "torch.Tensor"

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self.rows)


class _Optimisation:
    """A model, its optimizer, and the rows that it learns from, step by step."""

    def __init__(
        self,
        model: "torch.nn.Module",
        rows: Sequence[TrainingRow],
        hyperparameters: Hyperparameters,
    ) -> None:
        import torch

        from siftline.models.engine.captured_passes import CapturedPasses
        from siftline.models.engine.learned_logits import LearnedLogits

        first = next(each for each in model.parameters())
        half = hyperparameters.bfloat16 or first.dtype != torch.float32
        self._logits = LearnedLogits(model, max(len(row.ids) for row in rows), half)
        model.train()
        self.rows, self.settings = rows, hyperparameters
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.device = next(iter(self.named.values())).device
        self.optimizer = torch.optim.AdamW(
            self.named.values(),
            lr=hyperparameters.learning_rate,
            weight_decay=hyperparameters.weight_decay,
            fused=self.device.type == "cuda" or None,
        )
        self.max_tokens, self.padding = _CPU_TOKENS, 0
        if self.device.type == "cuda":
            self.max_tokens, self.padding = gpu_batches(model)
        self.late = self.device.type == "cuda"
        self._captured: CapturedPasses | None = None
        if self.device.type == "cuda" and is_launch_bound(model):
            self._captured = CapturedPasses(self._there_and_back, list(self.named.values()))
        self.losses: dict[int, float] = {}
        self._waiting: _Step | None = None
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    def step(self, step: int, steps: int) -> Usage:
        """Make one step."""
        import torch

        rows = self._rows_of(step)
        loss, passes = self._halving(rows, step)
        made = _Step(step, steps, rows, loss)
        if not self.late:
            self._settle(made)
        torch.nn.utils.clip_grad_norm_(self.named.values(), _CLIP_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(step, steps)
        self.optimizer.step()
        # What is captured adds to gradients that stay where they are.
        self.optimizer.zero_grad(set_to_none=self._captured is None)
        if self.late:
            self.settle()
            self._waiting = made
        return Usage(passes, made.tokens)

    def on_its_stream(self) -> AbstractContextManager[None]:
        """Queue what the block computes on a stream of its own, where passes are captured."""
        return self._captured.own_stream() if self._captured else nullcontext()

    def save(self, folder: Path, step: int) -> None:
        """Write the state after a step."""
        save_state(folder, self.named, self.optimizer, step, self.losses)

    def settle(self) -> None:
        """Read the loss of the last step, if that has not been done.

        Raises:
            ModelError: It is not finite.
        """
        if self._waiting:
            made, self._waiting = self._waiting, None
            self._settle(made)

    def _settle(self, made: "_Step") -> None:
        loss = float(made.loss)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss of step {made.step + 1} is {loss}")
        self.losses[made.step + 1] = loss
        progress.advance(len(made.rows), made.tokens)
        progress.note(f"step {made.step + 1}/{made.steps}, loss {loss:.3f}")

    def _rows_of(self, step: int) -> list[TrainingRow]:
        """Return the rows of a step: every epoch has an order of its own."""
        epoch, place = divmod(step, self.settings.epoch_steps(len(self.rows)))
        if self._order is None or self._order[0] != epoch:
            random = np.random.default_rng([self.settings.seed, epoch])
            self._order = (epoch, random.permutation(len(self.rows)))
        start = place * self.settings.batch_rows
        return [self.rows[row] for row in self._order[1][start : start + self.settings.batch_rows]]

    def _halving(self, rows: Sequence[TrainingRow], step: int) -> tuple["torch.Tensor", int]:
        """Go through the rows of a step, in smaller batches where they do not fit the memory."""
        import torch

        seed = int(np.random.SeedSequence([self.settings.seed, step]).generate_state(1)[0])
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
            if self._captured:
                self._captured.forget()
            self.optimizer.zero_grad()
            torch.cuda.empty_cache()

    def _backward(self, rows: Sequence[TrainingRow]) -> tuple["torch.Tensor", int]:
        """Add up the gradients of a step; return its mean loss and the passes."""
        import torch

        total = sum(row.learned_tokens for row in rows)
        loss = torch.zeros((), device=self.device)
        batches = batches_of(rows, self.max_tokens, self.padding)
        for batch in batches:
            loss += self._pass(batch, total)
        return loss, len(batches)

    def _pass(self, batch: Sequence[TrainingRow], total: int) -> "torch.Tensor":
        """Go through a batch, there and back; return its part of the loss."""
        from siftline.models.engine.forward import on_device

        if self._captured:
            return self._captured(laid_out(batch), total)
        arrays = [*laid_out(batch), np.array(total)]
        return self._there_and_back([on_device(each, self.device) for each in arrays])

    def _there_and_back(self, inputs: "Sequence[torch.Tensor]") -> "torch.Tensor":
        """Add up the gradients of the mean cross-entropy of the learned tokens; return it.

        Args:
            inputs: The arrays of a batch, and the learned tokens of the step.
        """
        import torch

        ids, rows, columns, targets, total = inputs
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            logits = self._logits(ids, rows, columns)
        loss = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum") / total
        loss.backward()
        return loss.detach()

    def check(self) -> None:
        """Check that the last loss and every trained weight are finite.

        Raises:
            ModelError: One of them is not.
        """
        import torch

        self.settle()
        finite = [weight.detach().isfinite().all() for weight in self.named.values()]
        for name, good in zip(self.named, torch.stack(finite).tolist(), strict=True):
            if not good:
                raise self._diverged(f"'{name}' holds a number that is not finite")

    def _diverged(self, what: str) -> ModelError:
        return ModelError(
            f"Training diverged: {what}. Expected a lower 'learning_rate' than "
            f"{self.settings.learning_rate}, or 'dtype: float32'."
        )
