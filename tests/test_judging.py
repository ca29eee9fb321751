"""Tests of questions to a judge, and of the letters that its replies are read as."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, said, texts

from siftline.models.generation import Sampling
from siftline.scorers.judges.judging import (
    Reading,
    ask,
    is_better,
    is_consistent,
    is_correct,
    letter_of,
    question_of,
    weigh,
)

ABC = ("A", "B", "C")


@pytest.mark.parametrize(
    "reply",
    [
        "Answer: B",
        "answer: b",
        "Answer:\n\nB",
        "**Answer:** B",
        "**Answer**: (B)",
        "__Answer__: B",
        "Answer: **(B)**",
        "Answer: [[B]]",
        "Answer: _B_",
        "Answer: $\\boxed{B}$",
        "Answer: Option B",
        "Answer = B",
        "Answer\uff1aB",
        "'Answer: B'",
        "Final answer: B.",
        "Answer: B (Incorrect)",
        "Answer: B - it is wrong",
        "Answer: B, since it is wrong",
        "Answer: B because it is wrong",
        "The answer is B.",
        "The better answer is (b).",
        "the answer is: B",
        "It is wrong.\nAnswer: B\n\nThe answer a person gives is another.",
        "B",
        "b",
        "B.",
        "(B)",
        "(b)",
        "[B]",
        "**B**",
        "Option B",
        "(B) Incorrect. It is 5.",
        "B: Incorrect",
        "It is 5, not 4.\n\nB",
        "It is 5, not 4.\n(B) Incorrect",
    ],
)
def test_a_letter_is_read_however_it_is_worded(reply: str) -> None:
    assert letter_of(reply, ABC) == "B"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "A cat sat on the mat.",
        "I cannot answer. A cat sat on it.",
        "We answer\nA cat sat on it.",
        "Answer: a cat",
        "Answer: A cat sat on the mat",
        "The answer is a good one.",
        "the first answer a reader would take",
        "Answer: Because",
        "Bananas. Apples. Cats",
        "I am not sure",
        "Answer: A or B",
        "Answer: A/B",
        "Answer: N/A",
        "Answer: A's",
        "Answer: C++",
        "C++ is a language",
        "B.C. 300",
        "A.I. is not it",
        "Answer: D",
        "(D) None of them",
        "Answer:",
        "I end with 'Answer: <letter>'.",
    ],
)
def test_a_reply_without_a_letter_that_counts_has_none(reply: str) -> None:
    assert letter_of(reply, ABC) is None


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("Answer: A\nNo, wait.\nAnswer: C", "C"),
        ("A\nB", "B"),
        ("<think>Answer: A?</think> Answer: B", "B"),
        ("Answer: A\n(B) would be wrong.", "A"),  # what is marked counts before what opens a line
        ("(A) is tempting.\n(C) it is.\nAnswer: B", "B"),
        ("Answer: B\nAnswer: D", "B"),  # D was never offered
    ],
)
def test_of_several_letters_the_last_counts(reply: str, letter: str) -> None:
    assert letter_of(reply, ABC) == letter


@given(
    st.one_of(st.text(), st.text(alphabet="answer AaBbCc:().\n*_is")),
    st.sampled_from(ABC),
    st.sampled_from(["Answer: {}", "answer: {}", "Answer: ({})", "**Answer:** {}", "Answer: {}."]),
)
def test_a_last_line_of_the_form_asked_for_decides(before: str, letter: str, form: str) -> None:
    assert letter_of(f"{before}\n{form.format(letter)}", ABC) == letter
    assert letter_of(f"{before}\n{form.format(letter.lower())}\n", ABC) == letter


words = st.text(string.ascii_letters, min_size=2, max_size=6)


@given(
    st.lists(st.one_of(words, st.just("answer")), max_size=8), st.sampled_from([" ", "\n", ": "])
)
def test_a_letter_within_a_word_is_none(parts: list[str], between: str) -> None:
    assert letter_of(between.join(parts), ABC) is None


QUESTIONS = [ask(text) for text in ("one", "two", "three")]


def test_probabilities_are_weighed_against_one_another() -> None:
    weights: dict[str, Any] = {"one": [0.3, 0.1, 0.0], "two": "prompt_too_long", "three": [0, 0, 0]}
    model = Scripted(choose=lambda turns: weights[turns[-1]["content"]])
    found = weigh(model, QUESTIONS, ABC, "probabilities")
    assert found.rows == [pytest.approx([0.75, 0.25, 0.0]), "prompt_too_long", None]
    assert found.usage == (1, 3)
    assert texts(model.chosen) == ["one", "two", "three"]


def test_letters_are_counted_over_the_replies_that_have_one() -> None:
    replies: dict[str, Any] = {
        "one": said("Answer: A", "Answer: B", "I do not know.", "Answer: A"),
        "two": "special_token",
        "three": said("Perhaps.", "Perhaps not.", "Answer: D", ""),
    }
    model = Scripted(lambda turns: replies[turns[-1]["content"]])
    found = weigh(model, QUESTIONS, ABC, "letter", sampling=Sampling(n=4))
    assert found.rows == [pytest.approx([2 / 3, 1 / 3, 0]), "special_token", None]
    assert found.usage == (1, 3)
    assert model.samplings == [Sampling(n=4)]


def test_one_greedy_reply_is_read_by_default() -> None:
    model = Scripted(lambda _: said("Answer: C"))
    assert weigh(model, QUESTIONS, ABC, "letter").rows == [[0, 0, 1]] * 3
    assert [(each.n, each.temperature) for each in model.samplings] == [(1, 0)]


@pytest.mark.parametrize("reading", ["probabilities", "letter"])
def test_no_questions_are_no_call(reading: Reading) -> None:
    model = Scripted()
    assert weigh(model, [], ABC, reading) == ([], (0, 0), [])
    assert not model.calls


def test_letters_without_any_probability_are_no_answer() -> None:
    model = Scripted(choose=lambda _: [3e-5, 2e-5, 1e-5])
    found = weigh(model, [ask("Which?")], ABC, "probabilities")
    assert found.rows == [None]
    assert found.masses == [pytest.approx(6e-5)]


def test_one_letter_among_many_replies_is_no_judgement() -> None:
    replies = said("Answer: A", *["Who knows."] * 4)
    model = Scripted(lambda _: replies)
    found = weigh(model, [ask("Which?")], ABC, "letter", sampling=Sampling(n=5))
    assert found.rows == [None]
    replies[1:2] = said("Answer: B")
    assert weigh(model, [ask("Which?")], ABC, "letter", sampling=Sampling(n=5)).rows == [
        [0.5, 0.5, 0.0]
    ]


def test_a_lone_question_is_bare_and_a_dialogue_has_its_roles() -> None:
    first: Any = [{"role": "user", "content": "How many?"}]
    assert question_of(first) == "How many?"
    later: Any = [
        {"role": "system", "content": "Be brief."},
        *first,
        {"role": "assistant", "content": "Four."},
        {"role": "user", "content": "Sure?"},
    ]
    assert question_of(later) == (
        "system: Be brief.\nuser: How many?\nassistant: Four.\nuser: Sure?"
    )


@pytest.mark.parametrize(
    ("reading", "form"),
    [("probabilities", "Reply with one letter only."), ("letter", "'Answer: <letter>'.")],
)
def test_a_question_holds_the_task_the_answers_in_order_the_letters_and_the_form(
    reading: Reading, form: str
) -> None:
    correct = is_correct("TASK", "ONE", reading)
    doubted = is_correct("TASK", "ONE", reading, again=True)
    consistent = is_consistent("TASK", "ONE", "TWO", reading)
    better = is_better("TASK", "ONE", "TWO", reading)
    for question in (correct, doubted):
        _in_order(question, "TASK", "ONE", "(A) Correct", "(B) Incorrect", "(C) I am not", form)
    assert correct != doubted
    assert "Are you really sure" in doubted
    _in_order(consistent, "TASK", "First answer:\nONE", "Second answer:\nTWO", "(A) Yes", "(B) No")
    _in_order(better, "TASK", "First answer:\nONE", "Second answer:\nTWO", "(A) The first answer")
    _in_order(better, "(A) The first answer", "(B) The second answer", "(C) They are equally", form)
    assert consistent.endswith(form)


def _in_order(text: str, *parts: str) -> None:
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
