"""Attention to some keys joined with attention to others, as if they had been read together.

The softmax over two sets of keys is that over each, weighed by its share of the exponentials. So
keys that many queries share are read once for all of them, in a call of their own.
"""

from typing import NamedTuple

import torch


class Attention(NamedTuple):
    """What queries have read from some keys.

    Attributes:
        mixed: [queries, heads, value size] the values, mixed by the softmax of the scores.
        logsum: [heads, queries] float32 or wider, the logsumexp of the scores.
    """

    mixed: torch.Tensor
    logsum: torch.Tensor

    def part(self, queries: slice) -> "Attention":
        """Return a view of some of the queries."""
        return Attention(self.mixed[queries], self.logsum[:, queries])

    def absorb(self, other: "Attention", outside: torch.Tensor | None = None) -> None:
        """Take in what the same queries have read from other keys, in place.

        Args:
            other: That; it is used up.
            outside: Numbers of the queries that have read nothing there; None if all have. What a
                kernel writes for them is not looked at.
        """
        mixed, logsum = other
        if outside is not None:  # a few, so it is less to write than to choose for all
            mixed.index_fill_(0, outside, 0)
            logsum.index_fill_(1, outside, -torch.inf)
        share = torch.sigmoid(logsum - self.logsum)
        self.mixed.lerp_(mixed, share.T[..., None].to(mixed.dtype))
        torch.logaddexp(self.logsum, logsum, out=self.logsum)
