"""A hash of an example's text that is equal for texts which differ in form only."""

import hashlib
import json
import unicodedata
from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer


def signature(messages: list[dict[str, str]], metadata: dict[str, Any]) -> str:
    """Return a hash (32 hex digits) that is equal for texts which differ in form only.

    Args:
        messages: The conversation.
        metadata: Whose `tools` and `tool_calls` count too, to the letter.
    """
    parts: list[Any] = [metadata.get("tools"), metadata.get("tool_calls")]
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
            signature(row["messages"], json.loads(row["metadata"]))
            for row in rows.select(["messages", "metadata"]).to_pylist()
        ]
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], "text": hashes}))
