"""Tests of the look-up in an earlier dataset."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pools import asked, table_of

from siftline.contracts.errors import InputError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.scores.identity import scorer_identity
from siftline.scorers.membership import Membership

ROWS = table_of({name: asked(name, "yes") for name in ("a", "b", "c")})


def members(path: Path) -> list[bool]:
    found = Membership(file=path.name).score(ROWS, Runtime(base=path.parent)).table
    assert found.column_names == ["id", "member"]
    assert found["id"].to_pylist() == ["a", "b", "c"]
    values: list[bool] = found["member"].to_pylist()
    return values


def write(path: Path, **columns: list[object]) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_rows_are_found_by_id(tmp_path: Path) -> None:
    assert members(write(tmp_path / "s.parquet", id=["c", "x", "a"], n=[1, 2, 3])) == [1, 0, 1]


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    write(tmp_path / "curated" / "train-0.parquet", id=["a"])
    write(tmp_path / "curated" / "train-1.parquet", id=["b", "b"])
    (tmp_path / "curated" / "README.md").write_text("a card")
    assert members(tmp_path / "curated") == [True, True, False]


def test_a_curated_folder_is_its_data(tmp_path: Path) -> None:
    (tmp_path / "curated").mkdir()
    write(tmp_path / "curated" / "data" / "train-0.parquet", id=["c"])
    (tmp_path / "curated" / "README.md").write_text("a card")
    assert members(tmp_path / "curated") == [False, False, True]


def test_ids_may_be_numbers_there(tmp_path: Path) -> None:
    rows = table_of({"7": asked("q", "a")})
    path = write(tmp_path / "s.parquet", id=[7, 8])
    found = Membership(file=path.name).score(rows, Runtime(base=tmp_path))
    assert found.table["member"].to_pylist() == [True]


def test_an_empty_dataset_has_no_members(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / "s.parquet")
    assert members(tmp_path / "s.parquet") == [False] * 3


def test_the_file_is_part_of_the_identity() -> None:
    scorer = Membership(file="s.parquet")
    assert scorer.files == ("s.parquet",)
    first, second = (
        scorer_identity(scorer, {"s.parquet": {"digest": digest}}) for digest in ("1", "2")
    )
    assert first != second


def test_what_is_no_dataset_says_so(tmp_path: Path) -> None:
    (tmp_path / "s.parquet").write_text("no Parquet")
    with pytest.raises(InputError, match=r"s\.parquet' cannot be read as Parquet"):
        members(tmp_path / "s.parquet")
    with pytest.raises(InputError, match=r"none\.parquet' cannot be read"):
        members(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="has the columns name; expected 'id'"):
        members(write(tmp_path / "t.parquet", name=["a"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty' holds no \*\.parquet"):
        members(tmp_path / "empty")
