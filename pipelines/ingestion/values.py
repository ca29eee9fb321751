"""The values of a record: what counts as a text, as nothing, or as something that JSON can hold."""

import base64
import datetime
import json
from collections.abc import Iterable
from typing import Any

MOST_LEVELS = 100  # of lists and objects inside one another: far below what JSON's parser can do

TOO_DEEP = f"nested too deeply, expected at most {MOST_LEVELS} levels"

PRINTED = "'{name}' is Python's own notation of a list, expected JSON: write it with `json.dumps`"

# What pandas writes into a text column for a cell without a value. In lower case "none" is a word.
MISSING = frozenset(("nan", "NaN", "None", "null", "<NA>", "NaT"))

_KINDS = {str: "a text", bool: "a boolean", dict: "an object", list: "a list", tuple: "a list"}
_NUMBERS = (int, float)
_AS_THEY_ARE = frozenset((str, int, bool, type(None)))


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
    """Return what a value is, as messages say it."""
    if value is None:
        return "null"
    if isinstance(value, _NUMBERS) and not isinstance(value, bool):
        return f"a number ({str(value)[:40]})"
    return _KINDS.get(type(value), f"of type {type(value).__name__}")


def is_nan(value: Any) -> bool:
    """Return whether a cell is missing the way that pandas writes it."""
    return isinstance(value, float) and value != value


def unless_blank(value: Any) -> Any:
    """Return None for a text without content."""
    return None if isinstance(value, str) and not value.strip() else value


def is_missing(value: Any) -> bool:
    """Return whether a text is what pandas writes for a cell without a value."""
    return isinstance(value, str) and value in MISSING


def scalar_of(value: Any) -> str | None:
    """Return a text or a number as a text; None for anything else, and for what is empty."""
    if not isinstance(value, str | int | float) or value == "":
        return None
    return str(value) if is_text(str(value)) else None


def take_first(fields: dict[str, Any], names: Iterable[str]) -> str | None:
    """Take the first of some columns that holds a text.

    Raises:
        BadRecordError: `lone_surrogate`.
    """
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            check_text(value)
            del fields[name]
            return value
    return None


def parsed(text: str) -> Any:
    """Parse JSON.

    Raises:
        BadRecordError: `repeated_key`, since one of two values would be lost.
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    return JSON.decode(text)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for twice, _ in pairs:
            if twice in seen:
                break
            seen.add(twice)
        detail = f"the key '{twice}' stands twice in one object, and one value would be lost"
        raise BadRecordError("repeated_key", detail)
    return members


JSON = json.JSONDecoder(object_pairs_hook=_distinct)


def json_value(value: Any) -> Any:
    """Return what a text that is JSON stands for, and anything else as JSON can hold it."""
    if not isinstance(value, str):
        return plain(value)
    try:
        return plain(parsed(value))
    except (ValueError, RecursionError):
        return value


def as_json(text: str) -> Any:
    """Return what a text is the JSON of; None for any other text, which nothing is wrong with.

    Raises:
        BadRecordError: `repeated_key`; it is JSON but for that.
    """
    try:
        return plain(parsed(text))
    except (ValueError, RecursionError):
        return None
    except BadRecordError:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return None
        raise


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: dates in ISO form, bytes in base64."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, dict):
        return {
            key if type(key) is str else str(key): e if type(e) in _AS_THEY_ARE else plain(e)
            for key, e in value.items()
        }
    if isinstance(value, list | tuple):
        return [e if type(e) in _AS_THEY_ARE else plain(e) for e in value]
    return _plain_value(value)


def _plain_value(value: Any) -> Any:
    """Return a value that is neither a list nor an object as JSON can hold it."""
    if isinstance(value, StoredAsBytes):
        value = value.encode()
    if isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def is_text(text: str) -> bool:
    """Return whether a text can be stored as UTF-8: half of a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(text: str) -> None:
    """Check that a text can be stored as UTF-8.

    Raises:
        BadRecordError: `lone_surrogate`.
    """
    if not is_text(text):
        raise BadRecordError("lone_surrogate", "half of a surrogate pair")


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_encode_in_order = json.JSONEncoder(ensure_ascii=False).encode


def sorted_json(value: dict[str, Any]) -> str:
    """Return the JSON of an object with its keys in order, once it is checked.

    Raises:
        BadRecordError: `lone_surrogate`, or `wrong_type` where it is nested too deeply.
    """
    if not value:
        return "{}"
    return _checked(value, _encode(value))


def json_text(value: Any) -> str | None:
    """Return the JSON of what is there, once it is checked; None for nothing.

    Raises:
        BadRecordError: `lone_surrogate`, or `wrong_type` where it is nested too deeply.
    """
    return _checked(value, _encode_in_order(value)) if value else None


def _checked(value: Any, text: str) -> str:
    check_levels(value)
    check_text(text)
    return text


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
        if isinstance(entry, dict | list):
            check_levels(entry, left - 1)
