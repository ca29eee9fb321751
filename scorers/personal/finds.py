"""What a finder of personal data returns, and what it may be told."""

import bisect
from typing import Literal, NamedTuple

PATTERN_KINDS = ("secret", "email", "iban", "credit_card", "ip", "phone")
NAME_KINDS = ("name", "address")
KINDS = (*PATTERN_KINDS, *NAME_KINDS)

Region = Literal[
    "AR", "AT", "AU", "BE", "BR", "CA", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "ES", "FI", "FR",
    "GB", "GR", "HK", "HU", "ID", "IE", "IL", "IN", "IT", "JP", "KE", "KR", "MX", "MY", "NG", "NL",
    "NO", "NZ", "PE", "PH", "PK", "PL", "PT", "RO", "RU", "SE", "SG", "TH", "TR", "TW", "UA", "US",
    "VN", "ZA",
]  # fmt: skip


class Find(NamedTuple):
    """A stretch of a text, in characters."""

    start: int
    end: int


class Options(NamedTuple):
    """What counts as personal.

    Attributes:
        placeholders: Values that stand for any, such as `user@example.com`, count too.
        local_ips: So do addresses of private networks.
        regions: Whose national forms of telephone numbers are known.
    """

    placeholders: bool = False
    local_ips: bool = False
    regions: tuple[str, ...] = ("US", "GB", "DE", "FR")


class Taken:
    """The stretches of a text that something was found in."""

    def __init__(self) -> None:
        self._finds: list[Find] = []  # in order, and apart from one another

    def take(self, find: Find) -> bool:
        """Take a stretch, unless it overlaps one that is taken; return whether it did not."""
        place = bisect.bisect_left(self._finds, find)
        before = place and self._finds[place - 1].end > find.start
        after = place < len(self._finds) and self._finds[place].start < find.end
        if before or after:
            return False
        self._finds.insert(place, find)
        return True


def words_before(text: str, start: int, key: str, window: int = 40) -> str:
    """Return what stands before a find, in lower case: the key of its value, and some characters.

    Args:
        text: The text.
        start: Of the find.
        key: Of the JSON value that the text is; empty elsewhere.
        window: How many characters of the text.
    """
    return f"{key} {text[max(0, start - window) : start]}".lower()


def without_escape(text: str, start: int) -> int:
    """Return where a find begins, behind the letter of an escape of JSON or code before it."""
    return start + 1 if start and text[start - 1] == "\\" and text[start] in "nrtbfv" else start
