from pathlib import Path
from typing import Any

import pytest

from siftline.contracts.errors import RecipeError
from siftline.pipelines.recipe import Recipe, load_recipe, parse_recipe
from siftline.selectors.baselines import Random
from siftline.selectors.diversity import Diversity

MINIMAL: dict[str, Any] = {"name": "r", "inputs": [{"path": "a.jsonl"}]}


def problem(**changes: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**MINIMAL, **changes}, "r.yaml")
    return str(caught.value)


def test_no_stage_is_a_recipe() -> None:
    recipe = parse_recipe(MINIMAL, "r.yaml")
    assert recipe.stages == ()
    assert recipe.inputs[0].source == "a"
    assert recipe.max_bad_rows == 0.05


def test_the_seed_reaches_stages_that_state_none() -> None:
    stages = [
        {"kind": "diversity", "model": "m", "budget": 3},
        {"kind": "diversity", "model": "m", "budget": 3, "seed": 9},
    ]
    recipe = parse_recipe(
        {**MINIMAL, "seed": 5, "models": {"m": {"name": "builtin:toy"}}, "stages": stages}, "r"
    )
    assert [stage.seed for stage in recipe.stages if isinstance(stage, Diversity)] == [5, 9]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stage": []}, "r.yaml: stage: unknown field. Did you mean 'stages'?"),
        ({"stages": [{"kind": "grap"}]}, "stages[0]: unknown kind 'grap'. Did you mean 'grape'?"),
        ({"stages": [{"kind": "rules", "min_char": 3}]}, "stages[0].min_char: unknown field."),
        (
            {"inputs": [{"path": "a.csv", "columns": {"answer": "A"}}]},
            "inputs[0]: columns: unknown field 'answer'. Did you mean 'response'?",
        ),
        (
            {"inputs": [{"path": "a.csv", "columns": {"questin": "Q"}}]},
            "inputs[0]: columns: unknown field 'questin'. Did you mean 'question'?",
        ),
        (
            {"inputs": [{"path": "a.csv", "columns": {"xyz": "A"}}]},
            "inputs[0]: columns: unknown field 'xyz'. Known: instruction, input, response, ",
        ),
        ({"stages": [{"kind": "random"}]}, "stages[0].budget: missing"),
        ({"stages": [{"kind": "random", "budget": -1}]}, "a share such as '50%'"),
        ({"stages": [{"kind": "grape", "model": "m"}]}, "no model named 'm'"),
        ({"stages": [{"kind": "random", "budget": "x"}]}, "got 'x'; expected a whole number"),
        ({"inputs": []}, "inputs: got []"),
        ({"stages": None}, "stages: got None; expected a list"),
        ({"stages": [{"kind": "rds_plus", "model": "m", "targets": "a", "budget": 1}]}, "a list"),
        ({"stages": [{"kind": "random", "budget": 1.0}]}, "may be one or all; expected a"),
        ({"stages": [{"kind": "nonesuch"}]}, "Is its package installed?"),
        ({"max_bad_rows": "five%"}, "got 'five%'; expected a share from 0 to 1, such as '5%'"),
        (
            {"stages": [{"kind": "mix", "max_epochs": 2}, {"kind": "random", "budget": 3}]},
            "the budget of 'random' after it would count once; expected 'mix' after it",
        ),
        (
            {"stages": [{"kind": "dmt", "specialised": ["x"]}] * 2},
            "got 'dmt' twice",
        ),
        ({"stages": [{"kind": "mix", "max_epochs": 10**18}]}, "max_epochs"),
        ({"inputs": [{"path": "a", "hub": "b"}]}, "exactly one of 'path' and 'hub'"),
        ({"inputs": [{"path": "a", "fromat": "x"}]}, "Did you mean 'format'?"),
        ({"max_bad_rows": "200%"}, "max_bad_rows: got '200%'"),
        ({"name": "../up"}, "name: got '../up'"),
        ({"models": {"m": {"nam": "x"}}}, "Did you mean 'name'?"),
    ],
)
def test_a_mistake_is_one_clear_sentence(changes: dict[str, Any], expected: str) -> None:
    message = problem(**changes)
    assert expected in message
    assert "pydantic" not in message


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_overrides(tmp_path: Path) -> None:
    path = write(
        tmp_path, "name: r\ninputs: [{path: a.csv}]\nstages: [{kind: random, budget: 3}]\n"
    )
    recipe = load_recipe(path, ["seed=4", "stages.0.budget=50%", "inputs.0.source=x"])
    assert recipe.seed == 4
    assert recipe.stages == (Random(budget="50%", seed=4),)
    assert recipe.inputs[0].source == "x"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", "expected key=value"),
        ("stages.7.budget=1", "expected a number from 0 to 0"),
        ("name.x=1", "cannot be set inside a text"),
        ("sed=1", "Did you mean 'seed'?"),
    ],
)
def test_a_wrong_override_says_so(tmp_path: Path, override: str, expected: str) -> None:
    path = write(tmp_path, "name: r\ninputs: [{path: a.csv}]\nstages: [{kind: rules}]\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, [override])
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "not valid YAML"),
        ("name: a\nname: b\n", "'name' stands twice"),
        ("- a\n", "holds a list"),
        ("", "holds nothing"),
        ("name: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert expected in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="siftline init"):
        load_recipe(tmp_path / "none.yaml")


def test_a_recipe_survives_its_own_dump() -> None:
    recipe = parse_recipe({**MINIMAL, "stages": [{"kind": "rules"}]}, "r")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_what_follows_from_another_mistake_is_not_told(tmp_path: Path) -> None:
    path = write(tmp_path, "name: r\ninputs: [{pat: a.csv}]\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert "unknown field. Did you mean 'path'?" in str(caught.value)
    assert "at least 1 item" not in str(caught.value)
