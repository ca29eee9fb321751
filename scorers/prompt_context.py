"""What belongs to a prompt and is not in its embedding: tools, calls and results.

The embedding of a prompt is one of its system and user turns. The steps of an agent share them, and
so do rows that ask one thing with other tools, to which other answers are right.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.examples import Message, calls_of, normalise, tools_of
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Key, Scored, Scorer


class PromptContext(Scorer):
    """The hash of the tools, calls and results of each prompt.

    Score column of the table `prompt_context`: `hash`, null where a prompt has none of them.
    """

    table: ClassVar[str] = "prompt_context"
    revision: ClassVar[int] = 1
    key: ClassVar[Key] = "prompt_id"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hash what each prompt has beside its texts."""
        columns = zip(rows["messages"].to_pylist(), rows["tools"].to_pylist(), strict=True)
        hashes = [context_hash(turns[:-1], tools) for turns, tools in columns]
        progress.advance(len(rows))
        table = {"prompt_id": rows["prompt_id"], "hash": pa.array(hashes, pa.string())}
        return Scored(pa.table(table))


def context_hash(prompt: Sequence[Message], tools: str | None) -> str | None:
    """Return 32 hex digits of what a prompt has beside its texts; None where it has nothing.

    It is a function of what :func:`siftline.contracts.examples.prompt_hash` hashes.

    Args:
        prompt: The turns before the response.
        tools: JSON of the tools that are offered.
    """
    held = [
        [turn["role"], normalise(turn["content"]), [call["function"] for call in calls_of(turn)]]
        for turn in prompt
        if turn["role"] == "tool" or turn.get("tool_calls")
    ]
    if not held and not tools:
        return None
    canonical = json.dumps([tools_of(tools), held], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
