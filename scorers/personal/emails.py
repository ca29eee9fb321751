"""E-mail addresses: `anna.k@uni-jena.de`, and not `W@x.mean()` or `git@github.com:org/repo`."""

from collections.abc import Iterator

import re2

from siftline.scorers.personal import placeholders
from siftline.scorers.personal.finds import Find, Options, without_escape

# What may stand around an @; what an address is made of is checked afterwards, since the classes of
# Unicode, repeated, make automata of megabytes.
# Spaces, controls and punctuation of every script end it: curly quotes, U+00A0, U+3002.
_NEVER = (
    r"\x00-\x20\x7f-\xa0\xab\xb7\xbb\xbf\xa1\x{2000}-\x{206f}\x{3000}-\x{303f}\x{feff}-\x{ff0f}"
    r"\x{ff1a}-\x{ff20}@<>()\[\],;:\"`|{}\\!?*#/="
)
_AROUND = re2.compile(rf"[^{_NEVER}]+@[^{_NEVER}'&]+")
_IDEOGRAPHS = re2.compile(r"[\x{2e80}-\x{d7ff}]")  # and kana, hangul: written without spaces
_LONGEST = 64  # characters of what stands before the @, and of a label behind it
_OF_NAMES = frozenset("._%+'&~-")
# RFC 2606 and 6761; and names that say of themselves that they stand for another.
_RESERVED_TLDS = frozenset(("example", "invalid", "test", "localhost", "local", "localdomain"))
_RESERVED = ("example.com", "example.org", "example.net", "example.edu", "domain.com")
_NOBODY = frozenset(("noreply", "no-reply", "donotreply", "do-not-reply", "you", "example"))
_OF_PROGRAMS = frozenset(("git", "hg", "svn"))  # who logs in is no person


def emails(text: str, key: str, options: Options) -> Iterator[Find]:
    """Yield the e-mail addresses of a text.

    Args:
        text: The text.
        key: Of the JSON value that it is; not read.
        options: What counts.
    """
    for match in _AROUND.finditer(text):
        start = without_escape(text, match.start())
        local, _, host = text[start : match.end()].partition("@")
        spare = _words_before(local)
        spare += len(local[spare:]) - len(local[spare:].lstrip("._%+'&~-"))
        local, host = local[spare:], _without_words_after(host).rstrip(".-_~^$%+")
        start += spare
        end = start + len(local) + 1 + len(host)
        if not _is_address(local, host) or _in_an_address(text, start):
            continue
        if _is_code(local, host, text[end : end + 1]):
            continue
        if options.placeholders or not _stands_for_any(local.lower(), host.lower()):
            yield Find(start, end)


def _words_before(local: str) -> int:
    """Return how much of a name is a sentence before it that has no spaces."""
    if not local[-1:].isascii():
        return 0
    return max((match.end() for match in _IDEOGRAPHS.finditer(local)), default=0)


def _without_words_after(host: str) -> str:
    """Return a host without the sentence that goes on behind its domain."""
    words = _IDEOGRAPHS.search(host)
    before = host[: words.start()] if words else host
    return before if before[-1:].isascii() and before[-1:].isalpha() and "." in before else host


def _is_address(local: str, host: str) -> bool:
    """Return whether a name and a host are made as such are."""
    if not 0 < len(local) <= _LONGEST or not all(c.isalnum() or c in _OF_NAMES for c in local):
        return False
    *labels, top = host.split(".")
    if not labels or not 2 <= len(top) <= 24 or not top.replace("-", "").isalpha():
        return False
    return all(
        0 < len(label) < _LONGEST and label.replace("-", "").isalnum() and label.strip("-") == label
        for label in labels
    )


def _in_an_address(text: str, start: int) -> bool:
    """Return whether a user and a host of a URL only look like one: `ssh://anna@host.org`."""
    before = text[max(0, start - _LONGEST) : start]
    return "://" in before and not any(c in " \n\t/" for c in before.rpartition("://")[2])


def _is_code(local: str, host: str, after: str) -> bool:
    if (
        local in _OF_PROGRAMS
        or host.rpartition(".")[2].lower() in placeholders.NO_TOP_LEVEL_DOMAINS
    ):
        return True
    # `A@B.to(device)` multiplies matrices, and `x@y.com` in code is no host when it is called.
    return after == "(" or after == "["


def _stands_for_any(local: str, host: str) -> bool:
    if local in _NOBODY or local.startswith("your") or host.rpartition(".")[2] in _RESERVED_TLDS:
        return True
    if any(host == each or host.endswith(f".{each}") for each in _RESERVED):
        return True
    return host.startswith(("your", "example", "sample", "mydomain", "my-domain"))
