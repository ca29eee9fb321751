"""The shape of a file's rows, told by the first of them."""

import itertools
from collections import Counter
from collections.abc import Iterator

from siftline.contracts.errors import InputError
from siftline.contracts.printable import excerpt
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.rows import BadRow, Record, json_of
from siftline.pipelines.ingestion.shapes import detect

_HEAD_ROWS = 100
_HEAD_CHARS = 8 << 20


def head_of(records: Iterator[Record]) -> list[Record]:
    """Take the first rows of a file: a hundred, or fewer where they are large."""
    head: list[Record] = []
    size = 0
    for record in itertools.islice(records, _HEAD_ROWS):
        head.append(record)
        value = record.value
        size += len(value.raw if isinstance(value, BadRow) else json_of(value))
        if size > _HEAD_CHARS:
            break
    return head


def shape_of(head: list[Record], item: Input, name: str) -> str:
    """Return the shape that most of a file's first rows have.

    Args:
        head: As :func:`head_of` takes it.
        item: The input; its `format` and `columns` count.
        name: Of the file, for messages.

    Raises:
        InputError: There is no row, or none has a shape that is known.
    """
    if item.format != "auto":
        return item.format
    if not head:
        raise InputError(f"Input '{name}' holds no row; expected at least one. Take it out.")
    rows = [value for _, value in head if not isinstance(value, BadRow)]
    shapes = Counter(shape for row in rows if (shape := detect(row, item.columns)))
    if shapes:
        return shapes.most_common(1)[0][0]
    first = head[0].value
    if isinstance(first, BadRow):
        raise InputError(
            f"'{name}' has no row that can be read, of the first {len(head)}: {first.reason} in "
            f"row 1 ({excerpt(first.detail)}). Mend the file, or take it out of the recipe."
        )
    columns = excerpt(", ".join(f"'{key}'" for key in first))
    raise InputError(
        f"'{name}' has no shape that is known: got the columns {columns}; expected "
        "instruction/output, conversations, messages, prompt/completion or question/answer. "
        "State 'format' and 'columns' for this input."
    )
