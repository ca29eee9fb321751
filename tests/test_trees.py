"""Trees of messages: a conversation for each path to an answer that no answer follows."""

from typing import Any

import pytest
from records import A, U, drafts, held, noted, refused, turns


def asked(text: str, *replies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"role": "prompter", "text": text, "replies": list(replies), **fields}


def said(text: str, *replies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "text": text, "replies": list(replies), **fields}


def test_paths_by_rank() -> None:
    root = asked(
        "q",
        said("worse", rank=1, message_id="w"),
        said("unranked", message_id="u"),
        said("best", asked("more", said("x", rank=1), said("y", rank=0)), rank=0),
    )
    found = drafts({"message_tree_id": "t", "prompt": root})
    assert [turns(draft) for draft in found] == [
        [(U, "q"), (A, "best"), (U, "more"), (A, "y")],
        [(U, "q"), (A, "best"), (U, "more"), (A, "x")],
        [(U, "q"), (A, "worse")],
        [(U, "q"), (A, "unranked")],
    ]
    assert [draft.id for draft in found] == [None, None, "w", "u"]
    assert [held(draft).get("rank") for draft in found] == [0, 1, 1, None]


def test_questions_without_an_answer_and_deleted_turns_are_counted() -> None:
    root = asked(
        "q",
        said("a", asked("nobody answers"), asked("nor this")),
        said("gone", asked("x", said("y")), deleted=True),
    )
    found, notes = noted({"prompt": root})
    assert [turns(draft) for draft in found] == [[(U, "q"), (A, "a")]]
    assert sorted(notes) == ["skipped deleted", "skipped unanswered", "skipped unanswered"]


def test_a_system_column_stands_before_every_path() -> None:
    root = asked("q", said("a"), said("b"))
    found = drafts({"system": "s", "prompt": root})
    assert [turns(draft)[0] for draft in found] == [("system", "s")] * 2


def test_what_stands_beside_the_turns_is_kept() -> None:
    root = asked("q", said("a", lang="en", rank=0), lang="en")
    (draft,) = drafts({"prompt": root, "tree_state": "ready"})
    assert held(draft) == {
        "rank": 0,
        "tree_state": "ready",
        "turn_lang": ["en", "en"],
        "turn_rank": [None, 0],
    }


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (asked("q"), "no_assistant_turn"),
        (asked("q", said("a"), deleted=True), "no_assistant_turn"),
        (said("a", asked("q", said("b"))), "wrong_role_order"),
        ({"role": "prompter", "text": "q", "replies": ["a"]}, "wrong_type"),
        ({"role": "prompter", "text": "q", "replies": "a"}, "wrong_type"),
    ],
)
def test_trees_that_hold_no_conversation(root: dict[str, Any], reason: str) -> None:
    assert refused({"prompt": root})[0] == reason


def test_a_rank_may_be_any_number() -> None:
    replies = [{"role": "assistant", "text": str(n), "rank": 10**n} for n in (400, 0)]
    found = drafts({"prompt": {"role": "prompter", "text": "q", "replies": replies}})
    assert [draft.messages[-1]["content"] for draft in found] == ["0", "400"]
