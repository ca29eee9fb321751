"""The responses of a record: one text, a conversation, or a list of candidates for one prompt."""

import re
from typing import Any, NamedTuple

from siftline.pipelines.ingestion.calls import is_list_of_calls, read_calls
from siftline.pipelines.ingestion.repair import Notes
from siftline.pipelines.ingestion.turns import (
    SPEAKERS,
    THOUGHTS,
    Turn,
    read_turn,
    read_turns,
    said,
)
from siftline.pipelines.ingestion.values import (
    PRINTED,
    BadRecordError,
    as_json,
    is_missing,
    json_text,
    plain,
    take_first,
    unless_blank,
)

ORIGINS = ("origin", "generator", "model", "model_name")
MANY = ("responses", "outputs", "completions", "answers", "generations")
_TEXTS = ("text", "content", "response", "output", "completion", "answer", "generation", "value")
_PRINTED = re.compile(r"\A\s*+(?:\{\s*+'text'\s*+:.*\}|\[\s*+'.*'\s*\])\s*+\Z", re.DOTALL)
_THOUGHTS = frozenset(THOUGHTS)
# Lists beside a list of responses, with one entry for each: what a single one is called.
_BESIDE = {
    "scores": "score",
    "ratings": "rating",
    "rewards": "reward",
    "ranks": "rank",
    "rationales": "rationale",
    "models": "model",
    "generation_models": "model",
    "generators": "generator",
}


class Candidate(NamedTuple):
    """One response, or one whole conversation.

    Attributes:
        turns: The turns of the response, or all of them.
        origin: Who wrote it.
        metadata: What is said of it alone, such as its score.
        id: Of its own.
    """

    turns: list[Turn]
    origin: str | None = None
    metadata: dict[str, Any] = {}
    id: str | None = None


def take_responses(fields: dict[str, Any], names: tuple[str, ...], notes: Notes) -> list[Candidate]:
    """Take the responses of a record, with what stands beside them in lists and in thoughts.

    Args:
        fields: The record.
        names: Columns that may hold them: the first that holds some is taken.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    there = [name for name in names if name in fields and fields[name] is not None]
    if not there:
        expected = " or ".join(f"'{name}'" for name in names[:2])
        raise BadRecordError("missing_field", f"no {expected}")
    name = there[0]
    if len(there) > 1:
        name = next((each for each in there if _is_filled(fields[each])), name)
        for other in there:  # it says as little as nothing
            if other != name and not _is_filled(fields[other]):
                del fields[other]
    value = fields.pop(name)
    if isinstance(value, str):
        value = _spelt_out(value, name, fields)
    if isinstance(value, str):
        return _thought_of([_one_text(value, fields)], fields, notes)
    if isinstance(value, list):
        _leave_out_thoughts(value, fields)
    beside = _beside(value, fields) if name in MANY else []
    candidates = read_responses(value, name, notes, beside)
    return _thought_of(candidates, fields, notes)


def _is_filled(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value not in (None, [], {})


def _spelt_out(text: str, name: str, fields: dict[str, Any]) -> Any:
    """Return the list of responses that a text is the JSON of, in a column of several.

    Raises:
        BadRecordError: It is such a list as Python prints it.
    """
    if name not in MANY or text.lstrip()[:1] not in ("[", "{"):
        return text
    if _PRINTED.match(text):
        raise BadRecordError("wrong_type", PRINTED.format(name=name))
    found = as_json(text)
    if isinstance(found, dict):
        return found if isinstance(found.get("text"), list) else text
    if not isinstance(found, list) or (fields.get("tools") and is_list_of_calls(text)):
        return text
    is_list = all(
        isinstance(each, str) or (isinstance(each, dict) and _held(each)) for each in found
    )
    return found if found and is_list else text


def _one_text(text: str, fields: dict[str, Any]) -> Candidate:
    """Return a response that is a text, or the calls that it spells where tools are offered."""
    if text.startswith("[") and fields.get("tools") and is_list_of_calls(text):
        calls = json_text(read_calls(text))
        return Candidate([Turn({"role": "assistant", "content": "", "tool_calls": calls}, {})])
    return Candidate([said("assistant", text)])


def _beside(value: Any, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the lists that stand beside a list of responses, as one object for each response."""
    if not isinstance(value, list):
        return []
    beside: list[dict[str, Any]] = [{} for _ in value]
    for name, single in _BESIDE.items():
        entries = fields.get(name)
        if isinstance(entries, list) and len(entries) == len(value) > 1:
            del fields[name]
            for held, entry in zip(beside, entries, strict=True):
                held |= {} if entry is None else {single: entry}
    return beside


def _leave_out_thoughts(responses: list[Any], fields: dict[str, Any]) -> None:
    """Take the thoughts of responses that are null, which are left out, from their lists."""
    for name in THOUGHTS:
        thoughts = fields.get(name)
        if isinstance(thoughts, list) and len(thoughts) == len(responses):
            pairs = zip(responses, thoughts, strict=True)
            fields[name] = [thought for entry, thought in pairs if not _is_null(entry)]


