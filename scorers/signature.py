"""A hash of an example's text that is equal for texts which differ in form only."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.examples import Message, calls_of, tools_of
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer


def signature(messages: Sequence[Message], tools: str | None = None) -> str:
    """Return a hash (32 hex digits) that is equal for texts which differ in form only.

    Args:
        messages: The conversation; its tool calls count to the letter.
        tools: JSON of the tools that it offers, which count to the letter too.
    """
    calls = [calls_of(message) or None for message in messages]
    parts: list[Any] = [tools_of(tools) or None, calls if any(calls) else None]
    for message in messages:
        text = " ".join(unicodedata.normalize("NFKC", message["content"]).casefold().split())
        parts.append((message["role"], text))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class Signature(Scorer):
    """The hash of each example's normalised text, in the table `signature`, column `text`."""

    table: ClassVar[str] = "signature"
    revision: ClassVar[int] = 1

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hash each row."""
        hashes = [
            signature(row["messages"], row["tools"])
            for row in rows.select(["messages", "tools"]).to_pylist()
        ]
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], "text": hashes}))
