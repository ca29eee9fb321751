"""Attention of segments of queries to ranges of keys, whose lengths are values on the device.

Two kernels do the same: the variable-length flash kernel of PyTorch, which reads no more keys than
are used, for half precision on CUDA; and plain products over gathered keys, for what it does not
take (float32, large heads), up to a number of keys that the caller states.
"""

from typing import NamedTuple, Protocol

import torch

# Plain products are made for multiples of so many keys, so that few shapes are met.
_REACH = 128
# The largest heads that a GPU has been seen to read as queries of one head.
_FOLDED_SIZE = 64


class Segments(NamedTuple):
    """Segments of queries that follow one another, each with the keys that it reads.

    Attributes:
        ends: [segments + 1] int32, cumulative numbers of queries.
        starts: [segments + 1] int32, the place of the first key of each; the last is not used.
        used: [segments] int32, the number of keys of each; nothing is said of what a query
            without any gives.
        longest_query: No segment has more queries.
        longest_key: No segment has more keys.
    """

    ends: torch.Tensor
    starts: torch.Tensor
    used: torch.Tensor
    longest_query: int
    longest_key: int

    def times(self, number: int) -> "Segments":
        """Return the segments with so many queries in the place of each."""
        return self._replace(ends=self.ends * number, longest_query=self.longest_query * number)


class SegmentKernel(Protocol):
    """Attends to the keys of segments."""

    def folds(self, size: int) -> bool:
        """Return whether heads of a size that read the same keys are better queries of one head."""
        ...

    def reach(self, keys: int) -> int:
        """Return the number of keys that shapes depend on, where segments have up to `keys`."""
        ...

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        segments: Segments,
        scale: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend.

        Args:
            query: [queries, heads, size].
            key: [places, key heads, size].
            value: [places, key heads, value size].
            segments: Which query reads which places.
            scale: Factor of the scores before the softmax.

        Returns:
            [queries, heads, value size], and [heads, queries] float32, the logarithms of the sums
            of the exponentials of the scores.
        """
        ...


class FlashSegments:
    """The kernel of PyTorch for CUDA and half precision."""

    def folds(self, size: int) -> bool:
        """Return whether it was tried: it reads the keys once for each head of the queries.

        Larger heads have been run on a GPU as they are only (docs/decisions/engine.md).
        """
        return size <= _FOLDED_SIZE

    def reach(self, keys: int) -> int:
        """Return a constant: the kernel reads the lengths on the device."""
        return 2**30

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        segments: Segments,
        scale: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend; see :class:`SegmentKernel`."""
        mixed, sums, *_ = torch.ops.aten._flash_attention_forward(
            query,
            key,
            value,
            segments.ends,
            segments.starts,
            segments.longest_query,
            segments.longest_key,
            0.0,
            False,
            False,
            scale=scale,
            seqused_k=segments.used,
        )
        return mixed, sums


class PlainSegments:
    """Products over gathered keys, on any device and in any type."""

    def folds(self, size: int) -> bool:
        """Return that they are not: it gathers the keys once for each query."""
        return False

    def reach(self, keys: int) -> int:
        """Return the next multiple of a few."""
        return -(-keys // _REACH) * _REACH

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        segments: Segments,
        scale: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend; see :class:`SegmentKernel`."""
        queries, heads, size = query.shape
        numbers = torch.arange(queries, device=query.device, dtype=torch.int32)
        segment = torch.searchsorted(segments.ends, numbers, right=True) - 1
        places = torch.arange(segments.longest_key, device=query.device)
        gather = (segments.starts[segment][:, None] + places).clamp_(max=len(key) - 1)
        outside = (places >= segments.used[segment][:, None])[:, None, None]
        # [queries, key heads, heads per key head, size], [queries, key heads, size, keys]
        grouped = (query * scale).view(queries, key.shape[1], -1, size)
        scores = (grouped @ key[gather].permute(0, 2, 3, 1)).float()
        scores = scores.masked_fill_(outside, torch.finfo(torch.float32).min)
        mixed = scores.softmax(dim=-1).to(value.dtype) @ value[gather].transpose(1, 2)
        sums = scores.logsumexp(dim=-1).view(queries, heads)
        return mixed.view(queries, heads, -1), sums.t()
