"""Tests of candidates, with scripted models."""

from pathlib import Path
from typing import Any

import pytest
from conversations import said_in, table
from scripted import Scripted, playing, said

from siftline.contracts.model_spec import ModelSpec
from siftline.models.generation import Sampling
from siftline.models.training.tuning import Tuning
from siftline.scorers.candidate import CANDIDATE, Candidate


def test_a_candidate_is_one_greedy_answer_and_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies: dict[str, Any] = {
        "good": said(" It is 4. \n"),
        "cut": said("It is and is", finish="length"),
        "empty": said(" \n"),
        "too long": "prompt_too_long",
    }
    model = Scripted(lambda turns: replies[said_in(turns)])
    rows = table([[("user", name), ("assistant", "RESPONSE")] for name in replies])
    runtime = playing(model, monkeypatch)
    found = Candidate(model="judge", max_tokens=9).score(rows, runtime)
    assert found.table.schema == CANDIDATE
    name = runtime.models["judge"].name
    assert list(zip(*found.table.to_pydict().values(), strict=True)) == [
        ("p0", "ok", "It is 4.", name),
        ("p1", "cut", "It is and is", name),
        ("p2", "empty_candidate", None, None),
        ("p3", "prompt_too_long", None, None),
    ]
    assert model.samplings == [Sampling(temperature=0, max_tokens=9)]
    assert "RESPONSE" not in str(model.generated)
    assert found.usage == (1, 4)


def test_each_prompt_is_answered_by_the_model_that_has_not_seen_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded: list[Path] = []

    def load(spec: ModelSpec, folder: Path, device: str) -> Scripted:
        loaded.append(folder)
        return Scripted(lambda turns: said(f"{said_in(turns)} by {folder.name}"))

    monkeypatch.setattr("siftline.scorers.candidate.load_tuned", load)
    tuning = Tuning(model="judge", folds=2)
    prompts = [f"prompt {n}" for n in range(6)]
    rows = table([[("user", prompt), ("assistant", "x")] for prompt in prompts])
    runtime = playing(Scripted(), monkeypatch).model_copy(update={"artifact": tmp_path})
    for fold in (0, 1):
        (tmp_path / f"fold-{fold}").mkdir()
    found = Candidate(model="judge", tuning=tuning, trained_on="1").score(rows, runtime)
    folds = [tuning.fold_of(f"p{n}") for n in range(6)]
    assert set(folds) == {0, 1}
    assert found.table["text"].to_pylist() == [
        f"{prompt} by fold-{fold}" for prompt, fold in zip(prompts, folds, strict=True)
    ]
    assert found.table["prompt_id"].equals(rows["prompt_id"])
    assert loaded == [tmp_path / "fold-0", tmp_path / "fold-1"]
    assert found.usage == (2, 6)
    # A fold for which nothing was left to learn from has no model, and its rows no candidate.
    (tmp_path / "fold-1").rmdir()
    found = Candidate(model="judge", tuning=tuning, trained_on="1").score(rows, runtime)
    status = {0: "ok", 1: "nothing_to_train_on"}
    assert found.table["status"].to_pylist() == [status[fold] for fold in folds]
