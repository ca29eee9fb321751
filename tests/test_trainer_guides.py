"""What each trainer is told beside the data, by format and by what the rows hold."""

import ast
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_rows import OPENAI

from siftline.pipelines.output.again import export_again
from siftline.pipelines.output.formats.known import FORMATS, FormatName, Layout, ReasoningPlace
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run

PLAIN = [
    {"messages": [{"role": "user", "content": f"Which is no. {n}?"},
                  {"role": "assistant", "content": f"It is {n}."}]}
    for n in range(6)
]  # fmt: skip


def exported(
    folder: Path,
    rows: list[dict[str, Any]],
    name: FormatName = "messages",
    reasoning: ReasoningPlace = "field",
    **recipe: Any,
) -> Path:
    """Curate some rows, and return a folder with the dataset in a format."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    data = {"name": "told", "inputs": [{"path": "data.jsonl"}], **recipe}
    done = run(parse_recipe(data, "r.yaml"), folder, folder / "runs")
    export_again(done.folder, Layout(format=name, reasoning=reasoning), folder / "out")
    return folder / "out"


def in_two_splits(folder: Path, name: FormatName) -> Path:
    for source in ("math", "chat"):
        text = "".join(json.dumps({"question": f"{source} {n}?", "answer": f"{n}"}) + "\n"
                       for n in range(4))  # fmt: skip
        (folder / f"{source}.jsonl").write_text(text, encoding="utf-8")
    inputs = [{"path": "math.jsonl"}, {"path": "chat.jsonl"}]
    stages = [{"kind": "rules"}, {"kind": "dmt", "specialised": ["math"], "fraction": "50%"}]
    return exported(folder, PLAIN, name, inputs=inputs, stages=stages)


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def names_of(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("trainers/*")}


TRAINED = {
    "messages": {"trl_sft.py", "axolotl.yaml", "llamafactory.yaml", "ms-swift.sh"},
    "openai": set(),
    "sharegpt": {"llamafactory.yaml"},
    "alpaca": {"llamafactory.yaml", "axolotl.yaml"},
    "prompt_completion": {"trl_sft.py"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_plain_text_in_each_format(tmp_path: Path, name: FormatName) -> None:
    folder = exported(tmp_path, PLAIN, name)
    assert names_of(folder) == TRAINED[name]
    for file in names_of(folder):
        assert f"trainers/{file}" in card_of(folder)


def test_the_loss_is_put_on_the_answers(tmp_path: Path) -> None:
    trainers = exported(tmp_path, PLAIN) / "trainers"
    script = (trainers / "trl_sft.py").read_text(encoding="utf-8")
    assert "assistant_only_loss=True" in script
    assert "SPLITS = ['train']" in script
    settings = yaml.safe_load((trainers / "axolotl.yaml").read_text(encoding="utf-8"))
    (data,) = settings["datasets"]
    assert data["type"] == "chat_template"
    assert data["data_files"] == ["data/train-00000-of-00001.parquet"]
    assert data["roles_to_train"] == ["assistant"]
    settings = yaml.safe_load((trainers / "llamafactory.yaml").read_text(encoding="utf-8"))
    assert settings["dataset"] == "told_train"
    assert (settings["train_on_prompt"], settings["mask_history"]) == (False, False)


def test_the_script_asks_for_a_template_that_knows_thoughts(tmp_path: Path) -> None:
    trainers = exported(tmp_path, [OPENAI["reasons"], *PLAIN]) / "trainers"
    script = (trainers / "trl_sft.py").read_text(encoding="utf-8")
    ast.parse(script)
    assert 'if "reasoning_content" not in template:' in script


def test_splits_are_trained_on_in_their_order(tmp_path: Path) -> None:
    folder = in_two_splits(tmp_path, "messages")
    trainers = folder / "trainers"
    script = (trainers / "trl_sft.py").read_text(encoding="utf-8")
    ast.parse(script)
    assert "SPLITS = ['stage1', 'stage2']" in script
    first, second = (
        yaml.safe_load((trainers / f"axolotl-{split}.yaml").read_text(encoding="utf-8"))
        for split in ("stage1", "stage2")
    )
    assert first["base_model"] == "your/model"
    assert second["datasets"][0]["data_files"] == ["data/stage2-00000-of-00001.parquet"]
    assert second["base_model"] == first["output_dir"] == "tuned/stage1"
    shell = trainers / "ms-swift.sh"
    subprocess.run(["sh", "-n", str(shell)], check=True)
    text = shell.read_text(encoding="utf-8")
    assert text.index("data/stage1-00000") < text.index('model="$(ls') < text.index("data/stage2")
    assert json.loads((folder / "dataset_info.json").read_text(encoding="utf-8")).keys() == {
        "told_stage1",
        "told_stage2",
    }


@pytest.mark.parametrize("name", ["messages", "sharegpt", "alpaca"])
def test_llamafactory_finds_files_and_columns(tmp_path: Path, name: FormatName) -> None:
    folder = in_two_splits(tmp_path, name)
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    for split, entry in zip(("stage1", "stage2"), info.values(), strict=True):
        assert (folder / entry["file_name"]).is_file()
        assert split in entry["file_name"]
        if name != "messages":
            line = (folder / entry["file_name"]).read_text(encoding="utf-8").splitlines()[0]
            assert set(entry["columns"].values()) == set(json.loads(line))


def test_a_trainer_that_would_lose_something_is_not_started(tmp_path: Path) -> None:
    def told(case: str, *rows: str, **layout: Any) -> tuple[set[str], str]:
        (tmp_path / case).mkdir()
        folder = exported(tmp_path / case, [OPENAI[name] for name in rows], **layout)
        return names_of(folder), card_of(folder)

    files, card = told("calls", "ends_in_call", "plain")
    assert files == {"trl_sft.py", "axolotl.yaml", "ms-swift.sh"}
    assert "| LLaMA-Factory | Export the format `sharegpt`. |" in card
    assert "axolotl drops nulls" in card
    files, card = told("thoughts", "reasons", "plain")
    assert files == {"trl_sft.py", "axolotl.yaml"}
    assert "Export with `--reasoning inline`" in card
    files, _ = told("inline", "reasons", "plain", reasoning="inline")
    assert files == TRAINED["messages"]
    files, card = told("weights", "weighted", "plain")
    assert files == {"axolotl.yaml", "ms-swift.sh"}
    assert "TRL does not read the weights" in card
    assert "`sharegpt`, which refuses rows with weights other than 1. |" in card
    picture = {**PLAIN[0], "images": ["a.png"]}
    (tmp_path / "pictures").mkdir()
    card = card_of(exported(tmp_path / "pictures", [picture, *PLAIN[1:]]))
    assert "`sharegpt`, which refuses rows with images, sounds or files. |" in card
    settings = tmp_path / "weights" / "out" / "trainers" / "axolotl.yaml"
    (data,) = yaml.safe_load(settings.read_text(encoding="utf-8"))["datasets"]
    assert data["message_field_training"] == "weight"
