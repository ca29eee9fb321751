"""Ctrl-C reaches every process of a terminal: which of them are to hear of it, and how."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Put off Ctrl-C until the block is done; processes that it starts do not hear of it."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_at_interrupt() -> None:
    """End this process at Ctrl-C without a word, also one that :func:`without_interrupts` put off.

    For processes that a run has started: the run says what is to be said.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    signal.signal(signal.SIGINT, end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
