"""Which files an input means, and the digest of their bytes."""

from pathlib import Path

import pydantic
import pytest

from siftline.contracts.errors import InputError, RecipeError
from siftline.pipelines.ingestion.inputs import Input, compression, digest, resolve, suffix


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}\n", encoding="utf-8")


def test_a_glob_gives_its_files_in_order(tmp_path: Path) -> None:
    write(tmp_path, "b.jsonl", "a.jsonl", "deep/er/c.jsonl", "d.csv")
    assert resolve(Input(path="*.jsonl"), tmp_path) == [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    assert [p.name for p in resolve(Input(path="**/*.jsonl"), tmp_path)] == [
        "a.jsonl",
        "b.jsonl",
        "c.jsonl",
    ]


def test_a_name_with_brackets_is_itself_first(tmp_path: Path) -> None:
    folder = tmp_path / "odd [1]"
    write(folder, "a[1].jsonl")
    assert resolve(Input(path="a[1].jsonl"), folder) == [folder / "a[1].jsonl"]
    assert resolve(Input(path="*.jsonl"), folder) == [folder / "a[1].jsonl"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.jsonl", "matches no file"),
        ("*.parquet", "matches no file"),
        ("notes.txt", "unknown type"),
        ("empty.jsonl", "is empty"),
        ("folder", r"Write a glob, such as 'folder/\*.jsonl'"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, path: str, message: str) -> None:
    write(tmp_path, "notes.txt", "folder/a.jsonl")
    (tmp_path / "empty.jsonl").touch()
    kind = InputError if path == "empty.jsonl" else RecipeError  # of the data, or of the recipe
    with pytest.raises(kind, match=message):
        resolve(Input(path=path), tmp_path)


def test_a_file_is_read_once_whatever_links_lead_to_it(tmp_path: Path) -> None:
    write(tmp_path, "data/a.jsonl", "data/b.jsonl")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "c.jsonl").symlink_to(tmp_path / "data" / "b.jsonl")
    matched = resolve(Input(path="data/**/*.jsonl"), tmp_path)
    assert matched == [tmp_path / "data" / "a.jsonl", tmp_path / "data" / "b.jsonl"]


def test_links_that_lead_in_circles_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "deep/b.jsonl", "deep/.hidden/c.jsonl")
    for name in ("l1", "l2", "deep/l3"):
        (tmp_path / name).symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    expected = [tmp_path / "a.jsonl", tmp_path / "deep" / "b.jsonl"]
    for path in ("**/*.jsonl", "**/**/*.jsonl", "l1/**/l2/**/*.jsonl"):
        found = resolve(Input(path=path), tmp_path)
        assert [file.resolve() for file in found if isinstance(file, Path)] == expected
    assert resolve(Input(path="**/*.jsonl"), tmp_path) == expected
    assert resolve(Input(path="deep/.*/*.jsonl"), tmp_path)[0].name == "c.jsonl"
    assert resolve(Input(path=f"{tmp_path}/d?[e]p/b.jsonl"), tmp_path / "deep") == expected[1:]


def test_no_wildcard_leads_into_the_run_directory(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write(tmp_path, "a.jsonl", "in/b.jsonl", "runs/r/v0001/curated/c.jsonl", "runs/cache/d.jsonl")
    (tmp_path / "in" / "link").symlink_to(runs)
    (tmp_path / "in" / "chosen").symlink_to(runs / "r" / "v0001" / "curated")

    def names(path: str) -> list[str]:
        return [file.name for file in resolve(Input(path=path), tmp_path, runs)]

    assert names("**/*.jsonl") == ["a.jsonl", "b.jsonl", "c.jsonl"]  # as somebody has linked it
    (tmp_path / "in" / "chosen").unlink()
    assert names("**/*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names("runs/*/v0001/curated/*.jsonl") == ["c.jsonl"]
    with pytest.raises(RecipeError, match="matches no file"):
        names("*/r/v*/*/*.jsonl")


def test_an_input_is_one_place() -> None:
    with pytest.raises(pydantic.ValidationError, match="exactly one of 'path' and 'hub'"):
        Input(path="a.jsonl", hub="org/data")
    with pytest.raises(pydantic.ValidationError, match="Did you mean 'response'"):
        Input(path="a.jsonl", columns={"respons": "x"})


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ({"path": "data/chat.json.gz"}, "chat"),
        ({"path": "data/part-*.jsonl"}, "part-"),
        ({"hub": "org/dataset"}, "dataset"),
        ({"path": "a.jsonl", "source": "mine"}, "mine"),
    ],
)
def test_a_source_has_a_name(place: dict[str, str], source: str) -> None:
    assert Input.model_validate(place).source == source


def test_types_are_told_by_suffix() -> None:
    assert suffix(Path("a.b.JSON.GZ")) == ".json"
    assert suffix(Path("a.parquet")) == ".parquet"
    assert compression(Path("a.JSONL.GZ")) == "gzip"
    assert compression(Path("a.csv.zst")) == "zstd"
    assert compression(Path("a.csv")) is None


def test_the_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "b.jsonl")
    one, two = Input(path="a.jsonl"), Input(path="b.jsonl")
    first = digest(one, tmp_path)
    assert first == digest(one, tmp_path) != digest(two, tmp_path)
    (tmp_path / "a.jsonl").write_text("{} \n", encoding="utf-8")
    assert digest(one, tmp_path) != first


def test_the_digest_of_a_hub_input_is_of_its_coordinates(tmp_path: Path) -> None:
    pinned = Input(hub="org/data", revision="abc")
    assert digest(pinned, tmp_path) == digest(pinned.model_copy(), tmp_path)
    assert digest(pinned, tmp_path) != digest(Input(hub="org/data", revision="abd"), tmp_path)


def test_a_glob_is_empty_only_where_all_of_its_files_are(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"'\*.jsonl' is empty"):
        resolve(Input(path="*.jsonl"), tmp_path)
    write(tmp_path, "c.jsonl")
    found = resolve(Input(path="*.jsonl"), tmp_path)
    assert [path.name for path in found] == ["a.jsonl", "b.jsonl", "c.jsonl"]
