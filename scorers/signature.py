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
from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.examples import PARTS, Message, calls_of, tools_of
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.thoughts import leading_thought


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
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


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

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hash each row."""
        hashes = [
            signature(row["messages"], row["tools"], row["media"])
            for row in rows.select(["messages", "tools", "media"]).to_pylist()
        ]
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], "text": hashes}))
