"""Shares of the characters of a response that say little: special ones, and repeated runs."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.last_turns import last_turns
from siftline.scorers.sorted_groups import sorted_in_groups
from siftline.scorers.text_blocks import in_blocks
from siftline.scorers.text_statistics import said_of

_BASE = 0x9E3779B97F4A7C15  # of the hash of a run, odd: 2^64 over the golden mean
_known = np.full(0x110000, -1, dtype=np.int8)  # by code point: 1 for a special one, -1 not met yet


class CharacterStatistics(Scorer):
    """Shares of the characters of each response, thought and white space around it aside.

    Score columns of the table `characters`:
        special: share of its characters that are no letter, no digit and no white space.
        repeated: share of its runs of `ngram` characters that repeat an earlier one. Data-Juicer
            counts for `character_repetition_filter` the share of the most frequent runs instead,
            as many as the square root of the number of different ones.

    Attributes:
        ngram: Characters in a run.
    """

    table: ClassVar[str] = "characters"
    revision: ClassVar[int] = 1
    by_column: ClassVar[bool] = True

    ngram: int = Field(default=10, ge=1)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Measure each row; see the class for the columns."""
        last = last_turns(rows)
        texts: list[str] = [text.strip() for text in last.contents().to_pylist()]
        others = np.flatnonzero(~last.plain)
        turns = rows["messages"].take(pa.array(others)).to_pylist()
        for row, messages in zip(others.tolist(), turns, strict=True):
            texts[row] = said_of(messages[-1]).strip()
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        special, repeated = (np.zeros(len(texts)) for _ in range(2))
        for block in in_blocks(np.arange(len(texts)), sizes):
            joined = "".join(texts[row] for row in block.tolist())
            points = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
            special[block] = _special(points, sizes[block])
            repeated[block] = _repeated(points, sizes[block], self.ngram)
        progress.advance(len(rows))
        columns = {"special": special, "repeated": repeated}
        return Scored(pa.table({"content_hash": rows["content_hash"], **columns}))


def _special(
    points: npt.NDArray[np.uint32], sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return [texts] the share of special characters."""
    found = _known[points]
    if (found < 0).any():
        for point in np.unique(points[found < 0]).tolist():
            character = chr(point)
            _known[point] = not (character.isalnum() or character.isspace())
        found = _known[points]
    counts = np.bincount(np.repeat(np.arange(len(sizes)), sizes), found, minlength=len(sizes))
    return counts / np.maximum(sizes, 1)


def _repeated(
    points: npt.NDArray[np.uint32], sizes: npt.NDArray[np.int64], n: int
) -> npt.NDArray[np.float64]:
    """Return [texts] the share of runs of n characters that repeat an earlier one."""
    runs = np.maximum(sizes - n + 1, 0)
    starts = np.cumsum(sizes) - sizes
    hashes = _run_hashes(points, n)
    text = np.repeat(np.arange(len(sizes)), runs)
    offset = np.arange(len(text)) - np.repeat(np.cumsum(runs) - runs, runs)
    keys = sorted_in_groups(hashes[starts[text] + offset], runs)
    again = (keys[1:] == keys[:-1]) & (text[1:] == text[:-1])
    counts = np.bincount(text[1:][again], minlength=len(sizes))
    shares: npt.NDArray[np.float64] = counts / np.maximum(runs, 1)
    return shares


def _run_hashes(points: npt.NDArray[np.uint32], n: int) -> npt.NDArray[np.uint64]:
    """Return [starts] a hash of each run of n characters, put together from those of halves."""
    whole = np.zeros(len(points) + 1, dtype=np.uint64)  # of what n's bits so far add up to
    part = np.append(points.astype(np.uint64) + np.uint64(1), np.uint64(0))
    size, done = 1, 0
    while True:
        if n & size:
            factor = np.uint64(pow(_BASE, size, 2**64))
            whole = whole * factor + _ahead(part, done)
            done += size
        if done == n:
            return whole
        part = part * np.uint64(pow(_BASE, size, 2**64)) + _ahead(part, size)
        size *= 2


def _ahead(values: npt.NDArray[np.uint64], by: int) -> npt.NDArray[np.uint64]:
    """Return values that stand so many places later; zero after the end."""
    moved = np.zeros_like(values)
    moved[: max(0, len(values) - by)] = values[by:]
    return moved
