"""The trainers read what is exported, and train on the responses: on their tokens, and no others.

Each trainer runs in an environment of its own, which `tests/trainers/install.sh` makes, on a chat
model of a few random weights. It is told what the files beside the data say, and loads, renders and
masks the rows by its own code; here its tokens are turned back into text. docs/trainers.md is the
table of what is found.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conversations_to_train_on import OSLO, RESPONSES, ROME, ROWS, prompt_texts
from tiny_chat_model import write_tiny_chat_model

from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "tests" / "trainers"
ENVIRONMENTS = ROOT / ".cache" / "trainers"
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "DO_NOT_TRACK": "1",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(SCRIPTS / "stand_ins")]),
}
# What stands behind the words of a turn and is trained with them.
ENDS = {
    "trl": "<|im_end|>\n",
    "llamafactory": "<|im_end|>\n",
    "axolotl": "<|im_end|>",
    "ms_swift": "<|im_end|>\n",
}
UNWEIGHTED = tuple(name for name in ROWS if name != "weighted")
ALTERNATING = tuple(name for name in UNWEIGHTED if name != "goes on")
SINGLE = ("single", "unicode", "thinks", "thinks aloud")
SPECIALISED = ("single", "calls", "thinks")
GENERAL = ("several", "calls twice", "system")

Texts = dict[str, list[str]]


class Read(NamedTuple):
    """A row as a trainer has it: its whole text, and the runs of it that carry loss."""

    text: str
    trained: list[str]


def export(
    folder: Path, names: Sequence[str], layout: str = "messages", reasoning: str = "field"
) -> Path:
    """Run siftline on some rows, and return the folder of the dataset in a format."""
    return _exported(folder, {"rows": names}, [], {"format": layout, "reasoning": reasoning})


def export_stages(folder: Path, layout: str = "messages", reasoning: str = "field") -> Path:
    """Return the folder of a dataset in two splits, one to be trained on after the other."""
    sources = {"special": SPECIALISED, "general": GENERAL}
    stage = {"kind": "dmt", "specialised": ["special"], "fraction": "1/256"}
    return _exported(folder, sources, [stage], {"format": layout, "reasoning": reasoning})


def _exported(
    folder: Path, sources: Mapping[str, Sequence[str]], stages: list[Any], output: dict[str, str]
) -> Path:
    folder.mkdir()
    for source, names in sources.items():
        lines = [json.dumps(ROWS[name]) for name in names]
        (folder / f"{source}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    inputs = [{"path": f"{source}.jsonl"} for source in sources]
    data = {"name": "taught", "inputs": inputs, "stages": stages, "output": output}
    done = run(parse_recipe(data, "recipe.yaml"), folder, folder / "runs", Runtime())
    return done.folder / "curated"


def read_by(trainer: str, datasets: dict[str, Path], folder: Path) -> dict[str, dict[str, Any]]:
    """Return what a trainer makes of datasets: by their name, by split, by row."""
    transformers = pytest.importorskip("transformers")
    model = folder / "model"
    write_tiny_chat_model(model)
    decode = transformers.AutoTokenizer.from_pretrained(model).decode
    jobs, results = folder / "jobs.json", folder / "results.json"
    asked = {name: {"dataset": str(path), "model": str(model)} for name, path in datasets.items()}
    jobs.write_text(json.dumps(asked), encoding="utf-8")
    caches = {name: str(folder / name) for name in ("HF_HOME", "MODELSCOPE_CACHE")}
    python = ENVIRONMENTS / trainer / "bin" / "python"
    done = subprocess.run(
        [str(python), str(SCRIPTS / f"tokens_of_{trainer}.py"), str(jobs), str(results)],
        env={**os.environ, **SETTINGS, **caches},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(results.read_text(encoding="utf-8"))
    return {
        name: {split: _by_name(rows, decode) for split, rows in splits.items()}
        for name, splits in found.items()
    }


def _by_name(rows: Sequence[dict[str, list[int]]], decode: Any) -> dict[str, Read]:
    found: dict[str, Read] = {}
    for row in rows:
        text = decode(row["input_ids"])
        marker = re.search(r"\[([a-z ]+)\]", text)
        assert marker
        assert marker[1] not in found
        found[marker[1]] = Read(text, [decode(run) for run in _runs(**row)])
    return found


def _runs(input_ids: list[int], labels: list[int]) -> list[list[int]]:
    """Return the runs of tokens that carry loss."""
    runs: list[list[int]] = [[]]
    for token, label in zip(input_ids, labels, strict=True):
        if label == -100:
            runs.append([])
        else:
            assert label == token
            runs[-1].append(token)
    return [run for run in runs if run]


def hold(trainer: str, found: dict[str, Read], names: Sequence[str], **other: list[str]) -> None:
    """Hold rows to their responses, and their prompts to what was said before.

    Args:
        trainer: Who has read them.
        found: As it has read them.
        names: Of the rows that must be there.
        other: What is trained instead, by row, where a trainer differs.
    """
    differing = {name.replace("_", " "): texts for name, texts in other.items()}
    expected = {name: differing.get(name, RESPONSES[name]) for name in names}
    ended = {name: [text + ENDS[trainer] for text in texts] for name, texts in expected.items()}
    assert {name: read.trained for name, read in found.items()} == ended
    for name, read in found.items():
        assert [text for text in prompt_texts(name) if text not in read.text] == []


def hold_stages(trainer: str, found: dict[str, Any], **other: list[str]) -> None:
    """Hold two splits to their rows: the second repeats one of the first."""
    assert list(found) == ["stage1", "stage2"]
    hold(trainer, found["stage1"], SPECIALISED, **other)
    (again,) = set(found["stage2"]) - set(GENERAL)
    assert again in SPECIALISED
    hold(trainer, found["stage2"], (*GENERAL, again), **other)


def needs(trainer: str) -> pytest.MarkDecorator:
    wanted, installed = SCRIPTS / f"{trainer}.txt", ENVIRONMENTS / trainer / "installed.txt"
    there = installed.exists() and installed.read_bytes() == wanted.read_bytes()
    reason = f"no environment of {trainer} in its version: tests/trainers/install.sh {trainer}"
    return pytest.mark.skipif(not there, reason=reason)


@pytest.mark.trainers
@needs("trl")
def test_trl_trains_on_the_responses(tmp_path: Path) -> None:
    datasets = {
        "messages": export(tmp_path / "m", UNWEIGHTED),
        "inline": export(tmp_path / "i", UNWEIGHTED, reasoning="inline"),
        "pairs": export(tmp_path / "p", SINGLE, "prompt_completion"),
        "stages": export_stages(tmp_path / "s"),
        "weighted": export(tmp_path / "w", ("weighted",)),
    }
    # Beside weighted rows stands no script, since TRL would train on all of their turns.
    assert not (datasets["weighted"] / "trainers" / "trl_sft.py").exists()
    (datasets["weighted"] / "trainers").mkdir(exist_ok=True)
    shutil.copy(datasets["messages"] / "trainers" / "trl_sft.py", datasets["weighted"] / "trainers")
    found = read_by("trl", datasets, tmp_path)
    hold("trl", found["messages"]["train"], UNWEIGHTED)
    # A thought in the text is text to the template, which puts a line between it and a call.
    aloud = RESPONSES["thinks aloud and calls"]
    hold("trl", found["inline"]["train"], UNWEIGHTED, thinks_and_calls=aloud)
    hold_stages("trl", found["stages"])
    hold("trl", found["weighted"]["train"], ("weighted",), weighted=["Bad.", "Good."])
    # Two texts, without a chat template.
    pairs = {name: read.trained for name, read in found["pairs"]["train"].items()}
    assert pairs == {name: [f"{RESPONSES[name][0]}<|im_end|>"] for name in SINGLE}


@pytest.mark.trainers
@needs("llamafactory")
def test_llamafactory_trains_on_the_responses(tmp_path: Path) -> None:
    datasets = {
        "sharegpt": export(tmp_path / "m", ALTERNATING, "sharegpt"),
        "alpaca": export(tmp_path / "a", (*SINGLE, "system"), "alpaca"),
        "messages": export(tmp_path / "p", ("single", "several", "system", "unicode")),
        "stages": export_stages(tmp_path / "s", "sharegpt"),
    }
    found = read_by("llamafactory", datasets, tmp_path)
    hold("llamafactory", found["sharegpt"]["train"], ALTERNATING)
    hold("llamafactory", found["alpaca"]["train"], (*SINGLE, "system"))
    hold("llamafactory", found["messages"]["train"], ("single", "several", "system", "unicode"))
    hold_stages("llamafactory", found["stages"])


@pytest.mark.trainers
@needs("axolotl")
def test_axolotl_trains_on_the_responses(tmp_path: Path) -> None:
    datasets = {
        "messages": export(tmp_path / "m", tuple(ROWS)),
        "alpaca": export(tmp_path / "a", SINGLE, "alpaca"),
        "stages": export_stages(tmp_path / "s"),
    }
    found = read_by("axolotl", datasets, tmp_path)
    # It drops every null, also those that arguments say.
    without_null = [ROME.replace(', "unit": null', "")]
    hold("axolotl", found["messages"]["train"], tuple(ROWS), calls=without_null)
    hold("axolotl", found["alpaca"]["train"], SINGLE)
    hold_stages("axolotl", found["stages"], calls=without_null)


@pytest.mark.trainers
@needs("ms_swift")
def test_ms_swift_trains_on_the_responses(tmp_path: Path) -> None:
    datasets = {
        "messages": export(tmp_path / "m", tuple(ROWS), reasoning="inline"),
        "stages": export_stages(tmp_path / "s", reasoning="inline"),
    }
    found = read_by("ms_swift", datasets, tmp_path)
    # It joins turns of the model that follow one another, and words and their call, with nothing.
    joined = {
        "says_and_calls": [f"I look.{OSLO}"],
        "thinks_aloud_and_calls": [f"<think>\nI need a tool.\n</think>\n\n{OSLO}"],
        "goes_on": [f"First.{OSLO}"],
    }
    # It writes the calls anew, by a parser of `datasets` that is not exact.
    calls, answer = RESPONSES["calls twice"]
    inexact = {"calls_twice": [calls.replace("0.7", "0.7000000000000001"), answer]}
    hold("ms_swift", found["messages"]["train"], tuple(ROWS), **joined, **inexact)
    hold_stages("ms_swift", found["stages"], **inexact)
