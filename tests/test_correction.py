"""Tests of corrections in whole runs.

The judge finds all responses right, and its samples say something else.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conversations import judged_for, said_in
from scripted import Scripted, said, stand_in
from test_clear import decisions, recipe_of

from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run


def corrected_by(
    judge: Scripted, folder: Path, patch: pytest.MonkeyPatch, judgements: int
) -> RunResult:
    lines = [json.dumps({"instruction": f"What is {n}?", "output": "OLD 1"}) for n in range(6)]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = recipe_of(
        consistency={"kind": "numeric"},
        threshold={"policy": "absolute", "value": 0.5},
        correct={"judgements": judgements, "max_share": 1.0},
    )
    data["inputs"] = data["inputs"][:1]
    recipe = parse_recipe(data, "recipe.yaml")
    stand_in(patch, recipe.models["judge"], judge)
    return run(recipe, folder, folder / "runs", Runtime())


def judge_of(weigh: Callable[[str], list[float]]) -> Scripted:
    """A model that writes "NEW 2" where nothing is asked, and judges as told."""

    def generate(turns: Any) -> Any:
        question = said_in(turns)
        if "(A)" not in question:
            return said("NEW 2", "NEW 2")
        weights = weigh(question)
        return said(*[f"Answer: {'ABC'[weights.index(max(weights))]}"] * 3)

    def choose(turns: Any) -> list[float]:
        question = said_in(turns)
        about = question.partition("Proposed answer:\n")[2]
        return [1, 0, 0] if about.startswith("OLD") else weigh(question)

    return Scripted(lambda turns: generate(turns)[: 1 if _is_greedy(turns) else 3], choose)


def _is_greedy(turns: Any) -> bool:
    """Return whether a prompt is a candidate's, without the demand to explain."""
    question = said_in(turns)
    return "(A)" not in question and "step by step" not in question


@pytest.mark.parametrize("judgements", [0, 3])
@pytest.mark.parametrize("letter", "ABC")
def test_a_judge_that_always_says_one_letter_replaces_nothing(
    letter: str, judgements: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = [float(letter == each) for each in "ABC"]
    judge = judge_of(lambda _: weights)
    result = corrected_by(judge, tmp_path, monkeypatch, judgements)
    assert result.stages[0].reasons_dropped == {"not_improved": 6}
    assert result.stages[0].diagnosis["corrections"]["judged"] == 6


@pytest.mark.parametrize("judgements", [0, 3])
def test_a_judge_that_prefers_the_candidate_wherever_it_stands_replaces_the_response(
    judgements: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judge_of(lambda question: judged_for("NEW 2", question))
    result = corrected_by(judge, tmp_path, monkeypatch, judgements)
    assert result.stages[0].reasons_kept == {"corrected": 6}
    assert {row["confidence.preference"] for row in decisions(result)} == {1.0}


@pytest.mark.parametrize("judgements", [0, 3])
def test_a_judge_that_prefers_the_response_wherever_it_stands_replaces_nothing(
    judgements: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judge_of(lambda question: judged_for("OLD 1", question))
    result = corrected_by(judge, tmp_path, monkeypatch, judgements)
    assert result.stages[0].reasons_dropped == {"not_improved": 6}
