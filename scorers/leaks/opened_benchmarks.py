"""Benchmarks as scorers open them: read and indexed once in a process."""

import functools
import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from siftline.contracts.computation import Computation
from siftline.contracts.parquet import dataset_files
from siftline.scorers.leaks.benchmark_files import Benchmark, Item, read_items
from siftline.scorers.leaks.benchmark_index import BenchmarkIndex

_opening = threading.Lock()  # shards are scored in two threads; one of them reads for both


class ReadsBenchmarks(Computation):
    """A computation that compares rows with benchmarks.

    Attributes:
        benchmarks: Which. Their content is part of the identity of the scores.
        ngram_words: Words in an n-gram.
    """

    benchmarks: tuple[Benchmark, ...] = Field(min_length=1)
    ngram_words: int = Field(default=8, ge=3, le=100)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the benchmarks."""
        return tuple(each.path for each in self.benchmarks if each.path is not None)


def open_index(benchmarks: Sequence[Benchmark], base: Path, n: int) -> BenchmarkIndex:
    """Return the index of some benchmarks.

    Args:
        benchmarks: Which.
        base: Folder that their paths are relative to.
        n: Words in an n-gram.

    Raises:
        InputError: A benchmark cannot be read, or lacks a field.
    """
    with _opening:
        return _kept_index(tuple(benchmarks), base, n, _state(benchmarks, base))


def open_items(benchmarks: Sequence[Benchmark], base: Path) -> tuple[Item, ...]:
    """Return the items of some benchmarks; as :func:`open_index`."""
    with _opening:
        return _kept_items(tuple(benchmarks), base, _state(benchmarks, base))


@functools.lru_cache(maxsize=2)
def _kept_index(
    benchmarks: tuple[Benchmark, ...], base: Path, n: int, state: str
) -> BenchmarkIndex:
    return BenchmarkIndex(_kept_items(benchmarks, base, state), n)


@functools.lru_cache(maxsize=2)
def _kept_items(benchmarks: tuple[Benchmark, ...], base: Path, state: str) -> tuple[Item, ...]:
    return tuple(item for each in benchmarks for item in read_items(each, base))


def _state(benchmarks: Sequence[Benchmark], base: Path) -> str:
    """Return what tells that a file is no longer the one that was read."""
    paths = [base / each.path for each in benchmarks if each.path is not None]
    files = [file for path in paths for file in dataset_files(path) if file.exists()]
    stats = [file.stat() for file in files]
    return repr([(each.st_ino, each.st_size, each.st_mtime_ns) for each in stats])
