"""Tests of gold answers: which of them can be held against others."""

from golds import own, pairs, statuses

from siftline.contracts.runtime import Runtime
from siftline.scorers.gold import GOLD, Gold
from siftline.scorers.judges.comparers import Judge, Numeric


def test_a_gold_answer_must_have_what_the_judge_compares() -> None:
    rows = pairs("It is 4.", "Four.", " ", "It is 4.", calls=[3])
    assert Gold(judge=Numeric()).score(rows, Runtime()).table.schema == GOLD
    assert statuses(Gold(judge=Numeric()), rows) == [
        "ok",
        "no_answer",
        "empty_response",
        "tool_calls",
    ]
    asked = Gold(judge=Judge(model="j"), pattern=r"\d")
    assert statuses(asked, rows) == ["ok", "wrong_format", "empty_response", "tool_calls"]


THOUGHTS = ["<think>\nTry x.\nAnswer: 7\nBut wait", "<think>7</think>", "<think>8</think>It is 7"]


def test_no_gold_answer_is_read_from_a_thought() -> None:
    expected = ["unfinished_thought", "empty_response", "ok"]
    for judge in (Numeric(), Judge(model="j")):
        assert statuses(Gold(judge=judge), pairs(*THOUGHTS)) == expected
    found = own(["It is 7", "8"], pairs(*THOUGHTS[2:] * 2), Gold(judge=Numeric()), Runtime())
    assert [value for _, _, value in found] == [1.0, 0.0]
