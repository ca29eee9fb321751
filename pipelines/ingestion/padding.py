"""Objects of a columnar file as the data had them: padding goes, and JSON is what it stands for.

All objects of an Arrow column have the same fields, so a call without the argument `city` comes
back with `city: null`. JSON says what it means: there a null was written by somebody, and stays,
also in a column of the type `arrow.json`, which is how our own datasets hold calls and parts.
"""

import functools
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from siftline.pipelines.ingestion.values import json_value

Clean = Callable[[Any], Any]

_LISTS = (
    *(pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
    *(pa.types.is_list_view, pa.types.is_large_list_view),
)


def without_padding(row: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """Return a row without the nulls inside its objects, and with the objects of its JSON.

    Args:
        row: Of a columnar file, as Python has it.
        schema: Of the file.

    Raises:
        BadRecordError: `repeated_key`, in some JSON.
    """
    cleaners = cleaners_of(schema)
    return row | {name: clean(row[name]) for name, clean in cleaners if name in row}


def cleaners_of(schema: pa.Schema) -> tuple[tuple[str, Clean], ...]:
    """Return what makes the values of each column those of the data, by its name."""
    return _cleaners_of(schema.remove_metadata())  # with which older pyarrow cannot hash it


@functools.lru_cache(maxsize=64)
def _cleaners_of(schema: pa.Schema) -> tuple[tuple[str, Clean], ...]:
    found = ((field.name, _cleaner(field.type)) for field in schema)
    return tuple((name, clean) for name, clean in found if clean)


def _cleaner(kind: pa.DataType) -> Clean | None:
    """Return what makes values of a type those of the data; None where they are."""
    if isinstance(kind, pa.JsonType):
        return json_value
    if pa.types.is_struct(kind):
        inner = {field.name: _cleaner(field.type) for field in kind}
        return functools.partial(_clean_object, {k: clean for k, clean in inner.items() if clean})
    if any(is_list(kind) for is_list in _LISTS):
        entry = _cleaner(kind.value_type)
        return functools.partial(_clean_list, entry) if entry else None
    if pa.types.is_map(kind):
        return functools.partial(_clean_map, _cleaner(kind.item_type))
    return None


def _clean_object(inner: dict[str, Clean], value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {name: entry for name, entry in value.items() if entry is not None}
    return kept | {name: clean(kept[name]) for name, clean in inner.items() if name in kept}


def _clean_list(entry: Clean, value: Any) -> Any:
    return [entry(each) for each in value] if isinstance(value, list) else value


def _clean_map(entry: Clean | None, value: Any) -> Any:
    """Return a map as an object, or as pairs where its keys are no texts or one stands twice.

    The keys of a map are data, and so are the nulls beside them; its objects are padded.
    """
    if not isinstance(value, list):
        return value
    pairs = [(key, entry(each) if entry else each) for key, each in value]
    if not all(isinstance(key, str) for key, _ in pairs):
        return pairs
    found = dict(pairs)
    return found if len(found) == len(pairs) else pairs
