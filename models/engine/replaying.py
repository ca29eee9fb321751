"""Steps captured on the device once, and replayed from then on.

A step of a small model is a thousand short kernels, and starting them from Python takes longer than
they do. A captured step is started at once. It reads and writes the memory that it had when it was
captured, so whatever lasts between steps must stay where it is.
"""

from collections.abc import Callable, Hashable
from functools import cache
from typing import Protocol

import torch

from siftline.contracts import progress
from siftline.models.device_errors import in_one_line
from siftline.models.engine.cuda_graphs import capturing
from siftline.models.engine.forward import Network

Turn = Callable[[], None]
"""A step, without arguments or results."""


class Recorder(Protocol):
    """Captures steps."""

    def __call__(self, turn: Turn) -> Turn:
        """Capture a step without running it; return what runs it."""
        ...


@cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream of captures on a device: each takes memory for its products."""
    return torch.cuda.Stream(device)


class CudaRecorder:
    """Captures steps as CUDA graphs, which share the memory of what does not last."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = _stream_of(device)

    def __call__(self, turn: Turn) -> Turn:
        """Capture a step; see :class:`Recorder`."""
        graph = torch.cuda.CUDAGraph()
        with capturing(self._device, graph, self._pool, self._stream):
            turn()
        replay: Turn = graph.replay
        return replay


class Replayer:
    """Runs steps: the first of each shape as it is, then captured."""

    def __init__(self, record: Recorder | None, failed: Callable[[str], None]) -> None:
        """Begin without any step.

        Args:
            record: Captures a step; None where nothing is captured.
            failed: Is told why a step could not be captured; all are run as they are from then on.
        """
        self._record = record
        self._failed = failed
        self._met: set[Hashable] = set()
        self._captured: dict[Hashable, Turn] = {}

    @classmethod
    def of(cls, network: Network) -> "Replayer":
        """Return one for the steps of a model."""

        def failed(reason: str) -> None:
            network.captures = False
            progress.warn(f"'{network.name}' answers slowly, step by step from Python: {reason}.")

        records = network.device.type == "cuda" and network.captures
        return cls(CudaRecorder(network.device) if records else None, failed)

    def run(self, shape: Hashable, turn: Turn) -> None:
        """Run a step.

        Args:
            shape: What the shapes of its tensors depend on; None where it cannot be captured.
            turn: The step. All that differs from an earlier one of the same shape is in tensors.
        """
        if self._record is None or shape is None:
            turn()
        elif shape in self._captured:
            self._captured[shape]()
        elif shape not in self._met:  # kernels are loaded and buffers made
            self._met.add(shape)
            turn()
        else:
            self._capture(shape, turn, self._record)

    def _capture(self, shape: Hashable, turn: Turn, record: Recorder) -> None:
        try:
            self._captured[shape] = record(turn)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever the model's own code does that cannot be captured
            self._record = None
            self._failed(in_one_line(error))
            turn()
        else:
            self._captured[shape]()
