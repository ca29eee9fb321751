"""The response of a row: its text, its tool calls, and whether it can be judged."""

import json
from collections.abc import Sequence
from typing import Any

from siftline.contracts.examples import Message
from siftline.models.likelihood import EMPTY_RESPONSE, OK
from siftline.models.rendering import TOOL_CALLS


def response_of(turns: Sequence[Message]) -> str:
    """Return the text of the last turn, without white space around it."""
    return turns[-1]["content"].strip()


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
