"""`siftline init`, and that what it writes runs at once."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from commands import exit_code

from siftline import starting
from siftline.pipelines.recipe import load_recipe, parse_recipe

SAMPLES = Path(__file__).parent.parent / "data_samples"

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def siftline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command in an empty folder, and return its exit code and what it has printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str]:
        code = exit_code(*arguments)
        return code, "".join(capsys.readouterr())

    return run


def test_an_empty_folder_has_a_dataset_after_two_commands(siftline: Run, tmp_path: Path) -> None:
    code, printed = siftline("init")
    assert code == 0
    assert printed.splitlines()[-1] == "  siftline run recipe.yaml"
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml", "example.jsonl"}
    assert siftline("run", "recipe.yaml", "--no-prefect")[0] == 0
    decisions = pq.read_table("runs/mine/latest/decisions.parquet").to_pydict()
    assert len(decisions["id"]) == 24
    # Each kind of defect is there once, so that the first report has something to show.
    dropped = {"boilerplate", "empty_response", "placeholder", "repetition", "exact_duplicate"}
    assert sorted(decisions["reason"]) == sorted(["kept"] * 19 + list(dropped))


def test_the_template_without_its_marks_is_the_chain_of_the_demo(siftline: Run) -> None:
    siftline("init")
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    assert parse_recipe(yaml.safe_load(text), "recipe.yaml").models == {}
    whole = yaml.safe_load(re.sub(r"^( *)#(?=-|models:|  )", r"\1", text, flags=re.MULTILINE))
    shipped = yaml.safe_load((SAMPLES / "recipe.yaml").read_text(encoding="utf-8"))
    for part in ("stages", "models", "seed", "max_bad_rows"):
        assert whole[part] == shipped[part]


def test_nothing_is_overwritten(siftline: Run) -> None:
    Path("example.jsonl").write_text("mine", encoding="utf-8")
    code, printed = siftline("init")
    assert (code, "'example.jsonl' exists already" in printed) == (2, True)
    assert not Path("recipe.yaml").exists()
    Path("example.jsonl").unlink()
    assert siftline("init")[0] == 0
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    for arguments in ((), ("example.jsonl",), ("--recipe", "recipe.yaml")):
        code, printed = siftline("init", *arguments)
        assert (code, "'recipe.yaml' exists already" in printed) == (2, True)
    assert Path("recipe.yaml").read_text(encoding="utf-8") == text


def test_files_of_every_shape_make_a_recipe_that_runs(siftline: Run, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES, tmp_path / "data")
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    (tmp_path / "data" / "chat.jsonl").write_text(json.dumps({"messages": turns}), "utf-8")
    shapes = {
        "arithmetic.jsonl": "question_answer",
        "candidates.jsonl": "alpaca",
        "chat.jsonl": "messages",
        "code.jsonl.gz": "sharegpt",
        "facts.json": "alpaca",
        "rewriting.csv": "prompt_completion",
    }
    code, printed = siftline("init", *(f"data/{name}" for name in shapes), "--recipe", "my r.yaml")
    assert code == 0
    assert "data/code.jsonl.gz: sharegpt" in printed
    assert printed.endswith("  siftline run 'my r.yaml'\n")
    inputs = load_recipe(Path("my r.yaml")).inputs
    assert {str(item.path): item.format for item in inputs} == {
        f"data/{name}": shape for name, shape in shapes.items()
    }
    assert [item.source for item in inputs] == [name.split(".")[0] for name in shapes]
    assert siftline("run", "my r.yaml", "--no-prefect")[0] == 0


def test_paths_are_relative_to_the_recipe_and_sources_have_names_of_their_own(
    siftline: Run, tmp_path: Path
) -> None:
    row = '{"question": "q", "answer": "a"}'
    for folder in ("one", "two", "recipes"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.jsonl").write_text(row, encoding="utf-8")
    (tmp_path / "one" / "é: [b] #1.jsonl").write_text(row, encoding="utf-8")
    paths = ["one/train.jsonl", "two/train.jsonl", "one/é: [b] #1.jsonl", "*/*.jsonl"]
    assert siftline("init", *paths, "--recipe", "recipes/r.yaml")[0] == 0
    inputs = load_recipe(Path("recipes/r.yaml")).inputs
    assert [item.path for item in inputs] == [f"../{path}" for path in paths]
    assert [item.source for item in inputs[:3]] == ["one-train", "two-train", "é: b #1"]
    assert len({item.source for item in inputs}) == 4
    assert siftline("run", "recipes/r.yaml", "--no-prefect")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        (("none.jsonl",), 2, "matches no file"),
        (("recipe.yaml",), 2, "siftline init --recipe recipe.yaml"),
        (("odd.jsonl",), 1, "has no shape that is known: got the columns 'a'"),
        (("text.txt",), 2, "unknown type"),
        (("empty.jsonl",), 1, "is empty"),
        (("--recipe", "no/such/r.yaml"), 2, "Cannot write 'no/such/example.jsonl'"),
    ],
)
def test_what_cannot_begin_is_one_sentence_and_leaves_nothing(
    siftline: Run, arguments: tuple[str, ...], expected: int, message: str
) -> None:
    for name, text in (("odd.jsonl", '{"a": 1}'), ("text.txt", "x"), ("empty.jsonl", "")):
        Path(name).write_text(text, encoding="utf-8")
    code, printed = siftline("init", *arguments)
    assert (code, message in printed) == (expected, True), printed
    assert not Path("recipe.yaml").exists()


def test_a_file_that_must_be_told_more_says_how_to_begin(siftline: Run) -> None:
    Path("told.csv").write_text("Frage;Antwort\nWo?;Hier.\n", encoding="utf-8")
    Path("plain.csv").write_text("question,answer\nWhere?,Here.\n", encoding="utf-8")
    code, printed = siftline("init", "plain.csv", "told.csv")
    assert code == 1
    assert 'State `delimiter: ";"`' in printed
    assert "leave the file out here, and write it into the recipe by hand" in printed
    assert not Path("recipe.yaml").exists()


def test_a_template_without_its_example_is_no_recipe(
    siftline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its inputs would be those of the template, and not the files that were named."""
    Path("a.jsonl").write_text('{"question": "q", "answer": "a"}', encoding="utf-8")
    monkeypatch.setattr(starting, "_shipped", lambda name: "name: mine\ninputs: []\n")
    with pytest.raises(RuntimeError, match="does not hold the line"):
        siftline("init", "a.jsonl")
    assert not Path("recipe.yaml").exists()
