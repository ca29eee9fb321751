"""How much there is to do, of which the work at hand is a part.

The engine compiles a model where all of it repays that. What is asked for is a function of the
corpus, not of what an earlier run has left in the cache: a run that was killed and goes on decides
as it did, and so does every process of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Of each thread: several score at once, each a part of something else.
_times = ContextVar("times", default=1.0)


@contextmanager
def part_of(asked: int, rows: int) -> Iterator[None]:
    """Say inside the block that what is scored is a part of more.

    Args:
        asked: Number of rows that the run asks for.
        rows: Number of those that are scored inside the block.
    """
    before = _times.set(max(1.0, asked / max(rows, 1)))
    try:
        yield
    finally:
        _times.reset(before)


def times() -> float:
    """Return how many times the work at hand is in all that is asked for; 1 if nobody has said."""
    return _times.get()
