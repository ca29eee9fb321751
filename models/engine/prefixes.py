"""Which beginnings of rows are worth computing once.

Rows in lexicographic order form a tree of common beginnings: a system prompt, below it prompts,
below them responses. Going up from the leaves, a beginning is kept where what it saves in tokens is
worth its calls of attention; otherwise what stands below it hangs from the beginning before.
"""

from collections.abc import Sequence

Tokens = tuple[int, ...]

# A beginning is shared where that saves at least so many tokens, and at least this share of those
# that stand below it, each of which attends once more (docs/decisions.md).
_MIN_SAVING = 16
_MIN_SAVING_SHARE = 0.1
# Beginnings within beginnings: each is one more call of attention for all that stands below.
_MOST_LEVELS = 4


class Branch:
    """Rows that begin alike, or the end of a single one.

    Attributes:
        depth: Number of tokens from the beginning of the rows to the end of the branch.
        row: One of its rows.
        twigs: What goes on from there; none at the end of a row.
        below: Number of tokens of all that goes on from there, each computed once.
        levels: The most branches with twigs on the way down, itself included.
    """

    def __init__(self, depth: int, row: int) -> None:
        self.depth = depth
        self.row = row
        self.twigs: list[Branch] = []
        self.below = 0
        self.levels = 0

    def add(self, twigs: Sequence["Branch"]) -> None:
        """Let finished branches go on from here."""
        for twig in twigs:
            self.twigs.append(twig)
            self.below += twig.depth - self.depth + twig.below
            self.levels = max(self.levels, 1 + twig.levels)

    def saving(self, depth: int) -> int:
        """Return the number of tokens that are not computed because this branch is kept.

        Args:
            depth: Number of tokens that are shared without it.
        """
        return (self.depth - depth) * (len(self.twigs) - 1)

    def finish(self, depth: int) -> list["Branch"]:
        """Return the branch, or its twigs where it is not worth keeping.

        Args:
            depth: Number of tokens that are shared without it.
        """
        if not self.twigs:
            return [self]
        if self.levels > _MOST_LEVELS and (twigs := self._lowered(depth)) != [self]:
            return twigs
        if self.saving(depth) < max(_MIN_SAVING, _MIN_SAVING_SHARE * self.below):
            return self.twigs
        return [self]

    def _tall(self) -> list["Branch"]:
        """Return the twigs that give the branch its levels."""
        return [twig for twig in self.twigs if twig.levels == self.levels - 1 > 0]

    def _loss(self, depth: int) -> int:
        """Return the number of tokens that one level less costs at least."""
        tall = self._tall()
        below = sum(twig._loss(self.depth) for twig in tall)
        return min(self.saving(depth), below) if tall else self.saving(depth)

    def _lowered(self, depth: int) -> list["Branch"]:
        """Take out the level that saves the least: this one, or one of each tall twig."""
        tall = self._tall()
        if not tall or self.saving(depth) <= sum(twig._loss(self.depth) for twig in tall):
            return self.twigs
        twigs, self.twigs, self.below, self.levels = self.twigs, [], 0, 0
        for twig in twigs:
            self.add(twig._lowered(self.depth) if twig in tall else [twig])
        return [self]


def tree(order: Sequence[int], tokens: Sequence[Tokens]) -> list[Branch]:
    """Return the branches of rows that begin alike; a row that shares nothing is one of its own.

    Args:
        order: Numbers of the rows, in lexicographic order of their tokens. No row is the beginning
            of another.
        tokens: The tokens of the rows, by place in `order`.
    """
    path = [Branch(0, -1)]  # from the root to the last row's end
    for place, row in enumerate(order):
        shared = _common(tokens[place - 1], tokens[place]) if place else 0
        _climb(path, shared)
        path.append(Branch(len(tokens[place]), row))
    _climb(path, 0)
    return path[0].twigs


def _climb(path: list[Branch], depth: int) -> None:
    """Finish the branches of a path that are longer than what the next row shares."""
    while path[-1].depth > depth:
        branch = path.pop()
        if path[-1].depth < depth:
            path.append(Branch(depth, branch.row))
        path[-1].add(branch.finish(path[-1].depth))


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
