"""Preference pairs: a prompt, and the response that was chosen before one that was rejected."""

import re
from typing import Any

from siftline.pipelines.ingestion.candidates import Candidate, read_responses
from siftline.pipelines.ingestion.conversations import CONVERSATIONS, take_turns
from siftline.pipelines.ingestion.repair import Notes
from siftline.pipelines.ingestion.single_turns import (
    SINGLE_TURNS,
    as_turns,
    read_prompt,
    take_system,
    with_system,
)
from siftline.pipelines.ingestion.turns import Turn
from siftline.pipelines.ingestion.values import BadRecordError, plain

SIDES = ("chosen", "rejected")
_HUMAN = "\n\nHuman:"
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_CONTEXTS = tuple(name for names in CONVERSATIONS.values() for name in names)


def read_preference(
    fields: dict[str, Any], both: bool, mapped: bool, notes: Notes
) -> list[Candidate]:
    """Read a pair: the chosen response, or both with their side as their origin.

    A side is a text, turns that follow the prompt, or the whole conversation.

    Args:
        fields: The record; what is used is taken out.
        both: Take the rejected response as well.
        mapped: The recipe names the column `input`.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    sides = SIDES if both else SIDES[:1]
    if fields.get("messages") is not None and fields["messages"] == fields.get("chosen"):
        del fields["messages"]  # the same conversation once more
    responses = {side: _side(fields.pop(side, None), side, notes) for side in sides}
    found = {side: turns for side, turns in responses.items() if turns is not None}
    if not found:
        raise BadRecordError("missing_field", f"no '{sides[0]}'")
    notes.skipped += ["null_response"] * (len(sides) - len(found))
    whole = all(turns[0].message["role"] != "assistant" for turns in found.values())
    before = take_system(fields, notes) if whole else _prompt(fields, mapped, notes)
    own = _own(fields) if both else {}
    return [
        Candidate(with_system(before, turns), side if both else None, own.get(side, {}))
        for side, turns in found.items()
    ]


def _side(value: Any, side: str, notes: Notes) -> list[Turn] | None:
    value = as_turns(value, side) or _transcript(value) or value
    if value is None or value == []:
        return None
    candidates = read_responses(value, side, notes)
    if len(candidates) != 1:
        raise BadRecordError("wrong_type", f"'{side}' is a list of texts, expected one response")
    return candidates[0].turns


def _transcript(value: Any) -> list[dict[str, str]] | None:
    """Return the turns of a text as Anthropic's HH pairs are written; None for any other text."""
    if not isinstance(value, str) or not value.startswith(_HUMAN):
        return None
    _, *pieces = re.split(r"\n\n(Human|Assistant):", value)
    said = zip(pieces[::2], pieces[1::2], strict=True)
    return [{"role": _SPEAKERS[name], "content": text.strip()} for name, text in said]


def _prompt(fields: dict[str, Any], mapped: bool, notes: Notes) -> list[Turn]:
    """Take the turns before the responses, whatever shape they have."""
    for shape, columns in SINGLE_TURNS.items():
        if fields.get(columns.prompt) is not None:
            return read_prompt(fields, shape, mapped, notes)
    system = take_system(fields, notes)
    if any(fields.get(name) is not None for name in _CONTEXTS):
        turns = with_system(system, take_turns(fields, _CONTEXTS, notes))
        if turns and turns[-1].message["role"] == "assistant":
            raise BadRecordError(
                "wrong_role_order",
                "the turns before 'chosen' end with the assistant's, expected the user's; "
                "`format: messages` would leave 'chosen' aside",
            )
        return turns
    raise BadRecordError("missing_field", "no 'prompt' beside 'chosen'")


def _own(fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Take what is said of each side alone, such as its score, from columns named after them."""
    own: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
    for name in list(fields):
        for side in SIDES:
            rest = name.removeprefix(side).removesuffix(side).strip("_-. ")
            if rest and rest != name and fields[name] is not None:
                own[side][rest] = plain(fields.pop(name))
                break
    return own
