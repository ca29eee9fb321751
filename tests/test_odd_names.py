"""Odd names, odd recipes and odd calls: one sentence each, and the exit code that README names."""

import gzip
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import exit_code
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.errors import RecipeError, RunError, SiftlineError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.ingestion.inputs import Input, resolve
from siftline.pipelines.recipe import Recipe, load_recipe, parse_recipe
from siftline.pipelines.run import run

LINE = b'{"question": "q", "answer": "a"}'
MINIMAL: dict[str, Any] = {"name": "r", "inputs": [{"path": "a.jsonl"}]}


def named(name: Any) -> Recipe:
    return parse_recipe({**MINIMAL, "name": name}, "r.yaml")


@pytest.mark.parametrize(
    "name",
    [
        *("cache", "latest", "Cache", "LATEST", "con", "NUL", "com1", "lpt9.txt"),
        *("", ".", "..", "a/b", "../up", "a\\b", "a ", " a", "a.", "-a", "a\n", "x" * 101),
        *("é", "a:b", "\x1b[31m", "[/]", None, 3, True, ["a"], {"a": 1}),
    ],
)
def test_a_name_that_is_no_folder_is_refused(name: Any) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml: name: got [^\n]*$") as caught:
        named(name)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["a", "a-b_c.d", "x" * 100, "2026", "cached", "console", "a_"])
def test_other_names_are_folders(name: str) -> None:
    assert named(name).name == name


