"""The shapes of a file's rows: the one that most of its first rows have, and each row's own."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from siftline.contracts.errors import InputError
from siftline.contracts.printable import excerpt
from siftline.pipelines.ingestion.blocks import HEAD_ROWS, Block
from siftline.pipelines.ingestion.inputs import CANONICAL, Input
from siftline.pipelines.ingestion.rows import BadRow, Record, json_of
from siftline.pipelines.ingestion.shapes import detect, is_shaped, unanswered
from siftline.pipelines.ingestion.single_turns import RESPONSES

EXPECTED = (
    "instruction/output, conversations, messages, prompt/completion, question/answer, "
    "query/response, input/output or chosen/rejected"
)
_HEAD_CHARS = 8 << 20
_MOST_SHAPES = 4096  # sets of columns whose shape is remembered
# What columns are called that no shape has, and what they hold: offered, and never assumed.
_OTHERS = {
    **dict.fromkeys(("problem", "user", "human", "request"), "question"),
    **dict.fromkeys(
        ("solution", "assistant", "bot", "reply", "target", "ground_truth"), "response"
    ),
    **{"context": "input", "passage": "input", "system_prompt": "system"},
    **{"conversation": "conversations", "dialog": "conversations", "dialogue": "conversations"},
}
_FLAT_TREE = {"message_id", "parent_id", "text", "role"}


def head_of(records: Iterator[Record]) -> list[Record]:
    """Take the first rows of a file: a hundred, or fewer where they are large."""
    head: list[Record] = []
    size = 0
    for record in itertools.islice(records, HEAD_ROWS):
        head.append(record)
        value = record.value
        size += len(value.raw if isinstance(value, BadRow) else json_of(value))
        if size > _HEAD_CHARS:
            break
    return head


def head_and_rest(
    items: Iterator[Record | Block],
) -> tuple[list[Record], Iterator[Record | Block]]:
    """Take the first rows of a file out of its blocks, and return what follows them."""
    unrolled = _Unrolled(items)
    return head_of(unrolled), unrolled.rest()


class _Unrolled(Iterator[Record]):
    """The records of a file, one by one, until the rest of them is wanted in blocks."""

    def __init__(self, items: Iterator[Record | Block]) -> None:
        self._items = items
        self._begun: Block | None = None

    def __next__(self) -> Record:
        if self._begun is None:
            item = next(self._items)
            if isinstance(item, Record):
                return item
            self._begun = item
        record, self._begun = self._begun.first()
        return record

    def rest(self) -> Iterator[Record | Block]:
        """Return what was not taken."""
        return itertools.chain([self._begun] if self._begun else [], self._items)


class Shapes:
    """Tells the shape of each row of a file: that of most rows where it fits, else its own."""

    def __init__(self, head: list[Record], item: Input, name: str) -> None:
        """Look at the first rows.

        Args:
            head: As :func:`head_of` takes it.
            item: The input; its `format` and `columns` count.
            name: Of the file, for messages.

        Raises:
            InputError: There is no row, or none has a shape that is known.
        """
        self.usual = shape_of(head, item, name)
        self._stated, self._columns = item.format != "auto", item.columns
        self._prompt = item.columns.get("prompt", "prompt")
        self._told_by_values = ("data", item.columns.get("chosen", "chosen"))
        self._known: dict[tuple[str, ...], str] = {}

    def of(self, row: dict[str, Any]) -> str:
        """Return a row's shape; the usual one where it has none."""
        if self._stated:
            return self.usual
        if isinstance(row.get(self._prompt), dict) or any(
            row.get(column) is not None for column in self._told_by_values
        ):
            return self._look(row)
        names = tuple([name for name, value in row.items() if value is not None])
        shape = self._known.get(names)
        if shape is None:
            shape = self._look(row)
            if len(self._known) < _MOST_SHAPES:
                self._known[names] = shape
        return shape

    def _look(self, row: dict[str, Any]) -> str:
        if is_shaped(row, self.usual, self._columns):
            return self.usual
        return detect(row, self._columns) or unanswered(row, self._columns) or self.usual


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
    if all(unanswered(row, item.columns) for row in rows):
        raise InputError(
            f"'{name}' has no response in its first {len(head)} rows: of the columns {columns}, "
            "the one for it is empty. Fill it, or name another in 'columns'."
        )
    got = f"the columns {columns}" if columns else "no column"
    raise InputError(
        f"'{name}' has no shape that is known: got {got}; expected {EXPECTED}. {_remedy(first)}"
    )


def _remedy(row: dict[str, Any]) -> str:
    if row.keys() >= _FLAT_TREE:
        return (
            "It holds one message a row: join them into conversations, or take the file that holds "
            "whole trees."
        )
    if between := _delimiter(row):
        return f"State 'delimiter: \"{between}\"' if its cells stand between these."
    if near := _nearest_columns(row):
        return f"For this input, state 'columns: {{{near}}}'."
    return "State 'format' and 'columns' for this input."


def _delimiter(row: dict[str, Any]) -> str:
    """Return what known columns stand between in the name of a single one; '' if in none."""
    name = next(iter(row)) if len(row) == 1 else ""
    for between in ",;|":
        cells = [cell.strip('" ') for cell in name.split(between)]
        if len(cells) > 1 and detect(dict.fromkeys(cells, ""), {}):
            return between
    return ""


def _nearest_columns(row: dict[str, Any]) -> str:
    """Return the mapping that a record needs, where its columns are known in another spelling."""
    known = {name: name for name in CANONICAL} | dict.fromkeys(RESPONSES, "response") | _OTHERS
    fields: dict[str, str] = {}
    for column in row:
        spelt = re.sub(r"[\W_]+", "_", column.strip().casefold()).strip("_")
        field = known.get(spelt) or known.get(spelt.rstrip("s"))
        if field is not None and field not in fields:
            fields[field] = column
    if detect(row, fields) is None or not _is_safe(fields.values()):
        return ""
    return ", ".join(f"{field}: {column}" for field, column in fields.items() if field != column)


def _is_safe(names: Iterable[str]) -> bool:
    """Return whether names can stand in a recipe as they are."""
    return all(re.fullmatch(r"[\w ]*\w", name) for name in names)
