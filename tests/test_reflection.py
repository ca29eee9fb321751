"""Tests of self-reflection, on tables of rows and with scripted models."""

from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from conversations import DIALOGUE, rows_of, said_in, table
from scripted import Scripted, playing, said, texts

from siftline.scorers.candidate import Candidate
from siftline.scorers.preference import Preference
from siftline.scorers.reflection import REFLECTION, Reflection


def reflected(
    model: Any, patch: pytest.MonkeyPatch, rows: pa.Table, **fields: Any
) -> list[dict[str, Any]]:
    found = Reflection(model="judge", **fields).score(rows, playing(model, patch)).table
    assert found.schema == REFLECTION
    assert found["content_hash"].to_pylist() == rows["content_hash"].to_pylist()
    records: list[dict[str, Any]] = found.drop_columns(["content_hash"]).to_pylist()
    return records


def doubts(turns: Any) -> bool:
    """Return whether this is the second look."""
    return "really sure" in said_in(turns)


def test_each_look_counts_a_as_one_and_c_as_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = {False: [0.4, 0.2, 0.2], True: [0.1, 0.1, 0.3]}
    model = Scripted(choose=lambda turns: looks[doubts(turns)])
    (found,) = reflected(model, monkeypatch, rows_of("Four."))
    assert found == {
        "status": "ok",
        "first": pytest.approx((0.4 + 0.5 * 0.2) / 0.8),
        "second": pytest.approx((0.1 + 0.5 * 0.3) / 0.5),
        "first_letter": "A",
        "second_letter": "C",
        "unparsable": 0,
        "letter_mass": pytest.approx((0.8 + 0.5) / 2),
    }


def test_a_reply_without_a_letter_counts_a_half_and_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = {
        ("one", False): "Answer: A",
        ("one", True): "Who knows.",
        ("two", False): "",
        ("two", True): "A question to answer.",
        ("three", False): "Answer: B",
        ("three", True): "Answer: C",
    }

    def reply(turns: Any) -> Any:
        (name,) = [name for name, _ in replies if f"\n{name}\n" in said_in(turns)][:1]
        return said(replies[name, doubts(turns)])

    found = reflected(
        Scripted(reply), monkeypatch, rows_of("one", "two", "three"), reading="letter"
    )
    columns = ["first", "second", "first_letter", "second_letter", "unparsable"]
    assert [[row[name] for name in columns] for row in found] == [
        [1.0, 0.5, "A", None, 1],
        [0.5, 0.5, None, None, 2],
        [0.0, 0.5, "B", "C", 0],
    ]
    assert [row["status"] for row in found] == ["ok"] * 3


def test_only_what_can_be_judged_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(choose=lambda turns: [1, 0, 0] if "good" in said_in(turns) else [0, 1, 0])
    rows = rows_of("", "bad", "calls", " \n", "good", calls=[2])
    found = reflected(model, monkeypatch, rows)
    statuses = ["empty_response", "ok", "tool_calls", "empty_response", "ok"]
    assert [row["status"] for row in found] == statuses
    assert [row["first"] for row in found] == [None, 0, None, None, 1]
    assert [row["unparsable"] for row in found] == [None, 0, None, None, 0]
    assert len(model.chosen) == 2 * 2
    assert [doubts(turns) for turns in model.chosen] == [False, False, True, True]


def test_an_empty_response_makes_no_call_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted()
    found = reflected(model, monkeypatch, rows_of("", " ", "calls", calls=[2]))
    assert [row["status"] for row in found] == ["empty_response", "empty_response", "tool_calls"]
    assert not model.calls


@pytest.mark.parametrize("failing", [False, True])
def test_a_look_that_fails_gives_the_row_a_status(
    failing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(turns: Any) -> Any:
        return (
            "prompt_too_long"
            if "long" in said_in(turns) and doubts(turns) == failing
            else [1, 0, 0]
        )

    long, short = reflected(Scripted(choose=choose), monkeypatch, rows_of("long", "short"))
    assert long == dict.fromkeys(REFLECTION.names[1:]) | {"status": "prompt_too_long"}
    assert (short["status"], short["first"]) == ("ok", 1.0)


def test_the_last_turn_is_judged_given_what_precedes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(choose=lambda _: [1, 0, 0])
    conversation = [*DIALOGUE, ("user", "And three?"), ("assistant", " Five. \n")]
    reflected(model, monkeypatch, table([conversation]))
    history = "system: Be brief.\nuser: Two and two?\nassistant: Four.\nuser: And three?"
    for question in texts(model.chosen):
        assert question.startswith(f"Question:\n{history}\n\nProposed answer:\nFive.\n\n")
    assert len(model.chosen) == 2


@pytest.mark.parametrize(
    "scorer", [Reflection, partial(Preference, candidate=Candidate(model="m"))]
)
def test_a_reply_has_at_least_one_token(scorer: Any) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        scorer(model="judge", reply_tokens=0)