def recipe_of(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "r.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


DEEP = {"brackets": "[" * 5000 + "]" * 5000, "open": "[" * 5000, "braces": "{a: " * 5000}
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: r\n? [a, b]\n: 1\n", "line 2, column 3: not valid YAML: a key is a list"),
        ("name: r\n? {a: b}\n: 1\n", "a key is a list or a mapping"),
        *((f"name: {text}", "nested too deeply") for text in DEEP.values()),
        ("name: " + "[" * 60 + "]" * 60, "nested too deeply"),
        ("name: &a [*a]\n", "nested too deeply"),
        (LAUGHS + "name: *l\n", "unknown field"),
        ("name: 2026-13-45\n", "not valid YAML: month must be in 1..12"),
        ("seed: " + "9" * 5000, "not valid YAML"),
        ("seed: !!int x\n", "not valid YAML"),
        ("seed: !!timestamp x\n", "not valid YAML"),
        ("seed: !!bool x\n", "not valid YAML"),
        ('name: "\\ud83d"\n', "half of a surrogate pair"),
        ("", "holds nothing"),
        ("# only a comment\n", "holds nothing"),
        (b"\x00\x01\x02", "not valid YAML"),
        (b"name: \xff\n", "it is not UTF-8"),
        ("1: 2\n", "Keys should be strings"),
        ("name: r\ninputs: [{path: a, 1: 2}]\n", "1"),
        ("null: 2\nname: r\n", ""),
        ("name: r\ninputs: [{path: a.csv}]\nstages: [{kind: []}]\n", "unknown kind"),
        ("name: r\ninputs: [{path: a.csv}]\nstages: [{kind: {}}]\n", "unknown kind"),
        ("name: r\ninputs: [{path: [a]}]\n", "inputs[0].path: got"),
        ("name: r\ninputs: [{path: a.csv}]\nmax_row_bytes: 99999999999999999999\n", "max_row"),
        ("name: r\ninputs: [{path: a.csv}]\nmodels: {m: []}\n", "models.m: got []"),
        ("name: r\ninputs: [{path: a.csv, columns: {[]: a}}]\n", "a key is a list"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_sentence(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_of(tmp_path, text))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_a_folder_or_a_link_that_loops_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for path, message in ((tmp_path, "Is a directory"), (tmp_path / "loop.yaml", "levels of symb")):
        with pytest.raises(RecipeError, match=f"Cannot read the recipe .*{message}"):
            load_recipe(path)


@given(st.text(alphabet="[]{}:,-?&*!|>'\"%@`#\n ab01.\ud83d\x07", max_size=40))
def test_whatever_the_text_of_a_recipe_it_is_one_or_a_mistake(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    data = f"name: r\ninputs: [{{path: a.csv}}]\n{text}".encode("utf-8", "surrogatepass")
    path = recipe_of(tmp_path_factory.mktemp("text"), data)
    for overrides in ((), (f"seed={text}",), (f"{text}=1",)):
        try:
            assert isinstance(load_recipe(path, overrides), Recipe)
        except RecipeError as error:
            str(error).encode()


@pytest.mark.parametrize("override", ["stages.²=1", "models.\udcff.name=x", "name=\udcff"])
def test_an_override_that_no_recipe_can_hold_is_refused(tmp_path: Path, override: str) -> None:
    text = "name: r\ninputs: [{path: a.csv}]\nstages: [{kind: rules}]\n"
    with pytest.raises(RecipeError):
        load_recipe(recipe_of(tmp_path, text), [override])


@pytest.mark.parametrize(
    "path", ["x" * 5000 + ".jsonl", "a\x00.jsonl", "", "/", "no/such.jsonl", "[.jsonl", "**"]
)
def test_a_path_that_leads_to_no_file_is_the_recipe_s_mistake(tmp_path: Path, path: str) -> None:
    with pytest.raises(RecipeError):
        resolve(Input(path=path), tmp_path)


def test_a_link_to_nothing_and_a_pipe_are_no_inputs(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to("nothing.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    for pattern in ("link.*", "pipe.jsonl"):
        with pytest.raises(SiftlineError, match="is no file, or leads to none"):
            resolve(Input(path=pattern), tmp_path)


@pytest.mark.parametrize(
    "device", ["gpu", "", "cuda:", "cuda:x", "cpu,,cpu", "cuda:0;cuda:1", "[/]", "cuda:9999999"]
)
def test_a_device_is_parsed_before_anything_is_read(tmp_path: Path, device: str) -> None:
    with pytest.raises(RecipeError, match="expected 'auto', 'cpu', 'cuda'"):
        Runtime(device=device)
    recipe = recipe_of(tmp_path, "name: r\ninputs: [{path: none.csv}]\n")
    for command in ("run", "plan", "calibrate"):
        arguments = [command, str(recipe), "--device", device, "--runs", str(tmp_path / "runs")]
        assert exit_code(*arguments) == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "cuda:0, cuda:1", "cpu,cpu"])
def test_devices_that_are_known(device: str) -> None:
    assert Runtime(device=device).device == device


def test_a_folder_where_the_link_goes_is_found_before_anything_is_read(tmp_path: Path) -> None:
    latest = tmp_path / "runs" / "r" / "latest"
    latest.mkdir(parents=True)
    (tmp_path / "a.jsonl").write_text("{broken", encoding="utf-8")
    with pytest.raises(RunError, match=r"runs/r/latest' is no link.* Move it away"):
        run(parse_recipe(MINIMAL, "r"), tmp_path, tmp_path / "runs")


@pytest.mark.parametrize("runs", [b"r\xff", b"s3://bucket/x", b"file:/tmp/x", b"a:b"])
def test_a_run_directory_that_arrow_cannot_name_is_refused(tmp_path: Path, runs: bytes) -> None:
    recipe = recipe_of(tmp_path, "name: r\ninputs: [{path: a.jsonl}]\n")
    arguments = ["run", str(recipe), "--runs", os.fsdecode(runs), "--no-prefect"]
    assert exit_code(*arguments) == 2


@pytest.mark.parametrize("runs", ["[/]", "%41 b", "x\x1b[31m"])
def test_a_run_directory_of_an_odd_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINE)
    monkeypatch.chdir(tmp_path)
    assert run(parse_recipe(MINIMAL, "r"), tmp_path, Path(runs)).export.rows == 1


def test_files_whose_names_are_not_utf8_are_read(tmp_path: Path) -> None:
    for name, data in ((b"\xff.jsonl", LINE), (b"\xfe.jsonl.gz", gzip.compress(LINE))):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(data)
    result = run(
        parse_recipe({**MINIMAL, "inputs": [{"path": "*.jsonl*"}]}, "r"),
        tmp_path,
        tmp_path / "runs",
    )
    files = pq.read_table(result.folder / "decisions.parquet")["file"].to_pylist()
    assert sorted(files) == [r"\udcfe.jsonl.gz", r"\udcff.jsonl"]
