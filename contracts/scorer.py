"""The contract of a scorer: a measurement of each row by itself, cached by row.

A scorer is a frozen configuration apart from the method that asks for it. So a threshold is no part
of a score's identity, and two methods that need the same score share it.
"""

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa

from siftline.contracts.computation import Computation
from siftline.contracts.runtime import Runtime, Usage

Key = Literal["content_hash", "prompt_id", "id"]


class Scored(NamedTuple):
    """The result of a scorer on a table of rows.

    Attributes:
        table: The key column first, then the scores; as many rows as went in, in their order.
        usage: What it has cost.
    """

    table: pa.Table
    usage: Usage = Usage()


class Scorer(Computation):
    """A measurement of each row by itself: a frozen configuration whose result is cached by row.

    Attributes:
        table: Name of the score table.
        revision: Bumped when the algorithm changes, so that old scores are not reused.
        key: What the score is a function of: the whole row, its prompt, or the id that a file
            names it by.
        by_column: It measures whole columns, most of the time where Python lets other threads run,
            and keeps nothing from one call to the next: shards are scored in several threads.
    """

    table: ClassVar[str]
    revision: ClassVar[int]
    by_column: ClassVar[bool] = False
    key: ClassVar[Key] = "content_hash"

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Refuse a scorer that can score and has no name or revision for its scores.

        Raises:
            TypeError: One of them is missing.
        """
        super().__pydantic_init_subclass__(**options)
        for name in ("table", "revision"):
            if not inspect.isabstract(cls) and getattr(cls, name, None) is None:
                raise TypeError(f"{cls.__qualname__}: no '{name}'; expected it in the class.")

    @property
    def needs(self) -> tuple["Scorer", ...]:
        """The scorers whose results it reads.

        They are fields of it, and so part of its identity. For each of them its rows have one
        column more, named by that scorer's table: a struct of its score columns.
        """
        return ()

    @abstractmethod
    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score rows of the examples' schema, unique by `key`.

        A row that cannot be scored gets a status, never a default value; a failure of the
        machinery (a model that cannot be loaded, a server that is gone) is raised.
        """


def in_order(scorers: Sequence[Scorer]) -> list[Scorer]:
    """Return scorers and all that they need, each once, after what it needs."""
    if isinstance(scorers, Scorer):  # it can be iterated over, as its fields
        raise TypeError(f"got the scorer '{scorers.table}', expected a tuple of scorers")
    ordered: list[Scorer] = []
    for scorer in scorers:
        for each in [*in_order(scorer.needs), scorer]:
            if each not in ordered:
                ordered.append(each)
    return ordered
