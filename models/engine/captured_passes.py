"""The forward and backward passes of a training, captured on a GPU and replayed.

A small model's pass is a thousand kernels that take less time than launching them. A captured pass
is one launch, for one shape: batches are filled up to a few shapes, with rows and places from which
nothing is learned, so losses and gradients are those of the batch as it is. A shape is captured
when it has come a few times.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from siftline.contracts import progress
from siftline.models.device_errors import in_one_line
from siftline.models.engine.cuda_graphs import capturing
from siftline.models.engine.forward import on_device

Arrays = Sequence[npt.NDArray[np.int64]]
Pass = Callable[[Sequence[torch.Tensor]], torch.Tensor]

IGNORED = -100
"""A target from which nothing is learned, as PyTorch's cross-entropy has it."""

# Batches are filled up to multiples of these: rows, tokens of a row. Of numbers of learned places
# there are four from a power of two to the next.
_ROWS, _WIDTH = 8, 64
# How often a shape must have come: a capture takes 0.1 s, and saves 10 ms at each replay.
_CAPTURED_AT = 6
_MOST_GRAPHS = 64
# Share of a training's time that captures may take, beyond the first.
_SHARE = 0.1


def filled_up(ids: npt.NDArray[np.int64], *places: npt.NDArray[np.int64]) -> Arrays:
    """Fill a batch up to one of a few shapes.

    Args:
        ids: [rows, width] tokens.
        places: [learned] rows, columns and targets.

    Returns:
        The same, with rows of padding, wider, and with places whose target is :data:`IGNORED`.
    """
    rows, width = -(-ids.shape[0] // _ROWS) * _ROWS, -(-ids.shape[1] // _WIDTH) * _WIDTH
    (count,) = places[0].shape
    step = max(1, 1 << max(0, count.bit_length() - 3))
    more = -(-count // step) * step - count
    wide = np.pad(ids, ((0, rows - ids.shape[0]), (0, width - ids.shape[1])))
    fill = (0, 0, IGNORED)
    return [
        wide,
        *(
            np.pad(each, (0, more), constant_values=value)
            for each, value in zip(places, fill, strict=True)
        ),
    ]


class _Captured(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: list[torch.Tensor]
    loss: torch.Tensor


class CapturedPasses:
    """Forward and backward passes by the shapes of their batches.

    All of a training has to run in :meth:`own_stream`.

    Attributes:
        possible: Whether passes are captured; false once that has failed.
    """

    def __init__(self, run: Pass, weights: Sequence[torch.nn.Parameter]) -> None:
        """Set out with nothing captured.

        Args:
            run: Runs a pass there and back: takes ids, rows, columns, targets and the number by
                which the loss is divided, adds the gradients up, and returns the loss.
            weights: What is trained.
        """
        self.possible = True
        self._run, self._weights = run, weights
        self._device = weights[0].device
        self._seen: Counter[tuple[tuple[int, ...], ...]] = Counter()
        self._captured: dict[tuple[tuple[int, ...], ...], _Captured] = {}
        self._pool: Any = None
        self._started, self._spent = time.monotonic(), 0.0

    def __call__(self, batch: Arrays, total: int) -> torch.Tensor:
        """Run a pass there and back, and return its loss, which the next pass may overwrite.

        Args:
            batch: As :func:`filled_up` takes it.
            total: The number by which its loss is divided.

        Raises:
            torch.OutOfMemoryError: It does not fit.
        """
        arrays = [*filled_up(*batch), np.array(total)]
        shape = tuple(each.shape for each in arrays)
        self._seen[shape] += 1
        if shape not in self._captured and self._is_due(shape):
            started = time.monotonic()
            self._capture(shape, arrays)
            self._spent += time.monotonic() - started
        if captured := self._captured.get(shape):
            for static, each in zip(captured.inputs, arrays, strict=True):
                static.copy_(on_device(each, self._device))
            captured.graph.replay()
            return captured.loss
        return self._run([on_device(each, self._device) for each in arrays])

    @contextmanager
    def own_stream(self) -> Iterator[None]:
        """Queue what the block computes on one stream, on which passes are captured too."""
        stream, usual = torch.cuda.Stream(self._device), torch.cuda.current_stream(self._device)
        stream.wait_stream(usual)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            usual.wait_stream(stream)

    def forget(self) -> None:
        """Let all that was captured go, with its memory."""
        self._captured.clear()
        self._seen.clear()
        self._pool = None

    def _is_due(self, shape: tuple[tuple[int, ...], ...]) -> bool:
        return (
            self.possible
            and self._seen[shape] >= _CAPTURED_AT
            and len(self._captured) < _MOST_GRAPHS
            and self._spent <= _SHARE * (time.monotonic() - self._started)
            # Gradients must lie where they are, outside of what is captured.
            and all(weight.grad is not None for weight in self._weights)
        )

    def _capture(self, shape: tuple[tuple[int, ...], ...], arrays: Arrays) -> None:
        inputs = [on_device(each, self._device) for each in arrays]
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream(self._device)
        try:
            with capturing(self._device, graph, self._pool, stream):
                loss = self._run(inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever the model's own code or the driver says to it
            self.possible = False
            progress.warn(
                "The passes of a training are launched one by one, which takes a small model about "
                f"twice as long: they cannot be captured ({in_one_line(error)})."
            )
            return
        self._captured[shape] = _Captured(graph, inputs, loss)
