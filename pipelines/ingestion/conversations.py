"""Shapes with one list of turns: messages, ShareGPT, and lists of pairs or of texts."""

from typing import Any

from siftline.pipelines.ingestion.candidates import Candidate
from siftline.pipelines.ingestion.repair import Notes
from siftline.pipelines.ingestion.single_turns import take_system, with_system
from siftline.pipelines.ingestion.turns import (
    SPEAKERS,
    Turn,
    listed,
    read_turn,
    read_turns,
    said,
    spoken,
)
from siftline.pipelines.ingestion.values import as_json, unless_blank

CONVERSATIONS = {
    "messages": ("messages",),
    "sharegpt": ("conversations", "conversation", "data"),
}
_PAIR = (("input", "instruction", "prompt", "user", "human"), ("output", "response", "assistant"))
_SIDES = ("user", "assistant")


def read_conversation(fields: dict[str, Any], shape: str, notes: Notes) -> list[Candidate]:
    """Read a record that is one conversation.

    Args:
        fields: The record; what is used is taken out.
        shape: One of :data:`CONVERSATIONS`.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    turns = take_turns(fields, CONVERSATIONS[shape], notes)
    return [Candidate(with_system(take_system(fields, notes), turns))]


def take_turns(fields: dict[str, Any], names: tuple[str, ...], notes: Notes) -> list[Turn]:
    """Take the turns from the first of some columns that is there.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    name = next((n for n in names if fields.get(n) is not None), names[0])
    entries = listed(fields.pop(name, None), name)
    texts = name not in CONVERSATIONS["messages"] and bool(entries)
    if texts and all(isinstance(entry, str) for entry in entries) and not _are_turns(entries):
        return _alternating(entries)
    if (told := spoken(entries)) is not None:
        return read_turns(told, name, notes)
    if entries and all(_is_said_pair(entry) for entry in entries):
        return _alternating([text for pair in entries for text in pair])
    if entries and all(_keys_of_pair(entry) for entry in entries):
        return _pairs(entries, name, notes)
    return read_turns(entries, name, notes)


def _are_turns(texts: list[str]) -> bool:
    """Return whether texts are the JSON of turns."""
    if not all(text.lstrip().startswith("{") for text in texts):
        return False
    found = [as_json(text) for text in texts]
    return all(isinstance(turn, dict) and not turn.keys().isdisjoint(SPEAKERS) for turn in found)


def may_be_turns(value: Any) -> bool:
    """Return whether a value is a list of texts, of pairs, or of turns."""
    if not isinstance(value, list) or not value:
        return False
    first = value[0]
    if isinstance(first, dict):
        return not first.keys().isdisjoint(SPEAKERS) or _keys_of_pair(first) is not None
    return isinstance(first, str) or _is_said_pair(first)


def _alternating(texts: list[str]) -> list[Turn]:
    """Read texts that the user and the assistant say in turn, as UltraChat has them."""
    return [said(_SIDES[place % 2], text) for place, text in enumerate(texts)]


def _is_said_pair(entry: Any) -> bool:
    """Return whether an entry is what the user and the assistant say, without names."""
    is_pair = isinstance(entry, list) and len(entry) == 2
    return is_pair and all(isinstance(text, str) for text in entry)


def _keys_of_pair(entry: Any) -> tuple[str, str] | None:
    """Return the keys of an entry that holds what the user and the assistant say."""
    if not isinstance(entry, dict) or "role" in entry or "from" in entry:
        return None
    user, assistant = (next((key for key in keys if key in entry), None) for keys in _PAIR)
    return None if user is None or assistant is None else (user, assistant)


def _pairs(entries: list[dict[str, Any]], name: str, notes: Notes) -> list[Turn]:
    """Read pairs of what the user and the assistant say, as Capybara has them."""
    turns: list[Turn] = []
    systems: list[str] = []
    for entry in entries:
        keys = _keys_of_pair(entry)
        assert keys is not None
        user, assistant = (notes.text_of(entry[key], f"{name}[].{key}") for key in keys)
        rest = {key: value for key, value in entry.items() if key not in keys}
        system = unless_blank(rest.pop("system", None))
        if system is not None and system not in systems:  # XTuner has it in the first pair
            systems.append(notes.text_of(system, f"{name}[].system"))
            turns.append(said("system", systems[-1]))
        turns.append(said("user", user))
        turns += read_turn({"role": "assistant", "content": assistant} | rest, name, notes)
    return turns
