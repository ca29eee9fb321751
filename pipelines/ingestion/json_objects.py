"""A file of JSON that begins with an object over several lines, or is nothing but one object.

Such a file is a list of objects, each over several lines, or one object around a list of rows.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from siftline.pipelines.ingestion.json_cutting import Cutter
from siftline.pipelines.ingestion.rows import BrokenFileError, shown

Chunks = Iterator[bytes]
IsRow = Callable[[dict[str, Any]], bool]

_MEMBER = re.compile(rb'\A\s*("(?:[^"\\]|\\.)*")\s*:\s*(\[\s*(?=\{))?', re.DOTALL)
_MEMBER_BYTES = 1 << 14  # of a member that are looked at: its key, and how its value begins


class Member(NamedTuple):
    """A member of an object.

    Attributes:
        key: Its key.
        begins: Where the first element is, in bytes from the object's opening bracket, when the
            value is a list of objects; else 0.
    """

    key: str
    begins: int


def first_object(head: bytes) -> bytes:
    """Return the object that a text begins with; nothing if it has no end."""
    pieces = Cutter(len(head), "nothing").feed(head)
    return head[: pieces[0].begins + len(pieces[0].raw)] if pieces else b""


def members(chunks: Chunks) -> list[Member]:
    """Return the members of an object; none if it is not all that there is.

    Args:
        chunks: What follows its opening bracket.
    """
    cutter = Cutter(_MEMBER_BYTES, "object")
    found = []
    for chunk in chunks:
        for raw, begins in cutter.feed(chunk):
            match = _MEMBER.match(raw)
            if match is None:
                return []
            found.append(Member(_key(match[1]), 1 + begins + match.end(2) if match[2] else 0))
        if cutter.closed:
            goes_on = any(rest.strip() for rest in itertools.chain([cutter.rest], chunks))
            return [] if goes_on else found
    return []


def wrapped_list(found: list[Member]) -> Member | None:
    """Return the one member of an object that is a list of objects; None where there is none.

    Raises:
        BrokenFileError: There are several.
    """
    lists = [member for member in found if member.begins]
    if len(lists) > 1:
        keys = ", ".join(f"'{each.key}'" for each in lists)
        raise BrokenFileError(
            f"it is one object, and {keys} of it are lists of objects",
            "Write the list that holds the rows to a file of its own.",
        )
    return lists[0] if lists else None


def _key(raw: bytes) -> str:
    try:
        return str(json.loads(raw))
    except ValueError:
        return shown(raw)


def after(chunks: Chunks, count: int) -> Chunks:
    """Yield what follows so many bytes."""
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
        count -= min(count, len(chunk))
