"""Text that others wrote, made fit to be stored as UTF-8 and to be shown on a terminal.

Names of sources, files and columns, and whatever a message quotes of them, may hold half of a
surrogate pair, which no file can hold, or characters that a terminal obeys instead of showing.
"""

import re

EXCERPT_CHARS = 500

# Controls but the line feed, marks that reorder what stands beside them, other line ends, and
# halves of surrogate pairs.
_OBEYED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def encodable(text: str) -> str:
    """Return a text as UTF-8 can hold it: half of a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    r"""Return a text that a terminal shows and does not obey; a line feed stays.

    Everything else that would move the cursor, change colours or the direction of writing becomes
    its escape, such as `\x1b`. What is printable already is returned as it is.
    """
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def excerpt(text: str, most: int = EXCERPT_CHARS) -> str:
    """Return a text in one line, cut after some characters: what a message quotes of another."""
    line = " ".join(text[: 8 * most].split())
    return line if len(line) <= most else line[: most - 3] + "..."
