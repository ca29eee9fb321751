"""Tests of comparers: each by hand or beside the model that it asks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import Scripted, playing, said, texts
from tolerances import float32

from siftline.contracts.errors import RecipeError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.models.toy import ToyEmbedder, ToyLanguageModel
from siftline.scorers.judges.comparers import (
    Comparer,
    Comparison,
    Embedding,
    Judge,
    Nli,
    Numeric,
    agreement,
)
from siftline.scorers.judges.judging import ask, is_consistent

TOY = Runtime(
    models={"embedder": ModelSpec(name="builtin:toy"), "judge": ModelSpec(name="builtin:toy")}
)


def values(comparer: Any, *pairs: tuple[str, str], runtime: Runtime = TOY) -> list[Any]:
    comparisons = [Comparison("How many?", *pair) for pair in pairs]
    return agreement(comparer, comparisons, runtime).values


@pytest.mark.parametrize(
    ("reference", "sample", "value"),
    [
        ("5", "5.0", 1),
        ("1,000", "There are 1000 of them.", 1),
        ("$1,234,567.50", "1234567.5 dollars", 1),
        ("12,345", "12345", 1),
        ("1,00,000", "100000", 1),
        ("10", "100", 0),
        ("3 of 4", "4 of 3", None),  # several numbers are none
        ("It takes 5-6 days.", "6", None),
        ("(1,2)", "2", None),
        ("-5", "5", 0),
        ("x=-5", "It is \u22125.", 1),
        (".5", "0.50", 1),
        ("version 1.2.3", "3", None),
        ("9" * 40, "9" * 39 + "8", 0),
        ("none", "5", None),
        ("5", "none", None),
        ("", "", None),
    ],
)
def test_the_numbers_of_the_answers_are_compared(
    reference: str, sample: str, value: float | None
) -> None:
    assert values(Numeric(), (reference, sample), runtime=Runtime()) == [value]


def test_embeddings_are_compared_by_their_cosine() -> None:
    one, two, three = "the red car", "the red cart", "a blue van"
    vectors = ToyEmbedder().embed([one, two, three]).vectors
    found = values(Embedding(), (one, one), (one, two), (two, one), (one, three))
    expected = [1.0, vectors[0] @ vectors[1], vectors[1] @ vectors[0], vectors[0] @ vectors[2]]
    assert found == pytest.approx(np.maximum(expected, 0), abs=float32(32))
    assert 0 < found[3] < 0.5 < found[1] < 1


def test_opposite_vectors_do_not_agree_at_all() -> None:
    vectors = ToyEmbedder().embed(["no", "quick"]).vectors
    assert vectors[0] @ vectors[1] < -0.1
    assert values(Embedding(), ("no", "quick")) == [0.0]


def test_each_text_is_embedded_once() -> None:
    comparisons = [Comparison("q", "a b", text) for text in ("c d", "c d", "a b", "c d")]
    found = agreement(Embedding(), comparisons, TOY)
    assert found.values == pytest.approx([found.values[0], found.values[0], 1, found.values[0]])
    assert found.usage.tokens == len("a b") + len("c d")


def test_equal_comparisons_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {"five": [0.3, 0.1], "six": [0.0, 0.2]}
    judge = Scripted(choose=lambda turns: shares["six" if "six" in _said(turns) else "five"])
    runtime = playing(judge, monkeypatch)
    pairs = [("5", "five"), ("5", "six"), ("5", "five"), ("5", "five")]
    found = values(Judge(model="judge"), *pairs, runtime=runtime)
    assert found == pytest.approx([0.75, 0.0, 0.75, 0.75])
    assert len(judge.chosen) == 2
    # The same answers to another question are another comparison.
    more = [Comparison(question, "5", "five") for question in ("How many?", "Which?")]
    agreement(Judge(model="judge"), more, runtime)
    assert len(judge.chosen) == 4


def _said(turns: Any) -> str:
    return str(texts([turns])[0])


def test_the_judge_is_shown_the_question_and_both_answers() -> None:
    comparison = Comparison("TASK", "ONE", "TWO")
    (found,) = agreement(Judge(model="judge", template="plain"), [comparison], TOY).values
    question = ask(is_consistent("TASK", "ONE", "TWO", "probabilities"))
    (weights,) = ToyLanguageModel().choose([question], ["A", "B"], template="plain").rows
    assert isinstance(weights, list)
    assert found == pytest.approx(weights[0] / sum(weights))


def test_what_the_judge_does_not_tell_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    replies: dict[str, Any] = {"a": said("Answer: A"), "b": said("Answer: B")}
    replies |= {"c": said("Answer: C"), "d": "prompt_too_long"}  # C was not offered
    judge = Scripted(lambda turns: replies[_said(turns).split("Second answer:\n")[1][0]])
    runtime = playing(judge, monkeypatch)
    pairs = [("5", letter) for letter in ("a", "b", "c", "d")]
    found = values(Judge(model="judge", reading="letter"), *pairs, runtime=runtime)
    assert found == [1.0, 0.0, None, "prompt_too_long"]


def test_contradiction_is_averaged_over_both_directions(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from test_entailment import saved

    from siftline.models.loading import load_entailment

    spec = saved(tmp_path)
    runtime = Runtime(models={"nli": spec}, device="cpu")
    model = load_entailment(spec, "cpu")
    long = "w1 w2. w3 w4. w5 w6."
    pairs = [("w1 w2", "w3"), ("w3", "w1 w2"), ("w7", long)]
    forth = model.contradictions(pairs, 4).probability
    back = model.contradictions([(two, one) for one, two in pairs], 4).probability
    assert abs(forth[0] - back[0]) > 0.01
    comparer = Nli(model="nli", max_tokens=4)
    found = values(comparer, *pairs, runtime=runtime)
    assert found == pytest.approx(1 - (forth + back) / 2, abs=float32(32))
    assert found[0] == pytest.approx(found[1], abs=float32(32))
    whole = values(Nli(model="nli"), *pairs, runtime=runtime)
    assert whole[:2] == pytest.approx(found[:2], abs=float32(32))
    assert whole[2] != pytest.approx(found[2], abs=1e-4)


@pytest.mark.parametrize("comparer", [Embedding(), Nli(model="nli"), Judge(model="j"), Numeric()])
def test_nothing_to_compare_needs_no_model(comparer: Comparer) -> None:
    assert agreement(comparer, [], Runtime()) == ([], (0, 0))


@pytest.mark.parametrize("comparer", [Embedding(), Nli(model="nli"), Judge(model="j")])
def test_a_role_that_nobody_plays_is_named(comparer: Comparer) -> None:
    with pytest.raises(RecipeError, match=f"no model of the role '{comparer.role}'"):
        agreement(comparer, [Comparison("q", "a", "b")], Runtime())
