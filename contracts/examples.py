"""Identity of an example: hashes of its content and of its prompt, and the text of the prompt."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from typing import Any, TypedDict


class Message(TypedDict):
    """One turn of a conversation.

    Attributes:
        role: Who speaks: `system`, `user`, `assistant` or `tool`.
        content: What is said.
    """

    role: str
    content: str


def content_hash(messages: Sequence[Message], metadata: dict[str, Any]) -> str:
    """Return 32 hex digits for a conversation, tools and tool calls included, to the letter."""
    return _hash([[m["role"], m["content"]] for m in messages], metadata)


def prompt_hash(messages: Sequence[Message], metadata: dict[str, Any]) -> str:
    """Return 32 hex digits for all that precedes the last turn.

    Contents are normalised first, so that candidates for one prompt meet although their white
    space differs.
    """
    prompt = [[m["role"], normalise(m["content"])] for m in messages[:-1]]
    calls = metadata.get("tool_calls")
    return _hash(prompt, {**metadata, "tool_calls": calls[:-1] if calls else None})


def prompt_text(messages: Sequence[Message]) -> str:
    """Return the system and user turns, normalised, joined by blank lines.

    It is a function of what :func:`prompt_hash` hashes.
    """
    return "\n\n".join(
        normalise(m["content"]) for m in messages[:-1] if m["role"] in ("system", "user")
    )


def normalise(text: str) -> str:
    """Return a text in Unicode NFC, its runs of white space folded to one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _hash(messages: list[list[str]], metadata: dict[str, Any]) -> str:
    calls = metadata.get("tool_calls")
    identity = [messages, metadata.get("tools"), calls if calls and any(calls) else None]
    canonical = json.dumps(identity, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class UniqueIds:
    """Gives out ids that are unique: the second use of `x` becomes `x-2`.

    It remembers every id, about 100 bytes each.
    """

    def __init__(self) -> None:
        self._uses: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """Return an id that has not been given out yet."""
        uses = self._uses.get(wanted, 0)
        candidate = wanted
        while uses and candidate in self._uses:
            uses += 1
            candidate = f"{wanted}-{uses}"
        self._uses[wanted] = max(uses, 1)
        if candidate != wanted:
            self._uses[candidate] = 1
        return candidate
