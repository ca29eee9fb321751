"""`siftline export`: a finished run in another format, and nothing of it changed."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from agent_rows import OPENAI
from commands import exit_code

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError, RunError
from siftline.contracts.parquet import read_table
from siftline.contracts.records import read_record, states_of, write_record
from siftline.filters.rules import Rules
from siftline.pipelines.output.again import export_again, find_version
from siftline.pipelines.output.delivery import layout_of
from siftline.pipelines.output.formats.known import Layout
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run

AGENTS = [OPENAI[name] for name in ("plain", "ends_in_call", "answers_a_result", "parallel_calls")]
PLAIN = [
    {"messages": [{"role": "user", "content": f"Which is no. {n}?"},
                  {"role": "assistant", "content": f"It is {'very ' * (n % 4)}{n}."}]}
    for n in range(12)
]  # fmt: skip


def curate(folder: Path, rows: list[dict[str, Any]], **recipe: Any) -> RunResult:
    (folder / "data.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    item = {"path": "data.jsonl", "license": "mit"}
    data = {"name": "again", "inputs": [item], "stages": [{"kind": "rules"}], **recipe}
    return run(parse_recipe(data, "r.yaml"), folder, folder / "runs")


@pytest.mark.parametrize(
    ("rows", "recipe"),
    [
        (PLAIN, {}),
        (AGENTS, {}),
        (PLAIN, {"output": {"order_by": "statistics.response_chars", "descending": True}}),
        (PLAIN, {"stages": [{"kind": "rules"}, {"kind": "longest", "budget": 3}]}),
        (PLAIN, {"stages": [{"kind": "rules"}, {"kind": "mix", "budget": 20, "max_epochs": 2}]}),
    ],
)
def test_the_same_format_gives_the_same_bytes(
    tmp_path: Path, rows: list[dict[str, Any]], recipe: dict[str, Any]
) -> None:
    done = curate(tmp_path, rows, **recipe)
    before = states_of(done.folder)
    export_again(done.folder, layout_of(done.folder, None, None), tmp_path / "again")
    assert states_of(tmp_path / "again") == states_of(done.folder / "curated")
    assert states_of(done.folder) == before


def test_another_format_has_the_rows_that_a_run_in_that_format_has(tmp_path: Path) -> None:
    done = curate(tmp_path, AGENTS)
    summary = export_again(done.folder, Layout(format="openai"), tmp_path / "again")
    assert summary.export.files == ("data/train.jsonl",)
    same = curate(tmp_path, AGENTS, output={"format": "openai"})
    assert (
        states_of(tmp_path / "again")["data/train.jsonl"]
        == (states_of(same.folder / "curated")["data/train.jsonl"])
    )


def test_revised_responses_are_those_that_were_curated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def revise(self: Rules, corpus: Corpus, decided: pa.Table) -> pa.Table:
        ids = corpus.rows["id"].to_pylist()[::2]
        return pa.table({"id": ids, "response": [f"new {i}" for i in ids], "origin": ids})

    monkeypatch.setattr(Rules, "revise", revise)
    done = curate(tmp_path, PLAIN, stages=[{"kind": "rules"}, {"kind": "longest", "budget": 9}])
    export_again(done.folder, Layout(), tmp_path / "again")
    assert states_of(tmp_path / "again") == states_of(done.folder / "curated")
    (name,) = done.export.files
    rows = read_table(tmp_path / "again" / name).to_pylist()
    assert any(row["messages"][-1]["content"].startswith("new ") for row in rows)
    assert {row["original_response"] is None for row in rows} == {True, False}


def test_splits_and_their_order(tmp_path: Path) -> None:
    rows = [{"question": f"Which is no. {n}?", "answer": f"{n}."} for n in range(12)]
    for source in ("math", "chat"):
        text = "".join(
            json.dumps({**row, "question": f"{source} {row['question']}"}) + "\n" for row in rows
        )
        (tmp_path / f"{source}.jsonl").write_text(text, encoding="utf-8")
    inputs = [{"path": f"{source}.jsonl"} for source in ("math", "chat")]
    done = curate(
        tmp_path,
        PLAIN,
        inputs=inputs,
        stages=[{"kind": "rules"}, {"kind": "dmt", "specialised": ["math"], "fraction": "50%"}],
    )
    export_again(done.folder, Layout(), tmp_path / "same")
    assert states_of(tmp_path / "same") == states_of(done.folder / "curated")
    summary = export_again(done.folder, Layout(format="alpaca"), tmp_path / "again")
    assert summary.export.splits == {"stage1": 12, "stage2": 18}
    order = json.loads((tmp_path / "again" / "training_order.json").read_text(encoding="utf-8"))
    assert [each["files"] for each in order["splits"]] == [
        ["data/stage1.jsonl"],
        ["data/stage2.jsonl"],
    ]
    assert "## Training order" in (tmp_path / "again" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("inside", ["v0001/curated", "v0001/new", "full", "file"])
def test_folders_that_are_not_written_to(tmp_path: Path, inside: str) -> None:
    done = curate(tmp_path, PLAIN)
    (tmp_path / "runs" / "again" / "full").mkdir()
    (tmp_path / "runs" / "again" / "full" / "mine.txt").write_text("mine")
    (tmp_path / "runs" / "again" / "file").write_text("mine")
    before = states_of(tmp_path / "runs")
    with pytest.raises(RecipeError, match="Name another with --to"):
        export_again(done.folder, Layout(), tmp_path / "runs" / "again" / inside)
    assert states_of(tmp_path / "runs") == before


def test_the_working_directory_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = curate(tmp_path, PLAIN)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for named in (Path(), tmp_path / "here", Path("..", "here")):
        with pytest.raises(RecipeError, match="Name a new folder with --to"):
            export_again(done.folder, Layout(), named)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_link_to_an_empty_folder_is_followed(tmp_path: Path) -> None:
    done = curate(tmp_path, PLAIN)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    export_again(done.folder, Layout(), tmp_path / "link")
    assert states_of(tmp_path / "empty") == states_of(done.folder / "curated")


def test_a_run_of_another_siftline_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = curate(tmp_path, PLAIN)
    report = read_record(done.folder / "report.json")
    del report["export"]["format"]
    write_record(done.folder / "report.json", report | {"siftline": "0.0.1"})
    monkeypatch.chdir(tmp_path)
    assert exit_code("export", "again", "--to", "new") == 1
    assert "was written by another siftline (0.0.1)" in " ".join(capsys.readouterr().err.split())


def test_a_refusal_leaves_nothing(tmp_path: Path) -> None:
    done = curate(tmp_path, AGENTS)
    with pytest.raises(RunError, match=r"'alpaca' cannot hold 3 of 4 rows \(3 with calls of tools"):
        export_again(done.folder, Layout(format="alpaca"), tmp_path / "new" / "again")
    assert not list((tmp_path / "new").rglob("*"))


def test_runs_are_found_by_folder_and_by_name(tmp_path: Path) -> None:
    done = curate(tmp_path, PLAIN)
    runs = tmp_path / "runs"
    names = ["again", "again/v0001", "again/latest"]
    for named in (*map(Path, names), runs / "again", done.folder, runs / "again" / "latest"):
        assert find_version(named, runs) == done.folder.resolve()
    with pytest.raises(RecipeError, match="Did you mean 'again'"):
        find_version(Path("agian"), runs)
    (done.folder / "report.json").unlink()
    with pytest.raises(RunError, match="no finished version"):
        find_version(Path("again"), runs)


def test_the_command_says_what_was_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curate(tmp_path, AGENTS)
    monkeypatch.chdir(tmp_path)
    assert exit_code("export", "again", "--format", "sharegpt") == 0
    told = capsys.readouterr().out
    assert "again v0001: 4 rows in the format sharegpt (train 4)." in told
    assert "LLaMA-Factory: In this folder, `llamafactory-cli train" in told
    assert (tmp_path / "again-v0001-sharegpt" / "dataset_info.json").exists()
    assert exit_code("export", "again", "--format", "alpaca", "--to", "a") == 1
    assert exit_code("export", "again", "--format", "sharegpt") == 2
    assert exit_code("export", "again", "--public") == 2
    capsys.readouterr()
    assert exit_code("export", "again", "--format", "openai", "--to", "o", "--json") == 0
    assert json.loads(capsys.readouterr().out)["export"]["format"] == "openai"
