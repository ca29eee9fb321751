"""Drop every repetition of an example but the first in corpus order.

Two examples are the same when their texts are equal after Unicode NFKC, casefolding and folding of
white space. The response counts along with its prompt, so candidates for one prompt survive.
Run it before any selector: density estimates, ties and budgets all suffer from copies.
"""

import hashlib
import json
import unicodedata
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.pipelines.config import Config
from siftline.pipelines.corpus import Corpus
from siftline.pipelines.method import Runtime, Scored, Scorer, verdicts


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


class Signature(Config):
    """The hash of each example's normalised text, in the table `signature`, column `text`."""

    table: ClassVar[str] = "signature"
    revision: ClassVar[int] = 1
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "content_hash"

    @property
    def role(self) -> str | None:
        """No model is needed."""
        return None

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hash each row."""
        hashes = [
            signature(row["messages"], json.loads(row["metadata"]))
            for row in rows.select(["messages", "metadata"]).to_pylist()
        ]
        return Scored(pa.table({"content_hash": rows["content_hash"], "text": hashes}))


class ExactDuplicates(Config):
    """Keeps the first of the examples whose text is the same.

    Attributes:
        match: `normalised` compares the text without case and white space; `content` compares it
            to the letter, tools included.
    """

    revision: ClassVar[int] = 1

    kind: Literal["exact_duplicates"] = "exact_duplicates"
    match: Literal["normalised", "content"] = "normalised"

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the text signature, when the normalised text counts."""
        return (Signature(),) if self.match == "normalised" else ()

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep the first row of each group of equal texts."""
        if self.match == "normalised":
            keys = corpus.column("signature.text")
        else:
            keys = corpus.rows["content_hash"].combine_chunks()
        codes = pc.dictionary_encode(keys).indices.to_numpy(zero_copy_only=False)
        keep = np.zeros(len(corpus), dtype=bool)
        keep[np.unique(codes, return_index=True)[1]] = True
        return verdicts(corpus, keep, np.where(keep, "kept", "exact_duplicate"))
