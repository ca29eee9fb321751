"""What is launched on a GPU, captured to be replayed; nothing is left of a capture that fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def capturing(
    device: torch.device, graph: torch.cuda.CUDAGraph, pool: Any, stream: torch.cuda.Stream
) -> Iterator[None]:
    """Capture what the block launches, without running it; other threads may go on meanwhile.

    Args:
        device: Where it is launched.
        graph: What it is captured in.
        pool: The memory of what does not last.
        stream: On which it is captured.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    generator = torch.cuda.default_generators[index]
    before = generator.clone_state()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            yield
    except Exception:
        generator.graphsafe_set_state(before)  # it would still take itself for captured
        raise
