"""Blocks of rows that are not parsed yet: what is plain in them can be read in columns."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from siftline.pipelines.ingestion.rows import BadRow, Record

HEAD_ROWS = 100  # of a file, that tell its shape; they are a block of their own
_BLOCK_BYTES = 1 << 20

Parse: TypeAlias = Callable[[bytes], dict[str, Any] | BadRow]


class Raws(NamedTuple):
    """The JSON of some rows, and what parses one.

    Attributes:
        raws: Each of one row.
        limit: Bytes of the largest row that is read.
        parse: Gives its value, or what is wrong with it.
    """

    raws: list[bytes]
    limit: int
    parse: Parse


class Block(NamedTuple):
    """Rows of a file that follow one another, the first of them with its number from 1."""

    number: int
    rows: Raws

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """Parse some of the rows, counted from 0."""
        for place in range(start, stop):
            yield Record(self.number + place, self.rows.parse(self.rows.raws[place]))

    def first(self) -> tuple[Record, "Block | None"]:
        """Parse the first row, and return it with the block of the others, None where none is."""
        record = next(self.records(0, 1))
        others = self.rows._replace(raws=self.rows.raws[1:])
        return record, Block(self.number + 1, others) if others.raws else None


def cut(lines: Iterable[bytes], limit: int, parse: Parse) -> Iterator[Raws]:
    """Yield lines in blocks."""
    raws: list[bytes] = []
    size, most = 0, HEAD_ROWS
    for line in lines:
        raws.append(line)
        size += len(line)
        if size > _BLOCK_BYTES or len(raws) == most:
            yield Raws(raws, limit, parse)
            raws, size, most = [], 0, -1
    if raws:
        yield Raws(raws, limit, parse)


def flat(parts: Iterable[dict[str, Any] | BadRow | Raws]) -> Iterator[dict[str, Any] | BadRow]:
    """Yield the rows of blocks one by one."""
    for part in parts:
        if isinstance(part, Raws):
            yield from map(part.parse, part.raws)
        else:
            yield part


def numbered(parts: Iterable[dict[str, Any] | BadRow | Raws]) -> Iterator[Record | Block]:
    """Number rows from 1."""
    number = 1
    for part in parts:
        if isinstance(part, Raws):
            yield Block(number, part)
            number += len(part.raws)
        else:
            yield Record(number, part)
            number += 1


def records(items: Iterable[Record | Block]) -> Iterator[Record]:
    """Yield the records of blocks one by one."""
    for item in items:
        if isinstance(item, Block):
            yield from item.records(0, len(item.rows.raws))
        else:
            yield item
