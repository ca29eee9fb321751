"""The response of a row: its text, its tool calls, and whether it can be judged."""

from collections.abc import Sequence
from typing import Any

from siftline.contracts.examples import Message, calls_of, with_thought
from siftline.models.likelihood import EMPTY_RESPONSE, OK
from siftline.models.remote.answers import TOOL_CALLS
from siftline.models.talks import NOT_TEXT_ONLY
from siftline.models.thoughts import after_thought
from siftline.scorers.statuses import UNFINISHED_THOUGHT


def response_of(turns: Sequence[Message]) -> str:
    """Return what the last turn says, its thought before it, without white space around it."""
    return with_thought(turns[-1]).strip()


def answer_of(turns: Sequence[Message]) -> str:
    """Return what the last turn says after its thought; '' where it does not come to that."""
    return (after_thought(response_of(turns)) or "").strip()


def judgeable(row: dict[str, Any]) -> str:
    """Return `ok`, or the status of a response that no language model needs to be asked about.

    Args:
        row: With `messages` and `media`.
    """
    if row["media"]:
        return NOT_TEXT_ONLY
    if calls_of(row["messages"][-1]):
        return TOOL_CALLS
    return OK if response_of(row["messages"]) else EMPTY_RESPONSE


def answerable(row: dict[str, Any]) -> str:
    """Return `ok`, or the status of a response without an answer to hold others against.

    Args:
        row: As for :func:`judgeable`.
    """
    status = judgeable(row)
    if status != OK or answer_of(row["messages"]):
        return status
    unfinished = after_thought(response_of(row["messages"])) is None
    return UNFINISHED_THOUGHT if unfinished else EMPTY_RESPONSE
