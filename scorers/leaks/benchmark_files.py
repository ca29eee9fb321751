"""Benchmarks that a recipe names, and their items: a question, an answer, and options."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from siftline.contracts.config import Config
from siftline.contracts.errors import InputError, nearest
from siftline.contracts.printable import encodable, excerpt
from siftline.scorers.leaks.benchmark_rows import file_rows, hub_rows

# The names under which questions, answers and options are looked for, in this order.
QUESTIONS = ("question", "problem", "prompt", "instruction", "query", "goal", "input", "text")
ANSWERS = ("answer", "solution", "canonical_solution", "response", "output", "target")
OPTIONS = ("options", "choices", "endings")

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Benchmark(Config):
    """A benchmark whose items must not be in the data.

    Attributes:
        name: What a match is called by: `gsm8k#12` is its twelfth row.
        path: JSONL, JSON (an array) or Parquet, plain, .gz or .zst, or a folder of `*.parquet`;
            relative to the recipe. Its content is part of the identity of the scores.
        hub: A `datasets` id, instead of `path`.
        config: Of the Hub dataset.
        split: Of the Hub dataset.
        revision: Of the Hub dataset: the commit, 40 hex digits, so that the name stands for the
            same rows for ever.
        question: Field of the question; None looks for one of the usual names.
        answer: Field of the answer; None looks for one, and goes without.
        options: Field of the options, a list or an object with one for each letter, or the fields
            that hold one option each; None looks for one of the usual names, and goes without.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")]
    path: str | None = None
    hub: str | None = None
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    question: str | None = None
    answer: str | None = None
    options: str | tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "Benchmark":
        if (self.path is None) == (self.hub is None):
            raise ValueError("expected exactly one of 'path' and 'hub'.")
        if self.hub is not None and not _COMMIT.fullmatch(self.revision or ""):
            raise ValueError(
                "expected 'revision' beside 'hub': the commit of the dataset, 40 hex digits, since "
                "a name alone may stand for other rows tomorrow. The Hub shows it under 'History'."
            )
        return self


class Item(NamedTuple):
    """One item of a benchmark.

    Attributes:
        name: The benchmark's and the number of its row, from 1, as in `gsm8k#12`.
        question: Its text.
        answer: Its text; empty where there is none, or where it is no text, such as the number of
            an option.
        options: Of a multiple-choice question.
    """

    name: str
    question: str
    answer: str = ""
    options: tuple[str, ...] = ()


def read_items(benchmark: Benchmark, base: Path) -> list[Item]:
    """Return the items of a benchmark, in order.

    Args:
        benchmark: Which.
        base: Folder that its path is relative to.

    Raises:
        InputError: It cannot be read, has no rows, or lacks a field.
    """
    rows = list(_rows(benchmark, base))
    place = benchmark.path or benchmark.hub
    if not rows:
        raise InputError(
            f"The benchmark '{place}' is empty; expected at least one row. Take it out of "
            "'benchmarks'."
        )
    fields = _Fields(benchmark, rows)
    return [
        Item(
            f"{benchmark.name}#{number}",
            fields.question(row, number),
            fields.answer(row),
            fields.options(row, number),
        )
        for number, row in enumerate(rows, start=1)
    ]


class _Fields:
    """The fields that hold what is compared, as the recipe names them or as they are found."""

    def __init__(self, benchmark: Benchmark, rows: list[dict[str, Any]]) -> None:
        self._place = benchmark.path or benchmark.hub
        self._there = tuple(dict.fromkeys(name for row in rows for name in row))
        self._question = self._found("question", benchmark.question, QUESTIONS)
        if self._question is None:
            raise InputError(
                f"The benchmark '{self._place}' has the fields {self._listed()}; expected one of "
                f"{', '.join(QUESTIONS)}. Name the one that holds the question: 'question: ...'."
            )
        self._answer = self._found("answer", benchmark.answer, ANSWERS)
        stated = benchmark.options
        if isinstance(stated, tuple):
            self._options = tuple(str(self._found("options", name, ())) for name in stated)
        else:
            one = self._found("options", stated, OPTIONS)
            self._options = () if one is None else (one,)

    def question(self, row: dict[str, Any], number: int) -> str:
        """Return the question of a row."""
        value = row.get(str(self._question))
        if not isinstance(value, str):
            raise InputError(
                f"The benchmark '{self._place}' holds {type(value).__name__} in the field "
                f"'{self._question}' of row {number}; expected the text of a question. Name "
                "another field, or mend the row."
            )
        return encodable(value)

    def answer(self, row: dict[str, Any]) -> str:
        """Return the answer of a row, where it is a text."""
        value = row.get(self._answer) if self._answer else None
        return encodable(value) if isinstance(value, str) else ""

    def options(self, row: dict[str, Any], number: int) -> tuple[str, ...]:
        """Return the options of a row; none where it has none."""
        values = [row.get(name) for name in self._options]
        if len(values) == 1:
            values = _listed_options(values[0])
        values = [value for value in values if value is not None]
        if any(isinstance(value, dict | list) for value in values):
            raise InputError(
                f"The benchmark '{self._place}' holds lists or objects as options in row {number}; "
                "expected texts. Name another field: 'options: ...'."
            )
        return tuple(encodable(str(value)) for value in values)

    def _found(self, of: str, stated: str | None, usual: Iterable[str]) -> str | None:
        """Return the field that is stated, or the first of the usual ones that is there."""
        if stated is None:
            return next((name for name in usual if name in self._there), None)
        if stated not in self._there:
            raise InputError(
                f"The benchmark '{self._place}' has no field '{stated}', which '{of}' names; "
                f"expected one of {self._listed()}.{nearest(stated, self._there)}"
            )
        return stated

    def _listed(self) -> str:
        return excerpt(encodable(", ".join(f"'{name}'" for name in self._there)))


def _listed_options(held: Any) -> list[Any]:
    """Return the options in one field: a list, one by letter, or texts beside labels, as ARC's."""
    if isinstance(held, Mapping):
        held = held["text"] if isinstance(held.get("text"), list) else list(held.values())
    return held if isinstance(held, list) else [held]


def _rows(benchmark: Benchmark, base: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a benchmark, wherever it lies."""
    if benchmark.path is not None:
        return file_rows(base / benchmark.path)
    return hub_rows(str(benchmark.hub), benchmark.config, benchmark.split, str(benchmark.revision))
