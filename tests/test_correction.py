"""Tests of candidates and of the preference for them: both orders, their letters, and bias."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scripted import Scripted, playing, said, texts
from test_clear import decisions, recipe_of
from test_confidence import DIALOGUE, rows_of, table

from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.models import loading
from siftline.models.generation import Sampling
from siftline.models.training.tuning import Tuning
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.scorers.correction import CANDIDATE, PREFERENCE, Candidate, Preference

NOTHING: dict[str, Any] = dict.fromkeys(PREFERENCE.names[2:])


def said_in(turns: Any) -> str:
    return str(texts([turns])[0])


# Candidates


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

    monkeypatch.setattr("siftline.scorers.correction.load_tuned", load)
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


# The preference


def preferred(
    model: Any,
    patch: pytest.MonkeyPatch,
    rows: pa.Table,
    candidates: list[dict[str, Any]],
    **fields: Any,
) -> list[dict[str, Any]]:
    given = rows.append_column("candidate", pa.array(candidates, pa.struct(list(CANDIDATE)[1:])))
    scorer = Preference(model="judge", candidate=Candidate(model="judge"), **fields)
    found = scorer.score(given, playing(model, patch)).table
    assert found.schema == PREFERENCE
    assert found["content_hash"].equals(rows["content_hash"])
    records: list[dict[str, Any]] = found.drop_columns(["content_hash"]).to_pylist()
    return records


def candidate(text: str | None, status: str = "ok") -> dict[str, Any]:
    return {"status": status, "text": text, "origin": "m"}


def is_doubt(question: str) -> bool:
    """Return whether a question is a reflection on a judgement, and not the judgement."""
    return "Proposed answer:" in question


def in_first_place(question: str) -> str:
    """Return the answer that a judgement shows first."""
    return question.partition("First answer:\n")[2].partition("\n\nSecond answer:\n")[0]


def test_both_orders_are_asked_and_doubted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(choose=lambda _: [1, 1, 1])
    rows = table([[*DIALOGUE, ("user", "And three?"), ("assistant", " OLD \n")]])
    preferred(model, monkeypatch, rows, [candidate("NEW")])
    judged = [each for each in texts(model.chosen) if not is_doubt(each)]
    doubted = [each for each in texts(model.chosen) if is_doubt(each)]
    assert len(judged) == 2
    assert "First answer:\nNEW\n\nSecond answer:\nOLD\n" in judged[0]
    assert "First answer:\nOLD\n\nSecond answer:\nNEW\n" in judged[1]
    for question in judged:
        assert "assistant: Four.\nuser: And three?\n" in question
    # The claim is that the candidate is better: A where it stands first, B where second.
    claims = ["(A) The first answer", "(B) The second answer"] * 2
    assert len(doubted) == 4
    for question, about, claim in zip(doubted, judged * 2, claims, strict=True):
        assert question.startswith(f"Question:\n{about}\n\nProposed answer:\n{claim}\n\n")
    assert ["really sure" in question for question in doubted] == [False, False, True, True]


def test_letters_are_those_of_the_candidate_in_each_order(monkeypatch: pytest.MonkeyPatch) -> None:
    doubts = {("(A)", False): 0.9, ("(A)", True): 0.5, ("(B)", False): 0.3, ("(B)", True): 0.1}

    def choose(turns: Any) -> list[float]:
        question = said_in(turns)
        if is_doubt(question):
            claim = question.rpartition("Proposed answer:\n")[2][:3]
            yes = doubts[claim, "really sure" in question]
            return [yes, 1 - yes, 0]
        return [0.6, 0.3, 0.1] if in_first_place(question) == "NEW" else [0.2, 0.7, 0.1]

    (found,) = preferred(Scripted(choose=choose), monkeypatch, rows_of("OLD"), [candidate("NEW")])
    assert found == {
        "status": "ok",
        "share_first": pytest.approx(0.6),  # A
        "share_second": pytest.approx(0.7),  # B
        "reflection_first": pytest.approx((0.9 + 0.5) / 2),
        "reflection_second": pytest.approx((0.3 + 0.1) / 2),
    }


def test_rows_keep_their_own_judgements(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(turns: Any) -> list[float]:
        question = said_in(turns)
        judgement = question.partition("\n\nProposed answer:")[0]
        first = in_first_place(judgement).startswith("NEW")
        mine = int(judgement.partition("NEW ")[2][0]) / 10 + (0 if first else 0.05)
        if is_doubt(question):
            return [mine / 2, 1 - mine / 2, 0]
        return [mine, 1 - mine, 0] if first else [1 - mine, mine, 0]

    statuses = ["ok", "cut", "ok", "prompt_too_long", "ok", "empty_candidate", "ok"]
    given = [candidate(f"NEW {row}", status) for row, status in enumerate(statuses)]
    rows = rows_of(*[f"OLD {row}" for row in range(7)])
    found = preferred(Scripted(choose=choose), monkeypatch, rows, given)
    assert [row["status"] for row in found] == statuses
    for number, row in enumerate(found):
        one, two = number / 10, number / 10 + 0.05
        numbers = list(row.values())[1:]
        expected = [one, two, one / 2, two / 2] if row["status"] == "ok" else [None] * 4
        assert numbers == pytest.approx(expected)


def test_nothing_is_asked_where_there_is_nothing_to_compare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Scripted()
    given = [
        candidate("the same"),
        candidate("so and so", "cut"),
        candidate(None, "empty_candidate"),
        candidate(None, "special_token"),
        candidate("new"),
    ]
    rows = rows_of(" the same\n", "b", "c", "d", "calls", calls=[4])
    found = preferred(model, monkeypatch, rows, given)
    statuses = ["unchanged", "cut", "empty_candidate", "special_token", "tool_calls"]
    assert found == [{"status": status, **NOTHING} for status in statuses]
    assert not model.calls


def test_an_empty_response_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(choose=lambda turns: _for("NEW", said_in(turns)))
    (found,) = preferred(model, monkeypatch, rows_of(" "), [candidate("NEW")])
    assert (found["share_first"], found["share_second"]) == (1, 1)


def _for(favourite: str, question: str) -> list[float]:
    """Judge for whoever gives this answer, and stand by it."""
    if is_doubt(question):
        judgement, _, claim = question.rpartition("\n\nProposed answer:\n")
        first = in_first_place(judgement) == favourite
        return [1, 0, 0] if claim.startswith("(A)" if first else "(B)") else [0, 1, 0]
    return [1, 0, 0] if in_first_place(question) == favourite else [0, 1, 0]


def _replying(script: Callable[[str], str]) -> Callable[[Any], Any]:
    """Reply by letters in turn: one for each sample."""
    return lambda turns: said(*(f"Answer: {letter}" for letter in script(said_in(turns))))


def test_sampled_judgements_are_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(_replying(lambda text: "AABC" if in_first_place(text) == "NEW" else "BBBC"))
    model._choose = lambda _: [1, 0, 0]  # the reflections are still read off probabilities
    sampling = Sampling(n=4, seed=5, max_tokens=20)
    (found,) = preferred(model, monkeypatch, rows_of("OLD"), [candidate("NEW")], sampling=sampling)
    assert (found["share_first"], found["share_second"]) == (0.5, 0.75)
    assert (found["reflection_first"], found["reflection_second"]) == (1, 1)
    assert model.samplings == [sampling]
    assert len(model.generated) == 2
    assert all(is_doubt(each) for each in texts(model.chosen))


@pytest.mark.parametrize("silent", ["NEW", "OLD"])
def test_a_judgement_without_a_letter_is_no_preference(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(text: str) -> str:
        return "D" if not is_doubt(text) and in_first_place(text) == silent else "A"

    (found,) = preferred(
        Scripted(_replying(reply)),
        monkeypatch,
        rows_of("OLD"),
        [candidate("NEW")],
        sampling=Sampling(),
        reading="letter",
    )
    assert found == {"status": "unparsable", **NOTHING}


def test_a_doubt_without_a_letter_counts_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(text: str) -> str:
        return "D" if is_doubt(text) and "really sure" in text else "A"

    (found,) = preferred(
        Scripted(_replying(reply)),
        monkeypatch,
        rows_of("OLD"),
        [candidate("NEW")],
        sampling=Sampling(),
        reading="letter",
    )
    assert found == {
        "status": "ok",
        "share_first": 1,
        "share_second": 0,
        "reflection_first": 0.75,
        "reflection_second": 0.75,
    }


@pytest.mark.parametrize("failing", range(6))
def test_a_question_that_fails_gives_the_row_its_status(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(range(6))
    model = Scripted(choose=lambda _: "too_long" if next(asked) == failing else [1, 0, 0])
    (found,) = preferred(model, monkeypatch, rows_of("OLD"), [candidate("NEW")])
    assert found == {"status": "too_long", **NOTHING}


# Whole runs: the judge finds all responses right, and its samples say something else.


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
    patch.setitem(loading._loaded, ("toy", recipe.models["judge"], "cpu"), judge)
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
    judge = judge_of(lambda question: _for("NEW 2", question))
    result = corrected_by(judge, tmp_path, monkeypatch, judgements)
    assert result.stages[0].reasons_kept == {"corrected": 6}
    assert {row["confidence.preference"] for row in decisions(result)} == {1.0}


@pytest.mark.parametrize("judgements", [0, 3])
def test_a_judge_that_prefers_the_response_wherever_it_stands_replaces_nothing(
    judgements: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judge_of(lambda question: _for("OLD 1", question))
    result = corrected_by(judge, tmp_path, monkeypatch, judgements)
    assert result.stages[0].reasons_dropped == {"not_improved": 6}
