"""Preference pairs in all forms: the chosen response, or both sides as candidates."""

import json
from typing import Any

import pytest
from records import QUESTION, A, S, U, drafts, held, noted, only, refused, turns

CHOSEN = {"role": A, "content": "a"}
REJECTED = {"role": A, "content": "b"}
ASKED = [{"role": U, "content": "q"}]
HUMAN = [{"from": "human", "value": "q"}]

FORMS: list[dict[str, Any]] = [
    {"prompt": "q", "chosen": "a", "rejected": "b"},
    {"prompt": "q", "chosen": [CHOSEN], "rejected": [REJECTED]},
    {"prompt": "q", "chosen": CHOSEN, "rejected": REJECTED},
    {"prompt": "q", "chosen": [*ASKED, CHOSEN], "rejected": [*ASKED, REJECTED]},
    {"chosen": [*ASKED, CHOSEN], "rejected": [*ASKED, REJECTED]},
    {"prompt": ASKED, "chosen": [CHOSEN], "rejected": [REJECTED]},
    {"prompt": json.dumps(ASKED), "chosen": json.dumps([CHOSEN]), "rejected": "b"},
    {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
    {"question": "q", "chosen": "a", "rejected": "b"},
    {"query": "q", "chosen": "a", "rejected": "b"},
    {"messages": ASKED, "chosen": CHOSEN, "rejected": REJECTED},
    {
        "conversations": HUMAN,
        "chosen": {"from": "gpt", "value": "a"},
        "rejected": {"from": "gpt", "value": "b"},
    },
]


@pytest.mark.parametrize("record", FORMS)
def test_the_chosen_response_is_taken(record: dict[str, Any]) -> None:
    draft = only(record)
    assert turns(draft) == QUESTION
    assert held(draft)["rejected"] == record["rejected"]
    assert draft.origin is None


@pytest.mark.parametrize("record", FORMS)
def test_both_sides_are_candidates_with_their_side_as_origin(record: dict[str, Any]) -> None:
    found = drafts(record, take="both")
    assert [(turns(draft), draft.origin) for draft in found] == [
        (QUESTION, "chosen"),
        ([(U, "q"), (A, "b")], "rejected"),
    ]
    assert not any({"chosen", "rejected"} & held(draft).keys() for draft in found)


def test_transcripts_are_conversations() -> None:
    before = "\n\nHuman: q\n\nAssistant: h\n\nHuman: q\n\nAssistant:"
    record = {"chosen": before + " a", "rejected": before + " b"}
    said = [(U, "q"), (A, "h"), (U, "q")]
    assert [turns(draft) for draft in drafts(record, take="both")] == [
        [*said, (A, "a")],
        [*said, (A, "b")],
    ]
    stay = {"prompt": "q", "chosen": "a\n\nHuman: x", "rejected": "b"}
    assert turns(only(stay)) == [(U, "q"), (A, "a\n\nHuman: x")]


def test_the_chosen_conversation_that_stands_twice_is_kept_once() -> None:
    whole = [*ASKED, CHOSEN]
    draft = only({"messages": whole, "chosen": whole, "rejected": [*ASKED, REJECTED]})
    assert (turns(draft), set(held(draft))) == (QUESTION, {"rejected"})


def test_a_system_column_and_earlier_turns_stand_before() -> None:
    record = {
        "system": "s",
        "conversations": [*HUMAN, {"from": "gpt", "value": "h"}, *HUMAN],
        "chosen": "a",
        "rejected": "b",
    }
    assert turns(only(record)) == [(S, "s"), (U, "q"), (A, "h"), *QUESTION]
    whole = {"system": "s", "chosen": [*ASKED, CHOSEN], "rejected": "b"}
    assert turns(only(whole)) == [(S, "s"), *QUESTION]


def test_a_side_keeps_its_own_score() -> None:
    record = {**FORMS[0], "score_chosen": 8, "score_rejected": 3, "chosen-rating": 5, "topic": "t"}
    assert [held(draft) for draft in drafts(record, take="both")] == [
        {"score": 8, "rating": 5, "topic": "t"},
        {"score": 3, "topic": "t"},
    ]
    assert held(only(record))["score_rejected"] == 3


def test_a_side_that_is_null_leaves_the_other() -> None:
    record = {"prompt": "q", "chosen": "a", "rejected": None}
    found, notes = noted(record, format="preference", take="both")
    assert [(turns(draft), draft.origin) for draft in found] == [(QUESTION, "chosen")]
    assert notes == ["skipped null_response"]
    none = {"prompt": "q", "chosen": None, "rejected": "b"}
    assert refused(none, format="preference") == ("missing_field", "no 'chosen'")


def test_a_column_can_be_named_as_any_side() -> None:
    record = {"prompt": "q", "good": "a", "bad": "b"}
    columns = {"chosen": "good", "rejected": "bad"}
    assert turns(only(record, columns=columns)) == QUESTION
    assert [d.origin for d in drafts(record, columns=columns, take="both")] == [
        "chosen",
        "rejected",
    ]
    turned = {"chosen": [*ASKED, CHOSEN], "rejected": "b"}
    assert turns(only(turned, columns={"messages": "chosen"})) == QUESTION
    assert turns(only(FORMS[0], columns={"response": "chosen"})) == QUESTION


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"chosen": "a", "rejected": "b"}, "no 'prompt' beside 'chosen'"),
        ({"prompt": "q", "chosen": ["a", "c"], "rejected": "b"}, "'chosen' is a list of texts"),
        ({"messages": [*ASKED, CHOSEN], "chosen": "a", "rejected": "b"}, "`format: messages`"),
        ({"prompt": "q", "chosen": 4, "rejected": "b"}, "`repair: {scalars: text}`"),
    ],
)
def test_reasons(record: dict[str, Any], words: str) -> None:
    assert words in refused(record)[1]
