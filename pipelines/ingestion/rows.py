"""What a reader yields for a row of a file: its number, and its value or what is wrong with it."""

import json
from typing import Any, NamedTuple

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


class DamagedError(Exception):
    """A file whose rows cannot be told apart any more."""


def shown(raw: bytes) -> str:
    """Return bytes as quarantine shows them: not too long, what is not UTF-8 escaped."""
    return raw[: 4 * RAW_CHARS].decode("utf-8", errors="backslashreplace")[:RAW_CHARS]


def too_large(limit: int, raw: bytes) -> BadRow:
    """Return what quarantine gets for a row over the limit of bytes."""
    return BadRow("too_large", f"over the limit of {limit} bytes", shown(raw))


def within(value: dict[str, Any], limit: int) -> dict[str, Any] | BadRow:
    """Hold a row that did not come as text to the limit, by its size as JSON."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    raw = text.encode("utf-8", errors="surrogatepass")
    return value if len(raw) <= limit else too_large(limit, raw)
