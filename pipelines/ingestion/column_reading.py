"""The rows of a file in order: those that are plain in columns, the others one by one.

A thread reads blocks in columns ahead of whoever takes them; Arrow lets the other core work
meanwhile.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import NamedTuple

import numpy as np

from siftline.pipelines.ingestion.blocks import Block
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.plain_columns import KnownColumns
from siftline.pipelines.ingestion.plain_rows import Part, Place, PlainRows, read_plain
from siftline.pipelines.ingestion.rows import BadRow, Record

_AHEAD = 2  # blocks
_TRIED_ROWS = 10_000  # of a file; if most of them were not plain, no more are tried


class _Waiting(NamedTuple):
    """A block that is being read; None where it is to be read one by one."""

    block: Block
    parts: Future[list[Part]] | None


class ColumnReader:
    """Reads the blocks of one file."""

    def __init__(self, item: Input, file: str, known: KnownColumns, threads: Executor) -> None:
        """Begin behind the head of a file.

        Args:
            item: The input.
            file: The name of the file.
            known: Has seen the head.
            threads: Where blocks are read ahead.
        """
        self._item, self._file, self._known, self._threads = item, file, known, threads
        self._tried = self._plain = 0

    def read(self, items: Iterator[Record | Block]) -> Iterator[Record | PlainRows]:
        """Yield rows in the order of the file."""
        waiting: deque[_Waiting] = deque()
        for item in items:
            if isinstance(item, Block):
                waiting.append(self._begun(item))
                if len(waiting) > _AHEAD:
                    yield from self._taken(waiting.popleft())
                continue
            while waiting:
                yield from self._taken(waiting.popleft())
            yield item
        while waiting:
            yield from self._taken(waiting.popleft())

    def _begun(self, block: Block) -> _Waiting:
        plan = self._known.plan
        if plan is None or (self._tried > _TRIED_ROWS and 2 * self._plain < self._tried):
            return _Waiting(block, None)
        place = Place(self._item, self._file, block.number)
        return _Waiting(block, self._threads.submit(read_plain, block.rows, plan, place))

    def _taken(self, waiting: _Waiting) -> Iterator[Record | PlainRows]:
        block, parts = waiting
        if parts is None:
            yield from self._one_by_one(block, 0, len(block.rows.raws))
            return
        for start, stop, rows, is_plain in parts.result():
            self._tried += stop - start
            if rows is None:
                yield from self._one_by_one(block, start, stop)
                continue
            self._plain += len(rows.sizes)
            done = begin = 0
            for odd in [*np.flatnonzero(~is_plain).tolist(), stop - start]:
                if odd > begin:
                    yield rows.part(done, done + odd - begin)
                    done += odd - begin
                if odd < stop - start:
                    yield from self._one_by_one(block, start + odd, start + odd + 1)
                begin = odd + 1

    def _one_by_one(self, block: Block, start: int, stop: int) -> Iterator[Record]:
        for record in block.records(start, stop):
            if not isinstance(record.value, BadRow):
                self._known.see(record.value)
            yield record
