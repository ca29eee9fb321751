"""Files that appear whole or not at all: order, leftovers, failures."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftline.contracts import publishing
from siftline.contracts.errors import DamagedError, RunError
from siftline.contracts.parquet import TableWriter, publish_table, read_table, write_table
from siftline.contracts.publishing import published, sweep, temporary_for
from siftline.contracts.records import read_record, state_of, write_record

TABLE = pa.table({"id": ["a", "b", None], "n": [1, 2, 3]})


def test_all_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "folder", []

    def fsync(handle: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{handle}"), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with published(path) as building:
        building.mkdir()
        (building / "file").write_text("x")
    names = [(Path(name).name.startswith("."), Path(name).name, was) for name, was in synced]
    assert [(was, name) for _, name, was in names if name in ("file", tmp_path.name)] == [
        (False, "file"),
        (True, tmp_path.name),  # the name itself, in the folder above
    ]
    assert sum(hidden for hidden, _, was in names if not was) == 1


def test_what_fails_leaves_the_predecessor_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), published(path) as building:
        building.write_text("half of it \ud800", encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device. Make room there"),
        (errno.EROFS, "Read-only file system. Make it writable"),
        (errno.EACCES, "Permission denied. Make it writable"),
        (errno.EIO, "Input/output error. Mend that"),
    ],
)
def test_a_failure_to_write_is_one_sentence(tmp_path: Path, number: int, said: str) -> None:
    with (
        pytest.raises(RunError, match=rf"Cannot write '.*a\.txt': {said}"),
        published(tmp_path / "a.txt"),
    ):
        raise OSError(number, os.strerror(number))


def test_a_failure_to_read_is_none_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(TABLE, tmp_path / "a.parquet")
    write_record(tmp_path / "a.json", {"n": 1})

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fails)
    monkeypatch.setattr(Path, "open", fails)
    for read, name in ((read_table, "a.parquet"), (read_record, "a.json"), (state_of, "a.json")):
        said = rf"Cannot read '.*{name}': Input/output error\. Mend that"
        with pytest.raises(RunError, match=said), published(tmp_path / "curated"):
            read(tmp_path / name)


def test_a_dead_process_leaves_no_link_to_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v0001").mkdir()
    (tmp_path / "v0001" / "kept").touch()
    temporary_for(tmp_path / "latest").symlink_to("v0001")
    monkeypatch.setattr(publishing, "_alive", lambda _: False)
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["v0001"]
    assert (tmp_path / "v0001" / "kept").exists()


def test_a_dead_process_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from siftline.contracts.publishing import *;"
        "path = temporary_for(Path(sys.argv[1]) / 'x'); path.mkdir(); (path / 'y').touch()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    mine, other = temporary_for(tmp_path / "mine"), tmp_path / ".state.tmp"
    mine.touch()
    other.touch()
    assert len(list(tmp_path.iterdir())) == 3
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])


def test_a_sealed_file_is_any_reader_s(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").equals(TABLE)
    assert pq.ParquetFile(tmp_path / "a.parquet", page_checksum_verification=True).read() == TABLE
    assert read_table(tmp_path / "a.parquet", ["n"]).column_names == ["n"]
    writer = TableWriter(tmp_path / "b.parquet", TABLE.schema)
    writer.write(TABLE)
    writer.write(TABLE)
    assert not (tmp_path / "b.parquet").exists()
    writer.close()
    assert len(read_table(tmp_path / "b.parquet")) == 6
    for _ in range(2):
        publish_table(TABLE, tmp_path, "part-{}.parquet", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.parquet",
        "b.parquet",
        "part-0.parquet",
        "part-1.parquet",
    ]


def test_every_byte_of_a_sealed_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(TABLE, path)
    written = path.read_bytes()
    for place in range(len(written)):
        data = bytearray(written)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        with pytest.raises(DamagedError):
            read_table(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"x"', "{}", "\x00", "[" * 100_000])
def test_what_is_no_record_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DamagedError, match=r"none of siftline's|holds no digest"):
        read_record(tmp_path / "a.json")
    with pytest.raises(DamagedError, match="it is missing"):
        read_record(tmp_path / "b.json")


def test_a_record_holds_what_was_written(tmp_path: Path) -> None:
    value = {"b": (1, 2.5, None), "ä": {"10": 1, "9": 2}}
    write_record(tmp_path / "a.json", value)
    assert read_record(tmp_path / "a.json") == {"b": [1, 2.5, None], "ä": {"10": 1, "9": 2}}
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    (tmp_path / "a.json").write_text(text.replace("2.5", "2.4"), encoding="utf-8")
    with pytest.raises(DamagedError, match="not those that were written"):
        read_record(tmp_path / "a.json")


def test_on_another_machine_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (left := tmp_path / ".x.00000000-999999999-00000000.tmp").touch()
    sweep(tmp_path)
    assert left.exists()
    monkeypatch.setattr(publishing, "_HOST", "00000000")
    sweep(tmp_path)
    assert not left.exists()


def test_what_is_damaged_is_told_across_processes() -> None:
    error = pickle.loads(pickle.dumps(DamagedError(Path("a/b"), "it is missing")))
    assert (error.path, error.problem) == (Path("a/b"), "it is missing")
    assert "'a/b' is damaged: it is missing. Remove" in str(error)
