"""Trees of messages, as OpenAssistant publishes them: every path to a response, best first."""

from typing import Any

from siftline.pipelines.ingestion.candidates import Candidate
from siftline.pipelines.ingestion.repair import Notes
from siftline.pipelines.ingestion.single_turns import take_system
from siftline.pipelines.ingestion.turns import Turn, read_turn
from siftline.pipelines.ingestion.values import BadRecordError, kind_of, plain, scalar_of

_REPLIES = "replies"


def is_tree(value: Any) -> bool:
    """Return whether a prompt is the root of a tree."""
    return isinstance(value, dict) and _REPLIES in value


def read_tree(fields: dict[str, Any], notes: Notes) -> list[Candidate]:
    """Read a tree: a conversation for each answer that no answer follows, by rank.

    Args:
        fields: The record; what is used is taken out.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    root = fields.pop("prompt", None)
    if not is_tree(root):
        raise BadRecordError("wrong_type", f"'prompt' is {kind_of(root)}, expected a tree")
    found = _paths(root, take_system(fields, notes), notes)
    if not found:
        raise BadRecordError("no_assistant_turn", "the tree holds no answer")
    return found


def _paths(node: Any, before: list[Turn], notes: Notes) -> list[Candidate]:
    """Return the conversations below a node, each of which ends in an answer."""
    if not isinstance(node, dict):
        raise BadRecordError("wrong_type", f"a reply is {kind_of(node)}, expected an object")
    if node.get("deleted") is True:
        notes.skipped.append("deleted")
        return []
    said = {key: value for key, value in node.items() if key != _REPLIES}
    turns = [*before, *read_turn(said, "prompt", notes)]
    replies = node.get(_REPLIES) or []
    if not isinstance(replies, list):
        raise BadRecordError("wrong_type", f"'replies' is {kind_of(replies)}, expected a list")
    found = [path for reply in sorted(replies, key=_rank) for path in _paths(reply, turns, notes)]
    if found or turns[-1].message["role"] != "assistant":
        if not found and any(turn.message["role"] == "assistant" for turn in before):
            notes.skipped.append("unanswered")
        return found
    rank = {} if node.get("rank") is None else {"rank": plain(node["rank"])}
    return [Candidate(turns, None, rank, scalar_of(node.get("message_id")))]


def _rank(node: Any) -> float:
    """Return the place of a reply among its siblings; those without one come last."""
    rank = node.get("rank") if isinstance(node, dict) else None
    return rank if isinstance(rank, int | float) and rank == rank else float("inf")
