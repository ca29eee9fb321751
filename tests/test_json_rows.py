"""JSON arrays and JSON lines as streams: nothing crashes, nothing is lost, nothing grows."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.pipelines.ingestion import json_cutting, json_rows
from siftline.pipelines.ingestion.json_rows import read_json
from siftline.pipelines.ingestion.rows import BadRow, BrokenFileError

LIMIT = 1 << 20


def read(data: bytes | str, limit: int = LIMIT) -> list[dict[str, Any] | BadRow]:
    raw = data.encode() if isinstance(data, str) else data
    return list(read_json(lambda: io.BytesIO(raw), limit, is_row=lambda row: False))


def reasons(rows: list[dict[str, Any] | BadRow]) -> list[str | None]:
    return [row.reason if isinstance(row, BadRow) else None for row in rows]


def test_an_array_and_lines_hold_the_same_rows() -> None:
    rows = [{"a": 'x"]}\\'}, {"b": [1, {"c": "é,["}]}, {}]
    assert read(json.dumps(rows)) == rows
    assert read(json.dumps(rows, indent=3, ensure_ascii=False)) == rows
    assert read("\n".join(json.dumps(row) for row in rows)) == rows
    assert read("\n\n \r\n" + "\r\n".join(json.dumps(row) for row in rows) + "\n\n") == rows


@pytest.mark.parametrize("text", ['[{"a": 1}]', '{"a": 1}\n', '  \n [ {"a": 1} ]  \n'])
def test_a_byte_order_mark_is_no_row(text: str) -> None:
    assert read(b"\xef\xbb\xbf" + text.encode()) == [{"a": 1}]


@pytest.mark.parametrize("text", ["", " \n", "[]", " [ ] \n", "\ufeff"])
def test_nothing_is_nothing(text: str) -> None:
    assert read(text) == []


rows_strategy = st.lists(
    st.dictionaries(st.text(), st.recursive(st.text() | st.none(), st.lists, max_leaves=4)),
    max_size=6,
)


@given(rows_strategy, st.integers(1, 9), st.booleans(), st.booleans())
def test_the_borders_of_chunks_do_not_matter(
    rows: list[dict[str, Any]], size: int, array: bool, ascii_only: bool
) -> None:
    texts = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    text = f"[{', '.join(texts)}]" if array else "\n".join(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "CHUNK_BYTES", size)
        assert read(text.encode("utf-8", "surrogatepass")) == rows


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_as_lines_keep_their_number(data: bytes, limit: int) -> None:
    data = b" " + data.lstrip(b" \t\r\n\x0b\x0c[\xef")  # so that it is no array
    expected = sum(bool(line.strip()) for line in data.split(b"\n"))
    assert len(read(data, limit)) == expected


@given(st.text('{}[]",:\\a \n', max_size=80), st.integers(1, 30), st.integers(1, 9))
def test_any_array_is_read_or_refused(text: str, limit: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "CHUNK_BYTES", size)
        try:
            pieces = read("[" + text, limit)
        except BrokenFileError:
            return
        assert all(isinstance(piece, BadRow | dict) for piece in pieces)


def test_a_broken_row_costs_one_row() -> None:
    rows = read('[{"a": 1}, {"a": tru}, 7, {"a": 2}}, {"a" 3}, {"a": 4}]')
    assert reasons(rows) == [
        None,
        "invalid_json",
        "not_an_object",
        "invalid_json",
        "invalid_json",
        None,
    ]
    bad = rows[1]
    assert isinstance(bad, BadRow)
    assert bad.raw == '{"a": tru}'


@pytest.mark.parametrize("broken", ['{"a": 2', '{"a": "2}', '{"a": [2}', '{"a": "5" tall"}'])
def test_rows_that_a_broken_one_swallows_are_taken_back(broken: str) -> None:
    rows = read(f'[{{"a": 0}},\n{{"a": 1}},\n{broken},\n{{"a": 3}},\n{{"a": 4}}]')
    values = [row["a"] for row in rows if isinstance(row, dict)]
    assert values == [0, 1, 3, 4]
    assert reasons(rows).count("invalid_json") == 1


def test_pieces_of_a_row_are_not_taken_for_rows() -> None:
    rows = read('[{"turns": [{"from": "a"}, {"from": "b"}]}, {"turns": [{"from": "c"}, {"from": 1}')
    assert reasons(rows) == [None, "invalid_json"]


def test_a_truncated_array_loses_its_last_row_only() -> None:
    whole = json.dumps([{"a": n} for n in range(100)])
    rows = read(whole[:-4])
    assert reasons(rows) == [None] * 99 + ["invalid_json"]


def test_an_array_that_ends_in_the_dark_is_refused() -> None:
    with pytest.raises(BrokenFileError, match="max_row_bytes"):
        read('[{"a": 1}, {"a": "' + "x" * 100, limit=50)


@pytest.mark.parametrize("tail", ['{"a": 2}', '[{"a": 2}]', ', {"a": 3}]'])
def test_an_array_that_goes_on_after_its_end_is_refused(tail: str) -> None:
    with pytest.raises(BrokenFileError, match="goes on after its closing bracket"):
        read('[{"a": 1}] ' + tail)


@pytest.mark.parametrize("chunk", [7, 1 << 18])
def test_a_row_over_the_limit_costs_one_row(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", chunk)
    texts = ['{"a": 1}', '{"a": "%s"}' % ("x\\" + '"' * 99), '{"a": 2}']
    for text in (f"[{','.join(texts)}]", "\n".join(texts)):
        rows = read(text, limit=40)
        assert reasons(rows) == [None, "too_large", None]
        bad = rows[1]
        assert isinstance(bad, BadRow)
        assert texts[1].startswith(bad.raw[:40])


def test_memory_is_bounded_by_the_limit() -> None:
    cutter = json_cutting.Cutter(100)
    cutter.feed(b'{"a": "')
    for _ in range(1000):
        cutter.feed(b"x" * 1000)
        assert len(cutter.rest) < 10


@given(st.text('{}[]",\\a', max_size=60), st.integers(1, 7), st.sampled_from(["array", "nothing"]))
def test_what_is_passed_at_once_is_cut_like_what_is_passed_token_by_token(
    text: str, size: int, inside: json_cutting.Inside
) -> None:
    """A chunk of one byte holds no whole list, object or string."""
    data = text.encode()

    def cut(size: int) -> tuple[list[bytes], bool, bytes]:
        cutter = json_cutting.Cutter(LIMIT, inside)
        pieces = []
        for start in range(0, len(data), size):
            if not cutter.closed:
                pieces += cutter.feed(data[start : start + size])
        rest = b"" if cutter.closed else cutter.rest
        for piece in pieces:
            assert data[piece.begins :].startswith(piece.raw)
        return [piece.raw for piece in pieces], cutter.closed, rest.strip()

    assert cut(1) == cut(size) == cut(len(data) or 1)


@pytest.mark.parametrize("deep", ["[", '{"a":', "[" * 9 + "1" + "]" * 9 + ",", '["\\"', '{"a'])
def test_text_that_is_hard_to_cut_takes_time_in_step_with_its_length(deep: str) -> None:
    """Were a pattern tried in two ways, this would never end."""
    rows = read("[" + deep * (200_000 // len(deep)))
    assert all(isinstance(row, BadRow) for row in rows)


def test_bytes_that_are_not_utf8_are_shown_escaped() -> None:
    rows = read(b'{"a": "\xff"}\n{"a": 1}\n')
    assert reasons(rows) == ["invalid_utf8", None]
    bad = rows[0]
    assert isinstance(bad, BadRow)
    assert bad.raw == '{"a": "\\xff"}'


def test_nesting_without_end_is_a_bad_row() -> None:
    assert reasons(read('{"a": ' + "[" * 100_000 + "\n")) == ["invalid_json"]


def test_a_key_that_stands_twice_among_very_many_is_named() -> None:
    pairs = ", ".join(f'"{number}": 1' for number in range(60_000))
    (row,) = read_json(lambda: io.BytesIO(f'{{{pairs}, "7": 2}}'.encode()), 1 << 20)
    assert isinstance(row, BadRow)
    assert (row.reason, "'7'" in row.detail) == ("repeated_key", True)


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": 1},', '[{"a": 1}, \n', '{"data": [{"a": 1}'])
def test_an_array_that_was_cut_between_two_rows_says_so(text: str) -> None:
    *rows, bad = read_json(lambda: io.BytesIO(text.encode()), LIMIT, is_row=lambda row: "a" in row)
    assert isinstance(bad, BadRow)
    assert bad.reason == "invalid_json"
    if text.startswith("["):
        assert rows == [{"a": 1}]
        assert bad.detail == "the array ends without its closing bracket"
