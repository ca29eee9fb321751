"""Each row that was read becomes examples in shards, or goes to quarantine; and all are counted."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

from siftline.contracts import progress
from siftline.contracts.errors import InputError, RecipeError, nearest
from siftline.contracts.examples import hashes
from siftline.contracts.printable import encodable
from siftline.pipelines.ingestion.blocks import Block, records
from siftline.pipelines.ingestion.column_reading import ColumnReader
from siftline.pipelines.ingestion.detection import EXPECTED, Shapes, head_and_rest
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.plain_columns import KnownColumns
from siftline.pipelines.ingestion.plain_rows import PlainRows
from siftline.pipelines.ingestion.repair import Notes, remedies
from siftline.pipelines.ingestion.rows import BadRow, Record, raw_of
from siftline.pipelines.ingestion.shapes import Draft, is_shaped, to_drafts
from siftline.pipelines.ingestion.unused import Unused
from siftline.pipelines.ingestion.values import TOO_DEEP, BadRecordError
from siftline.pipelines.ingestion.writing import Quarantine, Shards

_MOST_COLUMNS = 10_000  # are remembered of a source whose columns are mapped


class Taking:
    """Takes what was read of inputs: examples into shards, other rows into quarantine."""

    def __init__(
        self,
        shards: Shards,
        quarantine: Quarantine,
        reading: Executor,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._shards, self._quarantine, self._reading = shards, quarantine, reading
        self._on_progress = on_progress

    def input(
        self,
        item: Input,
        named: Iterable[tuple[str, Iterator[Record | Block]]],
        count: Counter[str],
    ) -> tuple[str, ...]:
        """Take the rows of an input.

        Args:
            item: The input.
            named: Its files, by name.
            count: Of its source, to which they are added.

        Returns:
            Sentences about columns that the prompt may need.
        """
        columns: set[str] = set()
        notes, unused = Notes(item.repair), Unused()
        files: list[tuple[str, int]] = []  # and the rows of each
        for name, items in named:
            count["files"] += 1
            before = count["rows"]
            noticed = _noticed(records(items), item, columns) if item.columns else items
            for part in _outcomes(noticed, item, name, notes, self._reading):
                if isinstance(part, PlainRows):
                    self._plain(part, unused, count)
                else:
                    self._row(part, item.source, name, notes, unused, count)
            files.append((name, count["rows"] - before))
        _check_rows(item, files)
        _check_columns(item, columns)
        return unused.warnings()

    def _plain(self, rows: PlainRows, unused: Unused, count: Counter[str]) -> None:
        number = len(rows.examples)
        for kind in ("rows", "used", "examples"):
            count[kind] += number
        if self._on_progress:
            self._on_progress(number)
        unused.see_plain(rows)
        self._shards.add_plain(rows)

    def _row(
        self,
        row: tuple[int, BadRow | list[Draft]],
        source: str,
        name: str,
        notes: Notes,
        unused: Unused,
        count: Counter[str],
    ) -> None:
        number, outcome = row
        count["rows"] += 1
        if self._on_progress:
            self._on_progress(1)
        if isinstance(outcome, BadRow):
            count[f"bad {outcome.reason}"] += 1
            count.update(f"repairable {each}" for each in remedies(outcome.detail))
            self._quarantine.add(source, name, number, outcome)
            return
        count["used"] += 1
        if noted := notes.taken():
            count.update(noted)
        unused.see(notes, outcome[0].messages)
        for draft in outcome:
            count["examples"] += 1
            self._shards.add(_example(draft, source, name, number))


def _noticed(records: Iterator[Record], item: Input, columns: set[str]) -> Iterator[Record]:
    """Yield records, and note the names of their columns."""
    for record in records:
        if isinstance(record.value, dict) and len(columns) < _MOST_COLUMNS:
            columns.update(record.value)
        yield record


def _check_rows(item: Input, files: Sequence[tuple[str, int]]) -> None:
    """Check that an input holds rows, and name a file of it that holds none.

    Raises:
        InputError: None of its files holds a row.
    """
    empty = [name for name, rows in files if not rows]
    if len(empty) == len(files):
        raise InputError(
            f"Input '{item.path or item.hub}' holds no row; expected at least one. Take it out."
        )
    if empty:
        more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
        have = "have" if more else "has"
        progress.warn(
            f"'{encodable(empty[0])}'{more}, of the {len(files):,} files of "
            f"'{encodable(item.path or '')}', {have} no row; the others are read."
        )


def _check_columns(item: Input, columns: set[str]) -> None:
    """Check that every column that the recipe maps is one of the input's.

    Raises:
        RecipeError: No row has it, so another column would have been read in its place.
    """
    for field, column in item.columns.items():
        # Without a row that can be read there is nothing to compare with: that is another error.
        if columns and column not in columns and len(columns) < _MOST_COLUMNS:
            raise RecipeError(
                f"columns.{field}: no row of the source '{item.source}' has the column '{column}'."
                f"{nearest(column, columns)}"
            )


def _outcomes(
    items: Iterator[Record | Block], item: Input, name: str, notes: Notes, reading: Executor
) -> Iterator[tuple[int, BadRow | list[Draft]] | PlainRows]:
    """Yield plain rows in columns, and other rows by number: their examples, or what is wrong."""
    head, rest = head_and_rest(items)
    if not head:
        return
    shapes = Shapes(head, item, name)
    known = KnownColumns(item, shapes.usual)
    for record in head:
        if not isinstance(record.value, BadRow):
            known.see(record.value)
    reader = ColumnReader(item, name, known, reading)
    for part in itertools.chain(head, reader.read(rest)):
        if isinstance(part, PlainRows):
            yield part
            continue
        number, value = part
        notes.clear()
        yield number, value if isinstance(value, BadRow) else _outcome(value, shapes, item, notes)


def _outcome(
    value: dict[str, Any], shapes: Shapes, item: Input, notes: Notes
) -> BadRow | list[Draft]:
    shape = shapes.of(value)
    try:
        return to_drafts(value, shape, item, notes)
    except BadRecordError as error:
        detail = str(error)
        if error.reason == "missing_field" and not is_shaped(value, shape, item.columns):
            columns = ", ".join(f"'{key}'" for key, held in value.items() if held is not None)
            got = f"got the columns {columns}" if columns else "got no column that holds something"
            detail += f"; {got}, expected {EXPECTED}"
        return BadRow(error.reason, detail, raw_of(value))
    except RecursionError:
        return BadRow("wrong_type", TOO_DEEP, raw_of(value))


def _example(draft: Draft, source: str, name: str, number: int) -> dict[str, Any]:
    digest, prompt = hashes(draft.messages, draft.tools, draft.media)
    return {
        "id": draft.id or digest,
        "content_hash": digest,
        "prompt_id": prompt,
        "messages": draft.messages,
        "tools": draft.tools,
        "media": draft.media,
        "source": source,
        "task": draft.task,
        "origin": draft.origin,
        "metadata": draft.metadata,
        "file": name,
        "row": number,
    }
