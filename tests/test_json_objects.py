"""JSON that is neither lines nor an array: objects over several lines, and one around a list."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.pipelines.ingestion import json_rows
from siftline.pipelines.ingestion.json_rows import read_json
from siftline.pipelines.ingestion.rows import BadRow, BrokenFileError
from siftline.pipelines.ingestion.shapes import detect

ROWS = [{"instruction": f"q{n} {{[", "output": f'"a{n}"]}}', "x": {"y": [n, {}]}} for n in range(4)]
CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


def is_row(row: dict[str, Any]) -> bool:
    return detect(row, {}) is not None


def read(text: str, limit: int = 1 << 20) -> list[dict[str, Any] | BadRow]:
    return list(read_json(lambda: io.BytesIO(text.encode()), limit, is_row=is_row, name="a.json"))


def pretty(rows: list[Any], between: str = "\n") -> str:
    return between.join(json.dumps(row, indent=2) for row in rows)


@pytest.mark.parametrize("between", ["\n", "\n\n", ",\n", "\r\n", "\n\ufeff", "", " , "])
@pytest.mark.parametrize("chunk", [5, 1 << 18])
def test_objects_over_several_lines(
    monkeypatch: pytest.MonkeyPatch, between: str, chunk: int
) -> None:
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", chunk)
    assert read(pretty(ROWS, between)) == ROWS
    assert read("\ufeff\n " + pretty(ROWS, between) + "\n") == ROWS
    assert read(pretty(ROWS[:1])) == ROWS[:1]


def test_a_broken_object_over_several_lines_costs_one_row() -> None:
    texts = [json.dumps(row, indent=2) for row in ROWS]
    for broken in (texts[2].replace('"output":', "output"), texts[2][:-2], texts[2][:-4]):
        rows = read("\n".join([*texts[:2], broken, texts[3]]))
        assert [row for row in rows if isinstance(row, dict)] == [*ROWS[:2], ROWS[3]]
        assert [row.reason for row in rows if isinstance(row, BadRow)] == ["invalid_json"]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("key", ["data", "train", "rows"])
@pytest.mark.parametrize("limit", [200, 1 << 20])
@pytest.mark.parametrize("chunk", [7, 1 << 18])
def test_an_object_around_a_list_of_rows(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    indent: int | None,
    key: str,
    limit: int,
    chunk: int,
) -> None:
    """Also where it is larger than a row may be."""
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", chunk)
    whole = {"version": "1", "tags": ["[{"], key: ROWS, "at": {"the": "end"}}
    assert read("\ufeff " + json.dumps(whole, indent=indent) + "\n", limit) == ROWS
    assert f"its rows are the list '{key}'; 'version', 'tags', 'at' beside" in caplog.text
    caplog.clear()
    assert read(json.dumps({key: ROWS}, indent=indent), limit) == ROWS
    assert not caplog.text


def test_an_object_that_is_a_row_wraps_nothing() -> None:
    turns = CHAT["messages"]
    for row in (
        CHAT,
        {"conversations": [{"from": "human", "value": "q"}]},
        {"question": "q", "answer": "a", "history": ROWS},
        {"text": "t", "parts": [{"no": "shape"}]},
        {"data": ["q", "a"]},
        {"data": [{"from": "human", "value": "q"}]},
        {"prompt": turns, "completion": turns},
    ):
        for indent in (None, 2):
            assert read(json.dumps(row, indent=indent)) == [row]


def test_lines_are_lines_also_where_the_first_looks_like_a_wrapping() -> None:
    rows = [{"data": ROWS}, {"data": ROWS}]
    assert read("\n".join(map(json.dumps, rows))) == rows


@pytest.mark.parametrize("limit", [100, 1 << 20])
def test_two_lists_of_objects_are_an_error(limit: int) -> None:
    with pytest.raises(BrokenFileError, match="'train', 'test' of it are lists of objects"):
        read(json.dumps({"train": ROWS, "test": ROWS}), limit)


def test_a_first_line_over_the_limit_costs_one_row() -> None:
    lines = [json.dumps({"data": ROWS}), *map(json.dumps, ROWS)]
    rows = read("\n".join(lines), limit=100)
    assert isinstance(rows[0], BadRow)
    assert (rows[0].reason, rows[1:]) == ("too_large", ROWS)
    lone = read(json.dumps({"question": "q", "answer": "a" * 200}), limit=100)
    assert [row.reason for row in lone if isinstance(row, BadRow)] == ["too_large"]


def test_a_first_line_that_is_broken_costs_one_row() -> None:
    good = [json.dumps(row) for row in ROWS]
    for broken in ("{", '{"a": 1,', '{"a": "', '{"messages": [', '{"a": 1}}', '{"a" 1}'):
        rows = read("\n".join([broken, *good]))
        assert isinstance(rows[0], BadRow)
        assert (rows[0].reason, rows[1:]) == ("invalid_json", ROWS)


def test_lines_that_end_in_a_comma() -> None:
    assert read(",\n".join(map(json.dumps, ROWS)) + " , \r\n") == ROWS
    assert read(json.dumps(ROWS[0]) + ",") == ROWS[:1]


REPEATED = [
    '{"a": "first", "a": ""}',
    '{"a": 1, "b": {"c": [{"d": 1, "d": 1}]}}',
    '{"a": 1, "\\u0061": 2}',
]


@pytest.mark.parametrize("text", REPEATED)
def test_a_key_that_stands_twice_costs_its_row(text: str) -> None:
    for whole in (f'{text}\n{{"a": 1}}', f'[{text}, {{"a": 1}}]', f'{{"a": 1}}\n{text}'):
        found = [row.reason if isinstance(row, BadRow) else row for row in read(whole)]
        assert sorted(map(str, found)) == ["repeated_key", "{'a': 1}"]


@given(st.text('{}[]",:\\a \n1', max_size=80), st.integers(1, 40), st.integers(1, 9))
def test_any_object_is_read_or_refused(text: str, limit: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "CHUNK_BYTES", size)
        try:
            rows = read("{" + text, limit)
        except BrokenFileError:
            return
    assert rows
    assert all(isinstance(row, BadRow | dict) for row in rows)
