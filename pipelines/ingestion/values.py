"""The values of a record: what counts as a text, as nothing, or as something that JSON can hold."""

import base64
import datetime
import json
from collections.abc import Iterable
from typing import Any

MOST_LEVELS = 100  # of lists and objects inside one another: far below what JSON's parser can do

TOO_DEEP = f"nested too deeply, expected at most {MOST_LEVELS} levels"


class BadRecordError(Exception):
    """A record that cannot be used.

    Attributes:
        reason: A slug.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class StoredAsBytes(str):
    """A text that its file holds as bytes, as some writers do with all texts.

    Where a text is used it is one; in metadata it stays bytes, whatever these may stand for.
    """


def kind_of(value: Any) -> str:
    """Return the type of a value, as messages say it."""
    return f"of type {type(value).__name__}"


def is_nan(value: Any) -> bool:
    """Return whether a cell is missing the way that pandas writes it."""
    return isinstance(value, float) and value != value


def unless_blank(value: Any) -> Any:
    """Return None for a text without content."""
    return None if isinstance(value, str) and not value.strip() else value


def text_of(value: Any, name: str) -> str:
    """Return a value that must be a text.

    Raises:
        BadRecordError: `missing_field` or `wrong_type`.
    """
    if value is None:
        raise BadRecordError("missing_field", f"no '{name}'")
    if not isinstance(value, str):
        raise BadRecordError("wrong_type", f"'{name}' is {kind_of(value)}, expected a text")
    return value


def scalar_of(value: Any, name: str) -> str | None:
    """Return a text or a number as a text, None for an empty one.

    Raises:
        BadRecordError: `wrong_type` or `lone_surrogate`.
    """
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise BadRecordError("wrong_type", f"'{name}' is {kind_of(value)}, expected a text")
    if value == "":
        return None
    check_text(value)
    return str(value)


def take_first(fields: dict[str, Any], names: Iterable[str]) -> str | None:
    """Take the first of some columns that holds a text.

    Raises:
        BadRecordError: `lone_surrogate`.
    """
    for name in names:
        if isinstance(fields.get(name), str) and fields[name].strip():
            value: str = fields.pop(name)
            check_text(value)
            return value
    return None


def parsed(text: str) -> Any:
    """Parse JSON.

    Raises:
        BadRecordError: `repeated_key`, since one of two values would be lost.
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        detail = f"the key '{twice}' stands twice in one object, and one value would be lost"
        raise BadRecordError("repeated_key", detail)
    return members


def json_value(value: Any) -> Any:
    """Parse a text that is JSON, since Parquet often holds tools that way."""
    if not isinstance(value, str):
        return plain(value)
    try:
        return parsed(value)
    except ValueError:
        return value


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: dates in ISO form, bytes in base64."""
    if isinstance(value, StoredAsBytes):
        value = value.encode()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def check_text(value: Any) -> None:
    """Check that a value can be stored as UTF-8.

    Raises:
        BadRecordError: `lone_surrogate`.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecordError("lone_surrogate", "half of a surrogate pair") from error


def check_levels(value: Any, left: int = MOST_LEVELS) -> None:
    """Check that a value is not nested so deeply that a later reader of its JSON would fail.

    Args:
        value: As JSON holds it.
        left: Levels that it may have.

    Raises:
        BadRecordError: `wrong_type`.
    """
    if not isinstance(value, dict | list):
        return
    if not left:
        raise BadRecordError("wrong_type", TOO_DEEP)
    for entry in value.values() if isinstance(value, dict) else value:
        check_levels(entry, left - 1)
