"""The dataset card: read by the Hub's own code, and safe whatever names hold."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from agent_rows import OPENAI
from huggingface_hub import DatasetCard
from huggingface_hub.repocard_data import DatasetCardData

from siftline.contracts.errors import RecipeError
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run

PLAIN = [{"question": f"Which is no. {n}?", "answer": f"It is {n}."} for n in range(5)]


def curate(
    folder: Path, inputs: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]], **recipe: Any
) -> RunResult:
    """Run a recipe over some inputs: rows, and fields of the input, by name of the source."""
    items: list[dict[str, Any]] = []
    for source, (rows, fields) in inputs.items():
        path = folder / f"{len(items)}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        items.append({"path": path.name, "source": source, **fields})
    data = {"name": "carded", "inputs": items, **recipe}
    return run(parse_recipe(data, "r.yaml"), folder, folder / "runs")


def card_of(done: RunResult) -> tuple[dict[str, Any], str]:
    """Return head and text of the card, as the Hub's code reads them."""
    card = DatasetCard.load(done.folder / "curated" / "README.md")
    assert isinstance(card.data, DatasetCardData)
    return dict(card.data.to_dict()), card.text  # type: ignore[no-untyped-call]


def test_the_head_says_what_the_hub_asks_for(tmp_path: Path) -> None:
    fields = {"license": "CC BY 4.0", "language": ["en", "de"]}
    head, _ = card_of(curate(tmp_path, {"facts": (PLAIN, fields)}))
    assert head["license"] == "cc-by-4.0"
    assert head["language"] == ["de", "en"]
    assert head["task_categories"] == ["text-generation"]
    assert head["size_categories"] == ["n<1K"]
    assert head["pretty_name"] == "carded"
    files = [{"split": "train", "path": "data/train-*.parquet"}]
    (config,) = head["configs"]
    assert (config["config_name"], config["data_files"]) == ("default", files)


def test_what_is_not_stated_is_not_guessed(tmp_path: Path) -> None:
    head, _ = card_of(curate(tmp_path, {"facts": (PLAIN, {})}))
    assert head["license"] == "unknown"
    assert "language" not in head


def test_a_source_of_which_no_row_is_left_has_no_say(tmp_path: Path) -> None:
    short = [{"question": "Which?", "answer": "x" * 50}]
    inputs = {
        "kept": (PLAIN, {"license": "mit", "language": "en"}),
        "dropped": (short, {"license": "gpl-3.0", "language": "fr"}),
    }
    stages = [{"kind": "rules", "max_chars": 20}]
    head, _ = card_of(curate(tmp_path, inputs, stages=stages))
    assert (head["license"], head["language"]) == ("mit", ["en"])


def test_names_and_licences_are_text(tmp_path: Path) -> None:
    hostile = "]}\n---\n# <script>|`x`: !!python/object"
    fields = {"license": hostile}
    head, text = card_of(curate(tmp_path, {hostile: (PLAIN, fields)}))
    assert head["license_name"] == hostile
    assert "<script>" not in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# carded"]


def test_codes_of_languages_are_codes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="language"):
        curate(tmp_path, {"facts": (PLAIN, {"language": "English!"})})


def test_the_card_says_who_reads_calls_and_what_is_in_quarantine(tmp_path: Path) -> None:
    rows = [OPENAI["ends_in_call"], OPENAI["plain"], {"messages": []}]
    done = curate(tmp_path, {"agents": (rows, {})}, max_bad_rows="50%")
    _, text = card_of(done)
    assert "JSON: `tool_calls`, `tools`. `datasets` from 4.7 on" in text
    assert "In quarantine, since they could not be used: " in text
    assert "4.7" not in card_of(curate(tmp_path, {"facts": (PLAIN, {})}))[1]


@pytest.mark.parametrize("name", ["messages", "alpaca"])
def test_a_later_version_is_not_taken_for_an_earlier_one(tmp_path: Path, name: str) -> None:
    """The cache of `datasets` knows a folder by its name and its card."""
    cache, output = str(tmp_path / "hf"), {"format": name}
    for count in (5, 4, 5):
        done = curate(tmp_path, {"facts": (PLAIN[:count], {})}, output=output)
        folder = str(done.folder / "curated")
        assert len(datasets.load_dataset(folder, split="train", cache_dir=cache)) == count


@pytest.mark.parametrize("name", ["openai", "sharegpt", "alpaca", "prompt_completion"])
def test_the_card_of_lines_leads_to_the_lines(tmp_path: Path, name: str) -> None:
    done = curate(tmp_path, {"facts": (PLAIN, {})}, output={"format": name})
    (files,) = card_of(done)[0]["configs"]
    assert files["data_files"] == [{"split": "train", "path": "data/train.jsonl"}]
    assert done.export.files == ("data/train.jsonl",)
