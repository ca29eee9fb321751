"""Which rows share a beginning that is worth computing once.

Rows in lexicographic order form a tree of common beginnings. Going up from the leaves, the rows of
a branch share its beginning where that saves more tokens than what they share within its twigs; the
rows that are alone in their twigs then share the branch's beginning among themselves.
"""

from collections.abc import Sequence
from typing import NamedTuple

Tokens = tuple[int, ...]


class Family(NamedTuple):
    """Rows that begin alike.

    Attributes:
        prefix: Number of tokens at the beginning that they share.
        rows: Their numbers.
    """

    prefix: int
    rows: list[int]

    @property
    def saving(self) -> int:
        """The number of tokens that are not computed when the beginning is computed once."""
        return self.prefix * (len(self.rows) - 1)


class _Branch:
    """Rows that share a beginning of `depth` tokens, and the best families found among them."""

    def __init__(self, depth: int, row: int | None = None) -> None:
        self.depth = depth
        self.rows: list[int] = [] if row is None else [row]
        self.single: list[int] = list(self.rows)
        self.families: list[Family] = []

    def add(self, twig: "_Branch") -> None:
        """Take in a branch that is finished."""
        self.rows += twig.rows
        self.single += twig.single
        self.families += twig.families

    def finish(self) -> "_Branch":
        """Choose between one family of all rows and those of the twigs."""
        if len(self.rows) == 1:
            return self
        whole, rest = Family(self.depth, self.rows), Family(self.depth, self.single)
        parts = sum(family.saving for family in self.families) + max(0, rest.saving)
        if whole.saving >= parts:
            self.families, self.single = [whole], []
        elif len(self.single) > 1:
            self.families.append(rest)
            self.single = []
        return self


def families(order: Sequence[int], tokens: Sequence[Tokens]) -> list[Family]:
    """Part rows into families that begin alike; a row that shares nothing is one of its own.

    Args:
        order: Numbers of the rows, in lexicographic order of their tokens. No row is the beginning
            of another.
        tokens: The tokens of the rows, by place in `order`.
    """
    path = [_Branch(0)]  # from the root to the last row's twig
    for place, row in enumerate(order):
        leaf = _Branch(len(tokens[place]), row)
        shared = _common(tokens[place - 1], tokens[place]) if place else 0
        while path[-1].depth > shared:
            finished = path.pop().finish()
            if path[-1].depth < shared:
                path.append(_Branch(shared))
            path[-1].add(finished)
        path.append(leaf)
    while len(path) > 1:
        finished = path.pop().finish()
        path[-1].add(finished)
    root = path[0]
    return [*root.families, *(Family(0, [row]) for row in root.single)]


def _common(one: Tokens, other: Tokens) -> int:
    """Return the number of tokens that two sequences begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
