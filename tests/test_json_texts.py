"""JSON that an exact parser and that of `datasets` read as the same values."""

import json
import math
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.pipelines.output.formats.json_texts import dumped, json_for_datasets

FLOATS = st.floats(-1e100, 1e100).filter(lambda x: x == 0 or abs(x) > 1e-100)
SHORT = st.builds(
    lambda digits, places: digits / 10**places, st.integers(0, 10**7), st.integers(0, 7)
)
VALUES = st.recursive(
    st.none() | st.booleans() | SHORT | FLOATS | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def as_datasets_reads(text: str) -> Any:
    """Read JSON with the parser that the `Json` features of `datasets` use."""
    return pd.io.json.ujson_loads(text)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_both_parsers_read_the_value(value: dict[str, Any]) -> None:
    text = json_for_datasets(value)
    if text is None:  # a spelling of some double may be beyond what is tried
        assert any(isinstance(each, float) for each in leaves(value))
        return
    assert json.loads(text) == value
    assert as_datasets_reads(text) == value


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for each in value for leaf in leaves(each)] if isinstance(value, list) else [value]


@given(SHORT)
def test_numbers_as_people_write_them_always_have_a_spelling(number: float) -> None:
    text = json_for_datasets([number])
    assert text is not None
    assert as_datasets_reads(text) == json.loads(text) == [number]
    assert type(as_datasets_reads(text)[0]) is float


@pytest.mark.parametrize(
    "text", ["{}", '{"a": 2.5, "b": [1, -7, null, true]}', '{"0.7": "0.7 and \\"0.3\\" NaN 1e999"}']
)
def test_what_is_read_right_stays_as_it_is(text: str) -> None:
    assert json_for_datasets(json.loads(text)) == text


def test_the_parser_of_datasets_is_not_exact() -> None:
    """When this fails, pandas reads numbers exactly, and `json_texts` is no longer needed."""
    assert as_datasets_reads("0.7") != 0.7
    assert json_for_datasets({"t": 0.7}) == '{"t": 700000e-6}'


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, math.nan, math.inf, -math.inf])
def test_numbers_that_no_spelling_can_save(number: float) -> None:
    assert json_for_datasets({"a": [number]}) is None


def test_half_an_emoji_stays_an_escape() -> None:
    assert dumped({"é": "\ud83d"}) == '{"\\u00e9": "\\ud83d"}'
    assert dumped({"é": "\U0001f600"}) == '{"é": "\U0001f600"}'
