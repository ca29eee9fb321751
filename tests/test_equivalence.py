"""Tests of equivalence to the gold answer: by numbers, by a model, and by tests of code."""

from typing import Any

import pyarrow as pa
import pytest
from golds import own, pairs, statuses
from sandboxes import needs_sandbox
from scripted import Scripted, playing, texts

from siftline.contracts.runtime import Runtime
from siftline.scorers.equivalence import ParaphraseEquivalence
from siftline.scorers.gold import Gold
from siftline.scorers.judges.comparers import Judge, Numeric
from siftline.scorers.judges.execution import Execution
from siftline.scorers.paraphrase import Paraphrase


def test_final_numbers_are_compared() -> None:
    gold = "2 and 2, that is 2 + 2 = 4, for 17 children.\n#### 4"
    answers = ["So 4.0.", "It is 22.", "No idea.", "<cut>", "The answer is 4", gold]
    found = own(answers, pairs(*[gold] * 6), Gold(judge=Numeric()), Runtime())
    assert found == [
        ("h0", "ok", 1.0),
        ("h1", "ok", 0.0),
        ("h2", "no_answer", None),  # what is no number is no verdict
        ("h3", "cut", None),
        ("h4", "ok", 1.0),
        ("h5", "ok", 1.0),
    ]


def test_a_marked_number_counts_before_the_last_one() -> None:
    answers = ["Answer: 4\nCheck: 4 is 2 and 2", "Answer: 5\nCheck: 5 is not 4"]
    found = own(answers, pairs("#### 4", "#### 4"), Gold(judge=Numeric()), Runtime())
    assert [value for _, _, value in found] == [1.0, 0.0]


def test_a_format_is_asked_of_every_answer() -> None:
    rows = pairs("Well: #### 4", "Well: #### 4")
    found = own(["#### 4", "It is 4"], rows, Gold(judge=Numeric(), pattern="####"), Runtime())
    assert found == [("h0", "ok", 1.0), ("h1", "wrong_format", None)]


def test_a_model_judges_and_what_it_does_not_say_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def choose(turns: Any) -> Any:
        (question,) = texts([turns])
        assert question.startswith("Question:\nWho?\n\nFirst answer:\nAnna\n\nSecond answer:\n")
        weights: dict[str, Any] = {"Anne": [0.6, 0.2], "Bob": [0.0, 0.9]}
        return next((each for name, each in weights.items() if name in question), "special_token")

    model = Scripted(choose=choose)
    runtime = playing(model, monkeypatch, "j")
    rows = pairs("Anna", "Anna", "Anna", "Anna", prompt="Who?")
    answers = ["Anne", "Bob", "<|end|", "Anna"]
    rows_and_answers = rows.append_column(
        "paraphrase",
        pa.array([{"status": "ok", "text": text, "origin": "m"} for text in answers]),
    ).append_column("gold", pa.array([{"status": "ok"}] * 4))
    scorer = ParaphraseEquivalence(
        answer=Paraphrase(model="m"), gold=Gold(judge=Judge(model="j", template="plain"))
    )
    scored = scorer.score(rows_and_answers, runtime)
    assert scored.table["status"].to_pylist() == ["ok", "ok", "special_token", "ok"]
    assert scored.table["agreement"].to_pylist() == [pytest.approx(0.75), 0.0, None, 1.0]
    assert len(model.chosen) == 3  # the gold answer to the letter needs no judge
    assert scored.usage.model_calls == 1


@needs_sandbox
def test_code_is_held_to_the_tests_of_its_row() -> None:
    judge = Execution(tests="tests", allow_execution=True, seconds=5)
    right, wrong = "def f(n):\n    return n + 1", "def f(n):\n    return n"
    tests = {"tests": ["assert f(1) == 2"]}
    vacuous = {"tests": "def check(f):\n    assert f(1) == 2"}  # which nobody calls
    metadata = [tests, tests, vacuous, {}, {"tests": "assert f(1) == 1"}, tests]
    golds = [right, wrong, right, right, wrong, "It adds one."]
    rows = pairs(*golds, metadata=metadata)
    assert statuses(Gold(judge=judge), rows) == [
        "ok",
        "gold_fails",
        "empty_tests",
        "no_answer",
        "ok",
        "gold_fails",
    ]
    given = rows.take([0, 0, 4, 4, 0])
    answers = [f"Sure:\n```python\n{right}\n```", wrong, right, wrong, "I cannot."]
    found = own(answers, given, Gold(judge=judge), Runtime())
    assert [(status, value) for _, status, value in found] == [
        ("ok", 1.0),
        ("ok", 0.0),
        ("ok", 0.0),
        ("ok", 1.0),
        ("ok", 0.0),
    ]