def _thought_of(
    candidates: list[Candidate], fields: dict[str, Any], notes: Notes
) -> list[Candidate]:
    """Give the response the thought that stands in a column of its own."""
    if _THOUGHTS.isdisjoint(fields):
        return candidates
    for name in THOUGHTS:
        value = fields.get(name)
        thoughts: Any = [value] if isinstance(value, str) else value
        if not _are_thoughts(thoughts, candidates):
            continue
        del fields[name]
        for candidate, thought in zip(candidates, thoughts, strict=True):
            if is_missing(thought):
                notes.skipped.append("missing_marker")
            elif unless_blank(thought):
                candidate.turns[-1].message["reasoning"] = thought
    return candidates


def _are_thoughts(value: Any, candidates: list[Candidate]) -> bool:
    """Return whether a column holds a thought, or nothing, for each response, and none has one."""
    return (
        isinstance(value, list)
        and len(value) == len(candidates)
        and all(thought is None or isinstance(thought, str) for thought in value)
        and not any(each.turns[-1].message.get("reasoning") for each in candidates)
    )


def read_responses(
    value: Any, name: str, notes: Notes, beside: list[dict[str, Any]] | None = None
) -> list[Candidate]:
    """Read responses: a text, turns, one object, or a list of candidates.

    Args:
        value: What the column holds.
        name: Of the column, for messages.
        notes: What may be repaired, and what is.
        beside: For each entry of a list, what else belongs to it.

    Raises:
        BadRecordError: With the reason for quarantine.
    """
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        return _extracted(value, name, notes)
    if isinstance(value, dict):
        return [_entry(value, name, notes)]
    if not isinstance(value, list):
        return [Candidate([said("assistant", notes.text_of(value, name))])]
    if not value:
        raise BadRecordError("wrong_type", f"'{name}' is an empty list, expected a text")
    if all(_is_turn(entry) for entry in value) and not (name in MANY and _are_rivals(value)):
        return [Candidate(read_turns(value, name, notes))]
    return _entries(value, name, notes, beside)


def _is_turn(entry: Any) -> bool:
    return isinstance(entry, dict) and any(entry.get(key) is not None for key in SPEAKERS)


def _are_rivals(turns: list[dict[str, Any]]) -> bool:
    """Return whether several turns are each a response of its own."""
    speakers = {str(turn.get("role", turn.get("from"))).casefold() for turn in turns}
    return len(turns) > 1 and speakers <= {"assistant", "gpt"}


def _entries(
    value: list[Any], name: str, notes: Notes, beside: list[dict[str, Any]] | None
) -> list[Candidate]:
    candidates: list[Candidate] = []
    for place, entry in enumerate(value):
        if _is_null(entry):
            continue
        candidate = _entry(entry, name, notes)
        metadata = {**(beside[place] if beside else {}), **candidate.metadata}
        origin = candidate.origin or take_first(metadata, ORIGINS)
        candidates.append(candidate._replace(origin=origin, metadata=metadata))
    if not candidates:
        raise BadRecordError("missing_field", f"no text in '{name}'")
    notes.skipped += ["null_response"] * (len(value) - len(candidates))
    return candidates


def _is_null(entry: Any) -> bool:
    return entry is None or (isinstance(entry, dict) and not _held(entry))


def _held(entry: dict[str, Any]) -> bool:
    """Return whether an object holds a response."""
    return any(entry.get(key) is not None for key in (*_TEXTS, "tool_calls"))


def _entry(entry: Any, name: str, notes: Notes) -> Candidate:
    """Read one candidate: a text, turns, or an object with a text and what is said of it."""
    if isinstance(entry, list) and entry and all(_is_turn(each) for each in entry):
        return Candidate(read_turns(entry, name, notes))
    if not isinstance(entry, dict):
        return Candidate([said("assistant", notes.text_of(entry, name))])
    if _is_turn(entry) or entry.get("tool_calls"):
        speaker = {} if _is_turn(entry) else {"role": "assistant"}
        return Candidate(read_turn(speaker | entry, name, notes))
    rest = _without_nulls(entry)
    key = next((key for key in _TEXTS if key in rest), None)
    if key is None:
        raise BadRecordError(
            "wrong_type", f"'{name}' is an object without a text, expected one in 'text'"
        )
    turn = said("assistant", notes.text_of(rest.pop(key), f"{name}[].{key}"))
    origin = take_first(rest, ORIGINS)
    (candidate,) = _thought_of([Candidate([turn], origin)], rest, notes)
    return candidate._replace(metadata={key: plain(value) for key, value in rest.items()})


def _without_nulls(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}


def _extracted(value: dict[str, Any], name: str, notes: Notes) -> list[Candidate]:
    """Read answers as SQuAD has them, the different texts: `{text: [..], answer_start: [..]}`."""
    starts = value.get("answer_start")
    places = starts if isinstance(starts, list) else []
    once: dict[str, dict[str, Any]] = {}
    for place, text in enumerate(value["text"]):
        held = {"answer_start": places[place]} if place < len(places) else {}
        once.setdefault(notes.text_of(text, name), held)
    if not once:
        raise BadRecordError("missing_field", f"'{name}' holds no text, expected an answer")
    return [Candidate([said("assistant", text)], None, held) for text, held in once.items()]
