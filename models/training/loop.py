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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts import progress
from siftline.contracts.errors import DamagedError, ModelError
from siftline.contracts.records import write_text
from siftline.contracts.runtime import Usage
from siftline.models.training.batches import batches_of, laid_out
from siftline.models.training.rows import TrainingRow
from siftline.models.training.state import begin_anew, load_state, remove_state, save_state

if TYPE_CHECKING:  # an optional dependency, and slow to import
    import torch

# Padded tokens in one backward pass. On two cores 2,048 took a tenth longer, in page faults, and a
# GPU wants more: what a quarter of its memory holds, of a large model this.
_CPU_TOKENS = 1024
_GPU_TOKENS = 8192
# Values that a pass keeps for its gradients: of each token in a layer, in widths of the model.
_KEPT_WIDTHS = 34
# Floating-point operations that a GPU could do while the kernels of one pass are launched: some
# 15 ms at 100 TFLOP/s.
_LAUNCHES = 1.5e12
_CLIP_NORM = 1.0
# The state is written where that takes less than this share of the time since it was last written,
# and between checkpoints after so many seconds.
_STATE_SHARE = 0.1
_STATE_SECONDS = 60.0


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
    steps, usage, keeper = hyperparameters.steps(len(rows)), Usage(), _Keeper(folder, optimisation)
    with own_randomness():
        for step in range(done, stops[-1]):
            usage = usage.plus(optimisation.step(step, steps))
            if step + 1 in stops:
                optimisation.check()
                on_stop(step + 1)
            if step + 1 < stops[-1]:
                keeper.keep(step + 1, step + 1 in stops)
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


class _Keeper:
    """Writes the state of a training where that costs little of its time."""

    def __init__(self, folder: Path, optimisation: "_Optimisation") -> None:
        self._folder, self._optimisation = folder, optimisation
        self._written, self._seconds = time.monotonic(), 0.0

    def keep(self, step: int, stop: bool) -> None:
        """Write the state after a step, if it is due: at the first checkpoint in any case.

        A small model is trained in less time than its states would take to write.
        """
        since = time.monotonic() - self._written
        pays = self._seconds <= _STATE_SHARE * since
        if not (pays and (stop or since >= _STATE_SECONDS)):
            return
        optimisation = self._optimisation
        if not stop:
            optimisation.check()
        started = time.monotonic()
        save_state(
            self._folder, optimisation.named, optimisation.optimizer, step, optimisation.losses
        )
        self._written = time.monotonic()
        self._seconds = self._written - started


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


def _gpu_batches(model: "torch.nn.Module") -> tuple[int, int]:
    """Return the most tokens of a pass, and the tokens that take as long as its launches."""
    import torch

    weights = sum(weight.numel() for weight in model.parameters())
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    width, layers = (
        getattr(config, f"{name}", None) for name in ("hidden_size", "num_hidden_layers")
    )
    most = _GPU_TOKENS
    if width and layers:
        room = torch.cuda.get_device_properties(next(model.parameters()).device).total_memory / 4
        logits = 3 * getattr(config, "vocab_size", 0)
        most = max(most, int(room / (4 * (_KEPT_WIDTHS * width * layers + logits))))
    return most, int(_LAUNCHES / (6 * weights))


class _Optimisation:
    """A model, its optimizer, and the rows that it learns from, step by step."""

    def __init__(
        self,
        model: "torch.nn.Module",
        rows: Sequence[TrainingRow],
        hyperparameters: Hyperparameters,
    ) -> None:
        import torch

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
            self.max_tokens, self.padding = _gpu_batches(model)
        self.late = self.device.type == "cuda"
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
        self.optimizer.zero_grad()
        if self.late:
            self.settle()
            self._waiting = made
        return Usage(passes, made.tokens)

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
            self.optimizer.zero_grad()
            torch.cuda.empty_cache()

    def _backward(self, rows: Sequence[TrainingRow]) -> tuple["torch.Tensor", int]:
        """Add up the gradients of a step; return its mean loss and the passes."""
        import torch

        total = sum(row.learned_tokens for row in rows)
        loss = torch.zeros((), device=self.device)
        batches = batches_of(rows, self.max_tokens, self.padding)
        for batch in batches:
            part = self._loss(batch) / total
            part.backward()
            loss += part.detach()
        return loss, len(batches)

    def _loss(self, batch: Sequence[TrainingRow]) -> "torch.Tensor":
        """Return the sum of the learned tokens' cross-entropies."""
        import torch

        from siftline.models.engine.forward import on_device

        ids, rows, columns, targets = (on_device(each, self.device) for each in laid_out(batch))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            logits = self._logits(ids, rows, columns)
        return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")

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
