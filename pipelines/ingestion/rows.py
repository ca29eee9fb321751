"""What a reader yields for a row of a file: its number, and its value or what is wrong with it."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from siftline.pipelines.ingestion.values import TOO_DEEP

RAW_CHARS = 1 << 16  # of a bad row's text that quarantine keeps


class BadRow(NamedTuple):
    """A row that cannot be used: a reason slug, what was wrong, and its text."""

    reason: str
    detail: str
    raw: str


class Record(NamedTuple):
    """One row of a file: its number from 1, and its value or what is wrong with it."""

    number: int
    value: dict[str, Any] | BadRow


class BrokenFileError(Exception):
    """A file whose rows cannot be told apart, or that is of another kind than is read.

    Attributes:
        remedy: A sentence of what to do; empty where it is to be replaced by a whole one.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.remedy = remedy


def shown(raw: bytes) -> str:
    """Return bytes as quarantine shows them: not too long, what is not UTF-8 escaped."""
    return raw[: 4 * RAW_CHARS].decode("utf-8", errors="backslashreplace")[:RAW_CHARS]


def json_of(value: dict[str, Any]) -> str:
    """Return the JSON of a row that did not come as text; its columns where that is too deep."""
    try:
        return json.dumps(value, default=str)
    except RecursionError:
        return str(sorted(value))


def raw_of(value: dict[str, Any]) -> str:
    """Return a row that did not come as text as quarantine shows it."""
    return json_of(value)[:RAW_CHARS]


def too_large(limit: int, raw: bytes) -> BadRow:
    """Return what quarantine gets for a row over the limit of bytes."""
    return BadRow("too_large", f"over the limit of {limit} bytes", shown(raw))


def within(value: dict[str, Any], limit: int) -> dict[str, Any] | BadRow:
    """Hold a row that did not come as text to the limit, by its size as JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return BadRow("wrong_type", TOO_DEEP, raw_of(value))
    raw = text.encode("utf-8", errors="surrogatepass")
    return value if len(raw) <= limit else too_large(limit, raw)


def check_names(names: Sequence[str]) -> None:
    """Check that each column of a table has a name of its own.

    Raises:
        BrokenFileError: Two have the same, so one would stand for the other.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            twice = (
                f"a column's name, '{name}', occurs twice" if name else "two columns have no name"
            )
            raise BrokenFileError(twice, "Give each column a name of its own.")
        seen.add(name)
