"""Columns of text that stand beside a prompt and are part of none: a passage may be lost in one.

Dolly's `context` is known; `hint` is not, and the rows look whole without it. A column is named
where most of its values are sentences that differ from row to row, and say what the conversation
does not. What comes after the answer, such as an explanation of it, is no part of a prompt.
"""

import json
import re

import numpy as np
import pyarrow.compute as pc

from siftline.contracts.examples import Message
from siftline.contracts.printable import encodable
from siftline.pipelines.ingestion.plain_rows import PlainRows, has_content
from siftline.pipelines.ingestion.repair import Notes

_FEWEST_WORDS = 4  # of a value that is more than a category or a title
_LONG_WORDS = 12  # of one that need not differ from row to row
_SAMPLE = 200  # values of a column that are looked at
_MOST_COLUMNS = 200
_BEGINNING, _LEAST_BEGINNING = 40, 10  # characters of a turn by which a rendering of it is told
_LEAST_SHARE = 0.01  # of the rows that have the column
# Columns that say where a row is from, or what kind it is.
_KINDS = re.compile(
    "source|(data|sub)set|split|licen[sc]e|citation|url|author|model|category|type|task|topic|subject"
    "|domain|lang(uage)?|tags|keywords"
)
# Words in the names of columns that hold an answer, or speak of one.
_AFTER = re.compile(
    r"\b(answer|response|output|completion|generation|solution|label|comment|score|thought)s?\b"
    r"|\b(target|truth|gold|chosen|rejected|explanation|rationale|feedback|critique|review)\b"
    r"|\b(judge?ment|verdict|reasoning|thinking|cot)\b"
)


class _Column:
    """What is known of one column: how many rows have it, and what some of its values are."""

    def __init__(self) -> None:
        self.rows = self.seen = self.sentences = self.long = 0
        self.values: set[int] = set()

    def look(self, text: str, messages: list[Message]) -> None:
        words = len(text.split(None, _LONG_WORDS))
        self.seen += 1
        self.values.add(hash(text))
        if words >= _FEWEST_WORDS and not _is_said(text, messages):
            self.sentences += 1
            self.long += words > _LONG_WORDS

    def is_passage(self) -> bool:
        """Return whether the values read like something that a prompt may need."""
        if 2 * self.sentences < self.seen:
            return False
        return 2 * self.long >= self.seen or 10 * len(self.values) > self.seen


class Unused:
    """Looks at the columns that are left of the rows of one input."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column | None] = {}
        self._field = "input"
        self._rows, self._is_taken = 0, False

    def see(self, notes: Notes, messages: list[Message]) -> None:
        """Look at a row.

        Args:
            notes: Of the row.
            messages: Of its first example.
        """
        self._rows += 1
        for name, value in notes.rest.items():
            if type(value) is not str or (column := self._column(name)) is None:
                continue
            if not value.strip():
                continue
            column.rows += 1
            if column.seen < _SAMPLE:
                self._field = "input" if notes.has_prompt else "system"
                self._is_taken |= notes.has_passage
                column.look(value, messages)

    def see_plain(self, rows: PlainRows) -> None:
        """Look at rows that were read in columns, as at each by itself."""
        self._rows += len(rows.examples)
        texts = {name: held for name, held in rows.rest.items() if held.null_count < len(held)}
        for name in sorted(texts, key=lambda name: pc.index(texts[name].is_valid(), True).as_py()):
            if (column := self._column(name)) is None:
                continue
            said = has_content(texts[name])
            column.rows += int(np.count_nonzero(said))
            for place in np.flatnonzero(said)[: _SAMPLE - column.seen].tolist():
                self._field = "input"
                self._is_taken |= bool(rows.has_passage[place])
                column.look(texts[name][place].as_py(), rows.examples["messages"][place].as_py())

    def _column(self, name: str) -> _Column | None:
        """Return what is known of a column; None where it is not looked at."""
        if name not in self._columns and len(self._columns) < _MOST_COLUMNS:
            spelt = re.sub(r"[\W_]+", " ", name).casefold().strip()
            is_passed = _KINDS.fullmatch(spelt) or _AFTER.search(spelt)
            self._columns[name] = None if is_passed else _Column()
        return self._columns.get(name)

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each column that may be missed."""
        rows = self._rows
        place = "prompt" if self._field == "input" else "conversation"
        effect = "put it in the place of the passage that is" if self._is_taken else "add it"
        return tuple(
            f"'{encodable(name)}' ({column.rows:,} of {rows:,} rows) is not part of the {place}; "
            f"columns: {{{self._field}: {_written(name)}}} would {effect}"
            for name, column in self._columns.items()
            if column and column.rows >= max(1, _LEAST_SHARE * rows) and column.is_passage()
        )


def _is_said(text: str, messages: list[Message]) -> bool:
    """Return whether a text is in the conversation, or a rendering of its prompt."""
    text = text.strip()
    if any(text in message["content"] for message in messages):
        return True
    beginnings = [message["content"].strip()[:_BEGINNING] for message in messages[:-1]]
    return any(len(each) >= _LEAST_BEGINNING and each in text for each in beginnings)


def _written(name: str) -> str:
    """Return a column's name as a recipe can hold it."""
    if re.fullmatch(r"[A-Za-z_]\w*", name):
        return name
    return json.dumps(encodable(name), ensure_ascii=False)
