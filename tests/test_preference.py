"""Tests of the preference for a candidate, with scripted models."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from conversations import DIALOGUE, in_first_place, is_doubt, judged_for, rows_of, said_in, table
from scripted import Scripted, playing, said, texts

from siftline.models.generation import Sampling
from siftline.scorers.candidate import CANDIDATE, Candidate
from siftline.scorers.preference import PREFERENCE, Preference

NOTHING: dict[str, Any] = dict.fromkeys(PREFERENCE.names[2:])


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
    model = Scripted(choose=lambda turns: judged_for("NEW", said_in(turns)))
    (found,) = preferred(model, monkeypatch, rows_of(" "), [candidate("NEW")])
    assert (found["share_first"], found["share_second"]) == (1, 1)


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
