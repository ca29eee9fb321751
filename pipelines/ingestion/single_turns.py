"""Shapes with one prompt and its responses: which columns hold them, and how they are read."""

import re
from typing import Any, NamedTuple

from siftline.contracts.examples import Message
from siftline.pipelines.ingestion.candidates import Candidate, take_responses
from siftline.pipelines.ingestion.repair import Notes
from siftline.pipelines.ingestion.turns import (
    SPEAKERS,
    Turn,
    check_notation,
    listed,
    read_turns,
    said,
    spoken,
)
from siftline.pipelines.ingestion.values import (
    BadRecordError,
    as_json,
    is_missing,
    kind_of,
    unless_blank,
)
from siftline.scorers.text_statistics import bare

# Inputs of Alpaca that say that there is none. "N/A" and "none" may be the thing asked about.
NO_INPUT = frozenset(("noinput", "no input", "no input required", "no input needed"))

_IN_BRACKETS = re.compile(r"\A\s*+\[\s*+\{")
SYSTEM = ("system", "system_prompt", "system_message")
# The passage that a prompt asks about: Alpaca's name, then Dolly's and SQuAD's.
_PASSAGES = ("input", "context")
RESPONSES = (
    *("output", "completion", "answer", "generation"),
    *("responses", "outputs", "completions", "answers", "generations"),
)


class SingleTurn(NamedTuple):
    """A shape: the column of its prompt, those of the passage, and of its responses in order."""

    prompt: str
    passages: tuple[str, ...]
    responses: tuple[str, ...]


def _shape(prompt: str, passages: tuple[str, ...], response: str) -> SingleTurn:
    return SingleTurn(prompt, passages, tuple(dict.fromkeys(("response", response, *RESPONSES))))


SINGLE_TURNS = {
    "alpaca": _shape("instruction", _PASSAGES, "output"),
    "prompt_completion": _shape("prompt", (), "completion"),
    "question_answer": _shape("question", ("context",), "answer"),
    "query_response": _shape("query", (), "response"),
    "input_output": _shape("input", (), "output"),
}


def read_single_turn(
    fields: dict[str, Any], shape: str, mapped: bool, notes: Notes
) -> list[Candidate]:
    """Read a record of a prompt and its responses, as one conversation for each response.

    Args:
        fields: The record; what is used is taken out.
        shape: One of :data:`SINGLE_TURNS`.
        mapped: The recipe names the column `input`.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    before = read_prompt(fields, shape, mapped, notes)
    if not notes.has_prompt:  # the prompt came as turns, so a response may be JSON of turns, too
        for name in SINGLE_TURNS[shape].responses:
            fields |= {name: turns} if (turns := as_turns(fields.get(name), name)) else {}
    responses = take_responses(fields, SINGLE_TURNS[shape].responses, notes)
    return [
        Candidate(before + turns, origin, metadata, row_id)
        for turns, origin, metadata, row_id in responses
    ]


def read_prompt(fields: dict[str, Any], shape: str, mapped: bool, notes: Notes) -> list[Turn]:
    """Take the turns before the response: system, history, and the prompt with its passage.

    Args:
        fields: The record; what is used is taken out.
        shape: One of :data:`SINGLE_TURNS`.
        mapped: The recipe names the column `input`.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    name, passages, _ = SINGLE_TURNS[shape]
    before = take_system(fields, notes) + (_history(fields, notes) if "history" in fields else [])
    prompt = fields.pop(name, None)
    turns = as_turns(prompt, name)
    if turns is not None:
        return with_system(before, read_turns(turns, name, notes))
    if mapped and name != "input":
        passages = tuple(dict.fromkeys(("input", *passages)))
    passage = _first_filled(fields, passages, notes) if passages else None
    if prompt is None and passage is not None:
        return [*before, said("user", passage)]
    text = notes.text_of(prompt, name)
    notes.has_prompt, notes.has_passage = True, passage is not None
    if passage is not None:
        text = f"{text}\n\n{passage}" if text.strip() else passage
    return [*before, said("user", text)]


def as_turns(value: Any, name: str) -> list[Any] | None:
    """Return a prompt that is a list of turns, or the JSON of one; None for any other.

    Raises:
        BadRecordError: It is a list as Python prints it.
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, str) or not _IN_BRACKETS.match(value):
        return None
    check_notation(value, name)
    found = as_json(value)
    if not isinstance(found, list) or not found:
        return None
    is_turn = all(isinstance(each, dict) and any(s in each for s in SPEAKERS) for each in found)
    return found if is_turn else None


def take_system(fields: dict[str, Any], notes: Notes) -> list[Turn]:
    """Take the system turn from a column of its own."""
    found = _first_filled(fields, SYSTEM, notes)
    return [] if found is None else [said("system", found)]


def with_system(before: list[Turn], turns: list[Turn]) -> list[Turn]:
    """Put what comes before in front of turns; a system turn that both begin with stands once."""
    if before and turns and _is_same_system(before[0].message, turns[0].message):
        return [turns[0], *before[1:], *turns[1:]]
    return [*before, *turns]


def _is_same_system(one: Message, two: Message) -> bool:
    both = one["role"] == two["role"] == "system"
    return both and one["content"].strip() == two["content"].strip()


def _first_filled(fields: dict[str, Any], names: tuple[str, ...], notes: Notes) -> str | None:
    """Take the first of some columns that holds a text, and those before it that hold none."""
    for name in names:
        if name not in fields:
            continue
        value = fields.pop(name)
        if value is None or value in ([], {}):
            continue
        if is_missing(value):
            notes.skipped.append("missing_marker")
        elif isinstance(value, dict) and name == "context":  # facts that no text can be made of
            fields[name] = value
        elif not isinstance(value, str) or (value.strip() and bare(value) not in NO_INPUT):
            return notes.text_of(_in_one(value), name)
    return None


def _in_one(value: Any) -> Any:
    """Return a text that came in pieces: several passages, or blocks of a system turn."""
    if not isinstance(value, list) or not value:
        return value
    if all(isinstance(piece, str) for piece in value):
        return "\n\n".join(value)
    if all(isinstance(piece, dict) and isinstance(piece.get("text"), str) for piece in value):
        return "\n\n".join(piece["text"] for piece in value)
    return value


def _history(fields: dict[str, Any], notes: Notes) -> list[Turn]:
    """Take earlier turns: a list of [user, assistant], or of turns."""
    history = unless_blank(fields.pop("history", None))
    if history is None or is_missing(history):
        return []
    pairs = listed(history, "history")
    pairs = spoken(pairs) or pairs
    if pairs and all(isinstance(each, dict) for each in pairs):
        return read_turns(pairs, "history", notes)
    turns = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise BadRecordError(
                "wrong_type", f"'history' holds {kind_of(pair)}, expected [user, assistant]"
            )
        turns.append(said("user", notes.text_of(pair[0], "history")))
        turns.append(said("assistant", notes.text_of(pair[1], "history")))
    return turns
