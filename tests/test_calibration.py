"""Tests of planted errors, of the measures against the truth, and of `siftline calibrate`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agent_rows import OPENAI
from test_clear import go, recipe_of, write
from typer.testing import CliRunner

from siftline.cli import app
from siftline.contracts.errors import InputError, RecipeError
from siftline.pipelines.calibration.calibrate import calibrate
from siftline.pipelines.calibration.corruption import KINDS, plant
from siftline.pipelines.calibration.detection import detection
from siftline.pipelines.recipe import parse_recipe

TURNS: Any = [
    {"role": "user", "content": "There are four ducks. How many legs do they have?"},
    {"role": "assistant", "content": "Each duck has 2 legs, so that four of them have 8 legs."},
]
OTHERS = ["The capital is Paris."]


def planted(kind: Any, turns: Any = TURNS, others: list[str] = OTHERS) -> str | None:
    found = plant([kind], turns, others, np.random.default_rng(0))
    return found.response if found else None


def test_each_kind_of_error_is_what_it_says() -> None:
    assert planted("swapped") == OTHERS[0]
    assert planted("cut") == "Each duck has 2 legs, so"
    assert planted("prompt_sentence") in ("There are four ducks.", "How many legs do they have?")
    changed = planted("number")
    assert changed is not None
    assert changed.startswith("Each duck has 2 legs, so that four of them have ")
    assert "8 legs" not in changed


def test_what_cannot_be_planted_is_left_to_the_next_kind() -> None:
    short: Any = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    for kind in KINDS:
        assert planted(kind, short, []) is None
    found = plant(("number", "cut", "swapped"), short, OTHERS, np.random.default_rng(0))
    assert found is not None
    assert found.kind == "swapped"
    same: Any = [short[0], {"role": "assistant", "content": OTHERS[0]}]
    assert plant(("swapped",), same, OTHERS, np.random.default_rng(0)) is None


def test_detection_by_hand() -> None:
    units = np.array(list("abcde"), dtype=object)
    scores = np.array([0.1, 0.3, 0.2, 0.9, np.nan])
    bad = np.array([True, True, False, False, True])
    found = detection(scores, bad, units)
    assert found is not None
    assert (found.rows, found.bad) == (4, 2)
    assert found.auroc.value == pytest.approx(3 / 4)  # of four pairs one is in the wrong order
    assert found.average_precision.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.auroc.low <= found.auroc.value <= found.auroc.high
    assert detection(scores, np.zeros(5, dtype=bool), units) is None


def test_calibration_plants_errors_and_asks_nothing_twice(tmp_path: Path) -> None:
    write(tmp_path, 40)
    recipe = parse_recipe(recipe_of(), "recipe.yaml")
    found = calibrate(recipe, tmp_path, tmp_path / "runs", rows=32)
    assert found.rows == 32
    assert 12 <= sum(found.planted.values()) <= 16
    assert found.model_calls > 0
    judged = sum(share.rows for share in found.by_source.values())
    assert judged == sum(share.rows for share in found.by_kind.values())
    assert judged + found.unjudged == 32
    again = calibrate(recipe, tmp_path, tmp_path / "runs", rows=32)
    assert again.model_calls == again.tokens == 0
    assert again.scores == found.scores
    other = parse_recipe({**recipe_of(), "seed": 5}, "recipe.yaml")
    calibrate(other, tmp_path, tmp_path / "runs", rows=32)
    versions = [path.name for path in (tmp_path / "runs" / recipe.name).glob("v*")]
    assert versions == ["v0001"]  # calibrations that are not run do not pile up
    after = go(tmp_path)
    assert after.cached > 0  # what was asked of clean rows
    assert after.version == "v0001"


def test_a_recipe_without_clear_and_too_little_data_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with (tmp_path / "chat.jsonl").open("a", encoding="utf-8") as chat:  # no text to damage alone
        chat.writelines(json.dumps(OPENAI["says_and_calls"]) + "\n" for _ in range(8))
    data = recipe_of()
    with pytest.raises(InputError, match="at least 4"):
        calibrate(parse_recipe(data, "r"), tmp_path, tmp_path / "runs")
    data["stages"] = [{"kind": "rules"}]
    with pytest.raises(RecipeError, match="no stage of kind 'clear'"):
        calibrate(parse_recipe(data, "r"), tmp_path, tmp_path / "runs")


def test_the_command_prints_figures_and_a_verdict(tmp_path: Path) -> None:
    write(tmp_path, 20)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(recipe_of()), encoding="utf-8")
    arguments = ["calibrate", str(recipe), "--runs", str(tmp_path / "runs"), "--rows", "16"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "AUROC" in shown.output
    assert "model calls" in shown.output
    told = CliRunner().invoke(app, [*arguments, "--json"])
    assert json.loads(told.stdout)["rows"] == 16
