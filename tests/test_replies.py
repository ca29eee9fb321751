"""A reply that was cut, or ends in its thought, is read by nobody: it has a status instead."""

from typing import Any

import pytest
from conversations import is_doubt, rows_of, said_in
from golds import own, pairs
from scripted import Scripted, playing, said

from siftline.contracts.runtime import Runtime
from siftline.models.generation import LENGTH, STOP, Sampling
from siftline.models.thoughts import after_thought
from siftline.scorers.candidate import Candidate
from siftline.scorers.consistency import Consistency
from siftline.scorers.gold import Gold
from siftline.scorers.judges.comparers import Comparison, Judge, Numeric, agreement
from siftline.scorers.judges.judging import ask, weigh
from siftline.scorers.paraphrase import Paraphrase
from siftline.scorers.preference import Preference
from siftline.scorers.reflection import Reflection
from siftline.scorers.samples import Samples

ABC = ("A", "B", "C")
# Replies that hold a letter, or an answer, and are no verdict.
UNREAD: list[tuple[str, Any]] = [
    ("I first said. Answer: B", LENGTH),
    ("<think>Is it so? Answer: B", STOP),
    ("<think>Is it so? Answer: B", LENGTH),
    ("<think>a</think> Hm. <think>Answer: B", STOP),
    ("[THINK]Answer: B", STOP),
]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("It is 4.", "It is 4."),
        ("<think>5?</think>It is 4.", "It is 4."),
        ("5?</think>It is 4.", "It is 4."),  # the template has opened the thought
        ("<think>5?</think><think>6?</think> 4", " 4"),
        ("<think>5?", None),
        ("<reasoning>5?</reasoning> <think> 4", None),
        ("<think>5?</think>", ""),
    ],
)
def test_what_follows_the_last_thought_is_said(text: str, after: str | None) -> None:
    assert after_thought(text) == after


@pytest.mark.parametrize(("text", "finish"), UNREAD)
def test_no_letter_is_read_from_it(text: str, finish: Any) -> None:
    model = Scripted(lambda _: said(text, finish=finish))
    assert weigh(model, [ask("Which?")], ABC, "letter").rows == ["truncated"]


def test_of_several_replies_the_whole_ones_count() -> None:
    replies = [*said("Answer: A", "Answer: A"), *said("Answer: B", finish=LENGTH)]
    model = Scripted(lambda _: replies)
    sampling = Sampling(n=3)
    assert weigh(model, [ask("?")], ABC, "letter", sampling=sampling).rows == [[1, 0, 0]]
    replies[1:2] = said("Answer: A", finish=LENGTH)
    assert weigh(model, [ask("?")], ABC, "letter", sampling=sampling).rows == ["truncated"]


def test_a_letter_after_the_thought_counts_and_one_in_it_does_not() -> None:
    model = Scripted(lambda turns: said(f"<think>Answer: A</think>{said_in(turns)}"))
    questions = [ask("Answer: B"), ask("I do not know.")]
    assert weigh(model, questions, ABC, "letter").rows == [[0, 1, 0], None]


@pytest.mark.parametrize(("text", "finish"), UNREAD)
def test_a_reflection_has_a_status(text: str, finish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(turns: Any) -> Any:
        doubted = "really sure" in said_in(turns)
        return said(text, finish=finish) if doubted else said("Answer: A")

    scorer = Reflection(model="judge", reading="letter", reply_tokens=9)
    model = Scripted(reply)
    (found,) = scorer.score(rows_of("Four."), playing(model, monkeypatch)).table.to_pylist()
    assert (found["status"], found["first"], found["second"]) == ("truncated", None, None)
    assert model.samplings[0].max_tokens == 9


@pytest.mark.parametrize("cut", ["judgement", "doubt"])
def test_a_preference_has_a_status(cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(turns: Any) -> Any:
        here = is_doubt(said_in(turns)) == (cut == "doubt")
        return (
            said(*["Answer: A"] * (1 if is_doubt(said_in(turns)) else 2))
            if not here
            else [*said("Answer: B", finish=LENGTH)] * 2
        )

    rows = rows_of("Four.").append_column(
        "candidate", [[{"status": "ok", "text": "Five.", "origin": "m"}]]
    )
    scorer = Preference(
        model="judge",
        candidate=Candidate(model="judge"),
        sampling=Sampling(n=2),
        reading="letter",
    )
    (found,) = scorer.score(rows, playing(Scripted(reply), monkeypatch)).table.to_pylist()
    assert (found["status"], found["share_first"]) == ("truncated", None)


@pytest.mark.parametrize(("text", "finish"), UNREAD)
def test_a_comparer_that_is_a_judge_has_a_status(
    text: str, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = playing(Scripted(lambda _: said(text, finish=finish)), monkeypatch)
    judge = Judge(model="judge", reading="letter")
    assert agreement(judge, [Comparison("?", "4", "5")], runtime).values == ["truncated"]
    samples = {"status": "ok", "texts": ["5", "6"], "finished": [True, True]}
    scorer = Consistency(samples=Samples(model="judge"), comparer=judge)
    given = rows_of("4").append_column("samples", [[samples]])
    (found,) = scorer.score(given, runtime).table.to_pylist()
    assert (found["status"], found["agreement"]) == ("truncated", None)
    ((_, status, value),) = own(["five"], pairs("4"), Gold(judge=judge), runtime)
    assert (status, value) == ("truncated", None)


def test_answers_are_read_after_the_thought() -> None:
    given = pairs("#### 4", "#### 4", "#### 4")
    answers = ["#### 5</think>#### 4", "#### 4</think>#### 5", "#### 4</think> Hm"]
    found = own(answers, given, Gold(judge=Numeric()), Runtime())
    assert [(status, value) for _, status, value in found] == [
        ("ok", 1.0),
        ("ok", 0.0),
        ("no_answer", None),
    ]


def test_a_sample_that_ends_in_its_thought_has_no_answer() -> None:
    samples = {
        "status": "ok",
        "texts": ["<think>Answer: 4", "<think>5</think>Answer: 4", "Answer: 4"],
        "finished": [True, True, True],
    }
    scorer = Consistency(samples=Samples(model="judge"), comparer=Numeric())
    given = rows_of("4").append_column("samples", [[samples]])
    (found,) = scorer.score(given, Runtime()).table.to_pylist()
    assert found["agreements"] == [None, 1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "finish", "status"),
    [
        ("<think>4?", STOP, "unfinished_thought"),
        ("<think>4?", LENGTH, "cut"),
        ("<think>4?</think>", STOP, "empty_candidate"),
        ("<think>4?</think>It is 4.", STOP, "ok"),
    ],
)
def test_an_answer_that_ends_in_its_thought_is_none(
    text: str, finish: Any, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = playing(Scripted(lambda _: said(text, finish=finish)), monkeypatch)
    for scorer in (Candidate(model="judge"), Paraphrase(model="judge")):
        assert scorer.score(rows_of("Four."), runtime).table["status"].to_pylist() == [status]
