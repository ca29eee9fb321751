"""Progress of long stages: library code reports, and whoever runs it may listen.

Reporting changes no result. By default nobody listens.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Listener(Protocol):
    """Somebody who wants to know how far a run is."""

    def start(self, stage: str, rows: int) -> None:
        """A stage begins that has so many rows to go through."""
        ...

    def advance(self, rows: float, tokens: int) -> None:
        """Some rows of the stage are done, or part of one, with so many tokens."""
        ...

    def note(self, text: str) -> None:
        """Something about the stage as it stands, such as a loss."""
        ...

    def tell(self, text: str) -> None:
        """How something is done, such as the path that a model takes, in one line."""
        ...

    def finish(self) -> None:
        """The stage is over."""
        ...

    def warn(self, text: str) -> None:
        """Something that whoever runs it should know, in one line."""
        ...


class Silent:
    """Listens to nothing."""

    def start(self, stage: str, rows: int) -> None:
        """Ignore the beginning of a stage."""

    def advance(self, rows: float, tokens: int) -> None:
        """Ignore some progress."""

    def note(self, text: str) -> None:
        """Ignore a note."""

    def tell(self, text: str) -> None:
        """Ignore how something is done."""

    def finish(self) -> None:
        """Ignore the end of a stage."""

    def warn(self, text: str) -> None:
        """Log a warning, since nobody else would tell of it."""
        logging.getLogger("siftline").warning(text)


_listener: Listener = Silent()
_told: set[str] = set()  # to this listener
_hearing: list[list[str]] = []  # what each block of `hearing` has heard, in whatever thread


def listen(listener: Listener) -> None:
    """Send the progress of this process to a listener, instead of the one before."""
    global _listener
    _listener = listener
    _told.clear()


def start(stage: str, rows: int) -> None:
    """Report that a stage begins."""
    _listener.start(stage, rows)


def advance(rows: float, tokens: int = 0) -> None:
    """Report rows of the current stage as done."""
    _listener.advance(rows, tokens)


def portion(rows: float, pieces: int) -> Callable[[float, int], None]:
    """Return a callback that reports rows in step with pieces of work, such as questions.

    Args:
        rows: Number of rows that are done when all pieces are.
        pieces: Number of pieces; without any the rows are done now.
    """
    if not pieces:
        advance(rows)
    return lambda done, tokens: advance(rows * done / max(pieces, 1), tokens)


def note(text: str) -> None:
    """Report how the current stage stands; a later note takes its place."""
    _listener.note(text)


def tell(text: str) -> None:
    """Tell whoever runs it, once, how something is done."""
    for heard in _hearing:
        if text not in heard:
            heard.append(text)
    if text not in _told:
        _told.add(text)
        _listener.tell(text)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Give a list of all that is told inside the block, each line once."""
    heard: list[str] = []
    _hearing.append(heard)
    try:
        yield heard
    finally:
        _hearing[:] = [each for each in _hearing if each is not heard]


def finish() -> None:
    """Report that the stage is over."""
    _listener.finish()


def warn(text: str) -> None:
    """Tell whoever runs it something that stays to be read, such as what had to be made again."""
    _listener.warn(text)
