"""Schemas are text of the data: read in every dialect, and harmless whatever they hold."""

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.scorers.schemas import MOST_LEVELS, UnusableSchemaError, broken_by

Schema = dict[str, Any]


def about(argument: Any) -> Schema:
    return {"type": "object", "properties": {"a": argument}}


@pytest.mark.parametrize(
    ("schema", "arguments", "place"),
    [
        (about({"type": "integer"}), {"a": 1}, None),
        (about({"type": "integer"}), {"a": True}, "a: type"),
        (about({"$ref": "#/$defs/x"}) | {"$defs": {"x": {"const": 1}}}, {"a": 2}, "a: const"),
        (about({"$ref": "#"}), {"a": {"a": {"a": 1}}}, "a.a.a: type"),
        (about({"anyOf": [{"type": "string"}, {"type": "null"}]}), {"a": 1}, "a: anyOf"),
        (about({"pattern": "^[a-z]+$"}), {"a": "A"}, "a: pattern"),
        (about({"pattern": "^[a-z]+$"}), {"a": "a\n"}, "a: pattern"),  # as ECMAScript reads it
        (about({"pattern": "(?=lookahead)"}), {"a": "A"}, None),  # what RE2 cannot read
        (about({"format": "ipv4"}), {"a": "no address"}, None),
        (about({"uniqueItems": True}), {"a": [{"b": 1}, {"b": 1}]}, "a: uniqueItems"),
        ({"patternProperties": {"^x-": {"type": "string"}}}, {"x-a": 1}, "x-a: type"),
        ({"patternProperties": {"^x-": {}}, "additionalProperties": False}, {"x-a": 1}, None),
        (
            {"patternProperties": {"^x-": {}}, "additionalProperties": False},
            {"a": 1},
            "a: additionalProperties",
        ),
        ({"patternProperties": {"(?=x)": {}}, "additionalProperties": False}, {"a": 1}, None),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}, "a: type"),
        # Draft 4 and Draft 3, which no schema here names.
        (about({"minimum": 0, "exclusiveMinimum": True}), {"a": 0}, "a: minimum"),
        (about({"type": "any", "required": True}), {}, "a: required"),
        # A dialect that is named is the one.
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": 1},
            {"a": 1},
            None,
        ),
        ({"$schema": "https://example.com/own", "required": ["b"]}, {"a": 1}, "b: required"),
        ({}, {"a": 1}, None),
        (True, {"a": 1}, None),
    ],
)
def test_where_arguments_break_a_schema(schema: Any, arguments: Schema, place: str | None) -> None:
    assert broken_by(schema, arguments) == place


def test_the_order_of_keys_decides_nothing() -> None:
    properties = {"b": {"type": "string"}, "a": {"type": "string"}}
    forward: Schema = {"required": ["c"], "properties": properties}
    backward = {"properties": dict(reversed(properties.items())), "required": ["c"]}
    assert (
        broken_by(forward, {"a": 1, "b": 1}) == broken_by(backward, {"b": 1, "a": 1}) == "a: type"
    )


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


EXPLOSION = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}


@pytest.mark.parametrize(
    ("schema", "arguments", "reason"),
    [
        ({"$ref": "#"}, {}, "goes too deep"),
        ({"$defs": EXPLOSION | {"d60": {}}, "$ref": "#/$defs/d0"}, {}, "takes more than"),
        (
            about({"items": {"enum": list(range(5_000))}}),
            {"a": [-1] * 5_000},
            "takes more than",
        ),
        (about({}), nested(MOST_LEVELS + 1), "goes too deep"),
        (about(nested(MOST_LEVELS + 1)), {}, "goes too deep"),
        (about({"$ref": "#/$defs/none"}), {"a": 1}, "points to what is not in it"),
        (about({"$ref": "file:///etc/hostname"}), {"a": 1}, "points to what is not in it"),
        (about({"$ref": "http://[::1"}), {"a": 1}, "points to what is not in it"),
        (about({"type": "dict"}), {"a": 1}, "names the type 'dict'"),
        (about({"multipleOf": 0.5}), {"a": float("nan")}, "cannot be read"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "$ref": {}}, {}, "points to"),
        (["a"], {}, "is no object"),
        ({"required": "a"}, {}, "is no valid one at required: type"),
    ],
)
def test_a_schema_that_cannot_be_used(schema: Any, arguments: Schema, reason: str) -> None:
    with pytest.raises(UnusableSchemaError, match=reason):
        broken_by(schema, arguments)


@pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", None])
@pytest.mark.parametrize(
    "argument",
    [
        {"pattern": "^(a+)+$"},
        {"propertyNames": {"pattern": "^(a+)+$"}},
        {"patternProperties": {"^(a+)+$": True}, "additionalProperties": False},
        {"patternProperties": {"^(a+)+$": True}, "unevaluatedProperties": False},
    ],
)
def test_a_pattern_that_backtracks_does_not(argument: Schema, dialect: str | None) -> None:
    """In Python's own engine each of these takes longer than the universe has been there.

    A dialect that is named inside of a schema must not bring that engine back.
    """
    text = "a" * 200 + "!"
    held = {**argument, **({"$schema": dialect} if dialect else {})}
    broken_by(about(held), {"a": text})
    broken_by(about(held), {"a": {text: 1}})


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> None:
        raise AssertionError(f"a connection to {given}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for address in ("http://example.com/a.json", "https://example.com/a.json#/b"):
        with pytest.raises(UnusableSchemaError, match="points to what is not in it"):
            broken_by(about({"$ref": address}), {"a": 1})
        broken_by({"$schema": address, "$id": address}, {"a": 1})


KEYWORDS = st.sampled_from(
    [
        "type",
        "$ref",
        "$id",
        "$schema",
        "$defs",
        "$dynamicRef",
        "properties",
        "items",
        "required",
        "enum",
        "pattern",
        "allOf",
        "definitions",
        "dependencies",
        "multipleOf",
        "minimum",
        "not",
        "a",
    ]
)
SCALARS = st.sampled_from(
    [None, True, 0, -1, 10**400, 1e308, float("nan"), "", "a", "#", "#/a", "string", "(", "\ud800"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYWORDS, inner, max_size=3),
    max_leaves=12,
)


@given(schema=VALUES, arguments=st.dictionaries(st.sampled_from(["a", "type"]), VALUES, max_size=2))
def test_whatever_a_schema_is_there_is_an_answer(schema: Any, arguments: Schema) -> None:
    try:
        place = broken_by(schema, arguments)
    except UnusableSchemaError:
        return
    assert place is None or ": " in place
