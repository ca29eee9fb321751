"""What stands between the cells of a CSV file, and columns that have no name."""

import io
from typing import Any

import pytest

from siftline.pipelines.ingestion.csv_rows import read_csv
from siftline.pipelines.ingestion.readers import read_file
from siftline.pipelines.ingestion.rows import BadRow, BrokenFileError
from siftline.pipelines.ingestion.shapes import detect

ROW = {"question": "q", "answer": "a"}


def read(
    text: str, delimiter: str | None = None, columns: dict[str, str] | None = None
) -> list[Any]:
    def is_row(row: dict[str, Any]) -> bool:
        return detect(row, columns or {}) is not None

    stream = io.BytesIO(text.encode())
    return list(read_csv(stream, 1 << 20, delimiter=delimiter, is_row=is_row))


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
def test_a_header_of_known_columns_tells_what_is_between_them(delimiter: str) -> None:
    text = f"question{delimiter}answer\nq{delimiter}a\n"
    quoted = f'"question"{delimiter}"answer"\n"a, ""b""{delimiter}"{delimiter}a'
    assert read(text) == read(text, delimiter) == read("\ufeff" + text) == [ROW]
    assert read(quoted) == [{"question": f'a, "b"{delimiter}', "answer": "a"}]


def test_a_header_that_may_be_anything_is_an_error_that_says_what_to_state() -> None:
    for text, stated in (("frage;antwort\nq;a\n", '";"'), ("frage\tantwort\nq\ta\n", r'"\\t"')):
        with pytest.raises(BrokenFileError, match="its header has no comma") as caught:
            read(text)
        assert f"State `delimiter: {stated.replace(chr(92) * 2, chr(92))}`" in caught.value.remedy
        delimiter = text[5]
        assert read(text, delimiter) == [{"frage": "q", "antwort": "a"}]
        mapped = {"question": "frage", "answer": "antwort"}
        assert read(text, columns=mapped) == [{"frage": "q", "antwort": "a"}]


def test_a_mapped_column_may_have_a_semicolon_in_its_name() -> None:
    assert read("a;b\nx\n", columns={"messages": "a;b"}) == [{"a;b": "x"}]
    assert read("question;x,question,answer\n1,q,a\n") == [{"question;x": "1", **ROW}]


def test_a_line_that_tells_the_separator_is_no_header() -> None:
    assert read("sep=;\r\nquestion;answer\r\nq;a\r\n") == [ROW]
    assert read("sep=,\nfrage,antwort\nq,a\n") == [{"frage": "q", "antwort": "a"}]


@pytest.mark.parametrize("suffix", ["tsv", "tab", "TSV"])
def test_tabs_are_told_by_the_name(tmp_path: Any, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text('frage\tantwort\na, b;\t"x\ty"\n', encoding="utf-8")
    values = [record.value for record in read_file(path, 1 << 20)]
    assert values == [{"frage": "a, b;", "antwort": "x\ty"}]


def test_columns_at_the_end_without_a_name_are_none_while_they_are_empty() -> None:
    assert read("question,answer,, \nq,a,,\nq,a,,\n") == [ROW, ROW]
    found = read("question,answer,,\nq,a,,\nWhat, then?,a,\n")
    assert found[0] == ROW
    assert isinstance(found[1], BadRow)
    assert found[1].reason == "wrong_type"
    assert "'a' in column 3, which has no name" in found[1].detail


def test_an_index_without_a_name_is_kept() -> None:
    assert read(",question,answer,\n0,q,a,\n") == [{"": "0", **ROW}]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("question,answer,answer", "a column's name, 'answer', occurs twice"),
        (",question,,answer", "two columns have no name"),
    ],
)
def test_columns_need_names_of_their_own(header: str, message: str) -> None:
    with pytest.raises(BrokenFileError, match=message):
        read(header + "\n1,2,3,4\n")


def test_a_mark_inside_a_cell_belongs_to_it() -> None:
    assert read('question,answer\n"a\n\ufeffb",a\n')[0]["question"] == "a\n\ufeffb"


@pytest.mark.parametrize("cell", ['"He said "hi" to me"', r'"a \"b\" c"', '"q" '])
def test_a_quote_that_is_not_doubled_costs_its_row_and_no_letter(cell: str) -> None:
    first, broken, last = read(f"question,answer\nq,a\n{cell},b\nq,a\n")
    assert first == last == ROW
    assert isinstance(broken, BadRow)
    assert (broken.reason, broken.raw) == ("invalid_csv", f"{cell},b\n")
    with pytest.raises(BrokenFileError, match="header has a quote inside"):
        read(f"{cell},answer\nq,a\n")


def test_many_columns_are_told_apart_in_a_time_that_is_theirs() -> None:
    names = [f"c{number}" for number in range(100_000)]
    with pytest.raises(BrokenFileError, match="'c9'"):
        read(",".join([*names, "c9"]) + "\n")
