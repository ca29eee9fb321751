"""A hash of an example that is equal for examples which differ in form only.

What is form: case and white space of texts; whether a thought stands in a field of its own or in a
block before the text; the ids of tool calls, which are drawn at random; the order of keys in JSON;
a weight of 1, which is what no weight means. Everything else counts: two thoughts, two images, two
sets of tools, or two choices of turns to be trained on are two examples.
"""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts import progress
from siftline.contracts.examples import PARTS, TURN_FIELDS, Message, calls_of, tools_of
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.thoughts import leading_thought
from siftline.scorers.flat_turns import flat_turns
from siftline.scorers.last_turns import THOUGHT_MARKS


def signature(
    messages: Sequence[Message], tools: str | None = None, media: str | None = None
) -> str:
    """Return a hash (32 hex digits) that is equal for examples which differ in form only.

    Args:
        messages: The conversation; the arguments of its tool calls count to the letter.
        tools: JSON of the tools that it offers, which count to the letter too.
        media: JSON of its images, sounds and files, which count as they are written.
    """
    seen = _Calls()
    parts = [tools_of(tools), [_turn(message, seen) for message in messages], _media(media)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class _Calls:
    """The calls so far, by their number instead of their id, which the next one may reuse."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._count = 0

    def add(self, call: dict[str, Any]) -> Any:
        """Count a call, and return what counts of it."""
        self._last[str(call.get("id"))] = self._count
        self._count += 1
        return call["function"]

    def answered(self, call_id: str | None) -> int | None:
        """Return the number of the call that a result names; one that nobody made gets its own."""
        return None if call_id is None else self._last.setdefault(call_id, -1 - len(self._last))


def _turn(message: Message, seen: _Calls) -> list[Any]:
    thought, text = message.get("reasoning") or "", message["content"]
    if message["role"] == "assistant" and not thought:
        thought, text = leading_thought(text)
    weighted = message["role"] == "assistant" and message.get("weight") != 1
    return [
        message["role"],
        _folded(text),
        _folded(thought),
        [seen.add(call) for call in calls_of(message)],
        seen.answered(message.get("tool_call_id")),
        message.get("name"),
        message.get("weight") if weighted else None,
    ]


def _folded(text: str) -> str:
    text = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def _media(media: str | None) -> Any:
    """Return what counts of images, sounds and files; the texts beside them as other texts do."""
    if not media:
        return None
    held = json.loads(media)
    for parts in held.get(PARTS, {}).values():
        for part in parts:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                part["text"] = _folded(part["text"])
    return held


class Signature(Scorer):
    """The hash of each example in normal form, in the table `signature`, column `text`."""

    table: ClassVar[str] = "signature"
    revision: ClassVar[int] = 2  # 2: thoughts, media, weights; ids of calls are form
    by_column: ClassVar[bool] = True

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hash each row; those that are roles and contents alone are put together from texts."""
        turns = flat_turns(rows)
        plain = _plain_rows(rows, turns)
        hashes = _plain_signatures(turns, len(rows))
        by_row = np.flatnonzero(~plain)
        others = rows.select(["messages", "tools", "media"]).take(pa.array(by_row)).to_pylist()
        for row, held in zip(by_row.tolist(), others, strict=True):
            hashes[row] = signature(held["messages"], held["tools"], held["media"])
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], "text": hashes}))


_text = encode_basestring_ascii  # as `json.dumps` writes it, which :func:`signature` calls
_NOTHING_ELSE = '"", [], null, null, null'  # no thought, no call, no id, no name, no weight


def _plain_rows(rows: pa.Table, turns: pa.Table) -> npt.NDArray[np.bool_]:
    """Return [rows] true for conversations of nothing but roles and contents."""
    odd = pc.match_substring_regex(turns["content"], THOUGHT_MARKS).to_numpy()
    for name in TURN_FIELDS:
        odd = odd | turns[name].is_valid().to_numpy()
    plain = np.bincount(turns["row"].to_numpy()[odd], minlength=len(rows)) == 0
    beside = pc.or_(rows["tools"].is_valid(), rows["media"].is_valid()).to_numpy()
    there: npt.NDArray[np.bool_] = plain & ~beside
    return there


def _plain_signatures(turns: pa.Table, rows: int) -> list[str]:
    """Return [rows] the :func:`signature` of conversations of nothing but roles and contents."""
    said = [
        f"[{_text(role)}, {_text(_folded(text))}, {_NOTHING_ELSE}]"
        for role, text in zip(turns["role"].to_pylist(), turns["content"].to_pylist(), strict=True)
    ]
    ends = np.cumsum(np.bincount(turns["row"].to_numpy(), minlength=rows)).tolist()
    return [
        hashlib.sha256(f"[[], [{', '.join(said[start:end])}], null]".encode()).hexdigest()[:32]
        for start, end in zip([0, *ends], ends, strict=False)
    ]
