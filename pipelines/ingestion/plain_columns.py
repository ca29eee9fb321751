"""Which columns the plain rows of a file have, and what is read from each: the plan of a file.

A row is plain where it has one prompt and one response, both texts, and beside them nothing but
texts, whole numbers and booleans. The plan is made from rows that were read one by one.
"""

from typing import Any, NamedTuple

import pyarrow as pa

from siftline.pipelines.ingestion.candidates import MANY, ORIGINS
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.shapes import MEDIA, TASKS, TOOLS
from siftline.pipelines.ingestion.single_turns import SINGLE_TURNS, SYSTEM
from siftline.pipelines.ingestion.turns import THOUGHTS
from siftline.pipelines.ingestion.values import is_text

# Columns that a row may not have: what they hold is read in more ways than one.
_RICH = {"history", "data", "chosen", "rejected", *SYSTEM, *THOUGHTS, *MEDIA, *TOOLS}
_TYPES = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
_MOST_COLUMNS = 100


class Plan(NamedTuple):
    """What is read from which column of plain rows.

    Attributes:
        schema: All columns; one that has held nothing so far has the type null.
        prompt: What the user asks.
        passage: What stands behind it; None without such a column.
        response: What the assistant says.
        takes_id: A column gives the ids.
        tasks: Columns that may say the task; the first that is filled does.
        origins: Columns that may say who wrote the response; likewise.
        rest: Columns that are metadata, by name, where no task or origin is taken from them.
    """

    schema: pa.Schema
    prompt: str
    passage: str | None
    response: str
    takes_id: bool
    tasks: tuple[str, ...]
    origins: tuple[str, ...]
    rest: tuple[str, ...]


class KnownColumns:
    """What the rows of a file that were read one by one had in their columns."""

    def __init__(self, item: Input, shape: str) -> None:
        """Begin with no row.

        Args:
            item: The input.
            shape: Of most of the file's rows.
        """
        self._item, self._shape = item, shape
        self._types: dict[str, type | None] = {}
        self._plan: Plan | None = None
        self._is_made = False

    def see(self, row: dict[str, Any]) -> None:
        """Look at a row."""
        for name, value in row.items():
            kind = None if value is None else type(value)
            if name not in self._types or (kind and self._types[name] is None):
                self._types[name], self._is_made = kind, False

    @property
    def plan(self) -> Plan | None:
        """How plain rows are read; None where the file has none."""
        if not self._is_made:
            self._plan, self._is_made = self._made(), True
        return self._plan

    def _made(self) -> Plan | None:
        names = self._types.keys()
        if (
            self._shape not in SINGLE_TURNS
            or SINGLE_TURNS[self._shape].prompt not in names
            or self._types.get("id") is bool
            or self._item.columns
            or len(names) > _MOST_COLUMNS
            or not _RICH.isdisjoint(names)
            or not all(map(is_text, names))
            or not all(kind is None or kind in _TYPES for kind in self._types.values())
        ):
            return None
        shape = SINGLE_TURNS[self._shape]
        responses = [name for name in shape.responses if name in names]
        passages = [name for name in shape.passages if name in names]
        if len(responses) != 1 or len(passages) > 1 or responses[0] in MANY:
            return None
        item = self._item
        tasks = tuple(name for name in TASKS if name in names and not item.task)
        origins = tuple(name for name in ORIGINS if name in names and not item.origin)
        used = (shape.prompt, responses[0], *passages)
        if any(self._types[name] not in (str, None) for name in (*used, *tasks, *origins)):
            return None
        return Plan(
            schema=pa.schema(
                [(name, _TYPES[kind] if kind else pa.null()) for name, kind in self._types.items()]
            ),
            prompt=shape.prompt,
            passage=passages[0] if passages else None,
            response=responses[0],
            takes_id="id" in names,
            tasks=tasks,
            origins=origins,
            rest=tuple(sorted(names - {*used, "id"})),
        )
