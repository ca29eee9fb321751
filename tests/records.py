"""Records through ingestion, one at a time: what becomes of them."""

import json
from typing import Any

import pytest

from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.repair import Notes
from siftline.pipelines.ingestion.shapes import Draft, detect, to_drafts
from siftline.pipelines.ingestion.values import BadRecordError

U, A, S, T = "user", "assistant", "system", "tool"
QUESTION = [(U, "q"), (A, "a")]


def drafts(record: dict[str, Any], **item: Any) -> list[Draft]:
    return noted(record, **item)[0]


def noted(record: dict[str, Any], **item: Any) -> tuple[list[Draft], list[str]]:
    """Return a record's drafts, and what was noted of it."""
    settings = Input(path="x.jsonl", **item)
    shape = settings.format if settings.format != "auto" else detect(record, settings.columns)
    assert shape, f"no shape: {record}"
    notes = Notes(settings.repair)
    return to_drafts(record, shape, settings, notes), notes.taken()


def only(record: dict[str, Any], **item: Any) -> Draft:
    (draft,) = drafts(record, **item)
    return draft


def refused(record: dict[str, Any], **item: Any) -> tuple[str, str]:
    """Return the reason and the detail with which a record is refused."""
    with pytest.raises(BadRecordError) as error:
        drafts(record, **item)
    return error.value.reason, str(error.value)


def turns(draft: Draft) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in draft.messages]


def held(draft: Draft) -> dict[str, Any]:
    """Return a draft's metadata."""
    found: dict[str, Any] = json.loads(draft.metadata)
    return found


def chat(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


def answered(*said: dict[str, Any], question: str = "q", **columns: Any) -> dict[str, Any]:
    """A conversation of a question and what comes after it."""
    return {"messages": [{"role": U, "content": question}, *said], **columns}
