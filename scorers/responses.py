"""The response of a row: its text, its tool calls, and whether it can be judged."""

import json
from collections.abc import Sequence
from typing import Any

from siftline.contracts.examples import Message
from siftline.models.likelihood import EMPTY_RESPONSE, OK
from siftline.models.rendering import TOOL_CALLS
from siftline.models.thoughts import after_thought
from siftline.scorers.statuses import UNFINISHED_THOUGHT


def response_of(turns: Sequence[Message]) -> str:
    """Return the text of the last turn, without white space around it."""
    return turns[-1]["content"].strip()


def answer_of(turns: Sequence[Message]) -> str:
    """Return what the last turn says after its thought; '' where it does not come to that."""
    return (after_thought(response_of(turns)) or "").strip()


def tool_calls_of(metadata: str) -> Any:
    """Return the tool calls of the last turn; None without any.

    Args:
        metadata: A JSON object, whose `tool_calls` has one item for each turn.
    """
    calls = json.loads(metadata).get("tool_calls")
    return calls[-1] if calls and calls[-1] else None


def judgeable(row: dict[str, Any]) -> str:
    """Return `ok`, or the status of a response that no language model needs to be asked about.

    Args:
        row: With `messages` and `metadata`.
    """
    if tool_calls_of(row["metadata"]) is not None:
        return TOOL_CALLS
    return OK if response_of(row["messages"]) else EMPTY_RESPONSE


def answerable(row: dict[str, Any]) -> str:
    """Return `ok`, or the status of a response without an answer to hold others against.

    Args:
        row: With `messages` and `metadata`.
    """
    status = judgeable(row)
    if status != OK or answer_of(row["messages"]):
        return status
    unfinished = after_thought(response_of(row["messages"])) is None
    return UNFINISHED_THOUGHT if unfinished else EMPTY_RESPONSE
