"""Tests of gold answers: which of them can be held against others."""

from golds import CALLS, pairs, statuses

from siftline.contracts.runtime import Runtime
from siftline.scorers.gold import GOLD, Gold
from siftline.scorers.judges.comparers import Judge, Numeric


def test_a_gold_answer_must_have_what_the_judge_compares() -> None:
    rows = pairs("It is 4.", "Four.", " ", "It is 4.", metadata=[{}, {}, {}, CALLS])
    assert Gold(judge=Numeric()).score(rows, Runtime()).table.schema == GOLD
    assert statuses(Gold(judge=Numeric()), rows) == [
        "ok",
        "no_answer",
        "empty_response",
        "tool_calls",
    ]
    asked = Gold(judge=Judge(model="j"), pattern=r"\d")
    assert statuses(asked, rows) == ["ok", "wrong_format", "empty_response", "tool_calls"]
