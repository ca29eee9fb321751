"""Whether the arguments of a call fit the JSON schema of its tool.

Both come from the data, so a schema is text that nobody has vouched for. The library `jsonschema`
reads it, without what a hostile one could use: nothing is fetched, so a reference leads to another
place of the same schema or nowhere; patterns are matched by RE2, Arrow's engine, whose time is
linear, and one that it cannot read is passed over; formats and `unevaluated*` are not checked; and
a check ends after a number of steps. Keys are sorted first, since their order is no part of a row.
"""

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jsonschema import (
    Draft3Validator,
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from jsonschema.exceptions import UnknownType, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from siftline.contracts.printable import encodable

# Of keywords, each weighed by the length of what it looks at; large schemas of public servers take
# some thousands. A second at most.
MOST_STEPS = 200_000
MOST_LEVELS = 40  # of brackets, in a schema and in arguments: Python's stack holds twice as many
_NOWHERE = "points to what is not in it"
_CACHED = 4096  # schemas that are kept ready; a dataset has thousands of rows for each of its tools

_Keyword = Callable[[Any, Any, Any, Any], Any]
_left: ContextVar[list[int]] = ContextVar("steps that are left")


class UnusableSchemaError(Exception):
    """A schema that is none, or that cannot be followed to its end; the message says why."""


def broken_by(schema: Any, arguments: dict[str, Any]) -> str | None:
    """Return where arguments break a schema, and by which keyword: `town: required`.

    Args:
        schema: As the tool gives it.
        arguments: Of a call.

    Returns:
        The first place in the order of names; None where they fit.

    Raises:
        UnusableSchemaError: The schema is no valid JSON schema, points outside of itself, or takes
            too many steps.
    """
    ready = _ready(json.dumps(schema, sort_keys=True))
    if isinstance(ready, str):
        raise UnusableSchemaError(ready)
    found = _errors(ready, json.loads(json.dumps(arguments, sort_keys=True)))
    return min(found, default=None)


@functools.lru_cache(_CACHED)
def _ready(text: str) -> Any:
    """Return a validator for a schema, or why there is none."""
    schema = json.loads(text)
    if not isinstance(schema, dict | bool):
        return "is no object"
    stated = _BY_ADDRESS.get(_stated(schema).rstrip("#"))
    reasons = []
    for dialect in _GUESSED if stated is None else (stated,):
        try:
            meta = dialect(dialect.META_SCHEMA)
            faults = _errors(meta, schema)
        except UnusableSchemaError as error:
            return str(error)
        if not faults:
            return dialect(_undeclared(schema), registry=Registry())
        reasons.append(min(faults))
    return f"is no valid one at {reasons[0]}"


def _stated(schema: Any) -> str:
    return str(schema.get("$schema", "")) if isinstance(schema, dict) else ""


def _undeclared(schema: Any) -> Any:
    """Return a schema that names no dialect: the library would go on with its own, unbounded."""
    if isinstance(schema, dict):
        return {
            key: _undeclared(value)
            for key, value in schema.items()
            if key != "$schema" or not isinstance(value, str)
        }
    return [_undeclared(each) for each in schema] if isinstance(schema, list) else schema


def _errors(validator: Validator, instance: Any) -> list[str]:
    """Return all places at which something breaks a schema.

    Raises:
        UnusableSchemaError: The schema cannot be followed to its end.
    """
    if _too_deep(instance):
        raise UnusableSchemaError("goes too deep")
    token = _left.set([MOST_STEPS])
    try:
        return [_place(error) for error in validator.iter_errors(instance)]
    except _TooManyStepsError:
        raise UnusableSchemaError(f"takes more than {MOST_STEPS:,} steps") from None
    except RecursionError:
        raise UnusableSchemaError("goes too deep") from None
    except Unresolvable:
        raise UnusableSchemaError(_NOWHERE) from None
    except UnknownType as error:
        raise UnusableSchemaError(f"names the type '{error.type}'") from None
    except (ArithmeticError, ValueError, TypeError, AttributeError, LookupError):
        # Numbers that cannot be compared; references into parts that no dialect vouches for.
        raise UnusableSchemaError("cannot be read") from None
    finally:
        _left.reset(token)


def _place(error: ValidationError) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    return f"{path or 'arguments'}: {error.validator or 'false'}"


def _too_deep(value: Any) -> bool:
    """Return whether a value has more levels than may be; a stack of another size decides nothing.

    What remains for the stack are references that lead to themselves.
    """
    layer = [value]
    for _ in range(MOST_LEVELS + 1):
        layer = [each for held in layer for each in _inside(held)]
        if not layer:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class _TooManyStepsError(Exception):
    """A check has taken all its steps."""


def _counted(keyword: _Keyword) -> _Keyword:
    """Return a keyword that takes steps: one, and the length of what it looks at."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        left = _left.get()
        left[0] -= 1 + _length(value) + _length(instance)
        if left[0] < 0:
            raise _TooManyStepsError
        yield from keyword(validator, value, instance, schema) or ()

    return check


def _length(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _matches(pattern: str, text: str) -> bool | None:
    """Return whether a pattern is found in a text; None for one that RE2 does not know."""
    try:
        scalar = pa.scalar(encodable(text))
        return bool(pc.match_substring_regex(scalar, pattern=encodable(pattern)).as_py())
    except pa.ArrowInvalid:
        return None


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and _matches(pattern, instance) is False:
        yield ValidationError("pattern")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, subschema in patterns.items():
            for key, value in instance.items():
                if _matches(pattern, key):
                    yield from validator.descend(value, subschema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Any
) -> Iterator[Any]:
    """Hold the names that no other keyword speaks of to a schema; an unknown pattern may be any."""
    if not isinstance(instance, dict):
        return
    for key, value in instance.items():
        others = schema.get("patternProperties", {})
        if key in schema.get("properties", {}) or any(
            _matches(pattern, key) in (True, None) for pattern in others
        ):
            continue
        if allowed is False:
            yield ValidationError("additionalProperties", path=[key])
        else:
            yield from validator.descend(value, allowed, path=key)


def _required(validator: Any, names: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for name in names:
            if name not in instance:
                yield ValidationError("required", path=[name])


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if wanted and isinstance(instance, list):
        texts = {json.dumps(item, sort_keys=True) for item in instance}
        if len(texts) < len(instance):
            yield ValidationError("uniqueItems")


def _type(of_dialect: _Keyword) -> _Keyword:
    """Return the keyword `type`, with OpenAPI's `nullable` beside it."""

    def check(validator: Any, types: Any, instance: Any, schema: Any) -> Any:
        if instance is None and schema.get("nullable") is True:
            return ()
        return of_dialect(validator, types, instance, schema)

    return check


def _reference(of_dialect: _Keyword) -> _Keyword:
    """Return the keyword `$ref`, which Draft 4 lets be anything."""

    def check(validator: Any, place: Any, instance: Any, schema: Any) -> Any:
        if not isinstance(place, str):
            raise UnusableSchemaError(_NOWHERE)
        return of_dialect(validator, place, instance, schema)

    return check


def _bounded(dialect: Any) -> Any:
    """Return a dialect without what a hostile schema could use."""
    ours = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "required": _required,
        "uniqueItems": _unique_items,
        "$ref": _reference(dialect.VALIDATORS["$ref"]),
        "type": _type(dialect.VALIDATORS["type"]),
        "format": lambda *given: (),
        "unevaluatedProperties": lambda *given: (),
        "unevaluatedItems": lambda *given: (),
    }
    keywords = {
        name: _counted(ours.get(name, keyword)) for name, keyword in dialect.VALIDATORS.items()
    }
    return extend(dialect, keywords)


_BY_ADDRESS = {
    dialect.META_SCHEMA["$schema"].rstrip("#"): _bounded(dialect)
    for dialect in (
        Draft202012Validator,
        Draft201909Validator,
        Draft7Validator,
        Draft6Validator,
        Draft4Validator,
        Draft3Validator,
    )
}
# A schema that names no dialect is read in the newest one in which it is valid: tuples as `items`
# are Draft 7, `exclusiveMinimum: true` is Draft 4, and `required: true` inside a property Draft 3.
_GUESSED = tuple(
    _BY_ADDRESS[address]
    for address in (
        "https://json-schema.org/draft/2020-12/schema",
        "http://json-schema.org/draft-07/schema",
        "http://json-schema.org/draft-04/schema",
        "http://json-schema.org/draft-03/schema",
    )
)
