"""Finding personal data in a text, by kind; and the one pattern that other texts never hit."""

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import re2

from siftline.scorers.personal.accounts import cards, ibans
from siftline.scorers.personal.emails import emails
from siftline.scorers.personal.finds import PATTERN_KINDS, Find, Options, Taken
from siftline.scorers.personal.folding import FOLDED_SIGN, folded
from siftline.scorers.personal.hosts import ips
from siftline.scorers.personal.keys import secrets
from siftline.scorers.personal.phones import phones

Finder = Callable[[str, str, Options], Iterator[Find]]

# Whatever a finder finds has one of these in it. One pass of an automaton over a column of texts
# tells which of them are to be looked at.
SIGN = (
    r"[^\s@]@[^\s@]|"  # e-mail, and passwords in addresses
    rf"{FOLDED_SIGN}|"
    r"(?:[0-9][ ().\x{a0}/-]{0,3}){6}[0-9]|"  # telephones, cards
    r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9a-fA-F]{3}:[0-9a-fA-F:]|"  # IP
    r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}|"  # IBAN
    r"AKIA|ASIA|ABIA|ACCA|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|hooks\.slack\.com|sk-[A-Za-z0-9]|"
    r"k_live_|AIza|hf_[A-Za-z]|npm_|pypi-AgEI|SG\.[A-Za-z0-9_-]{16}|eyJ|PRIVATE KEY-|(?i:bearer) |"
    r"(?i:key|secret|token|passw(?:or)?d)[\"'\\]*\s{0,3}(?:=>|[:=])\s{0,3}[\"'\\]*[^\s\"'\\]{12}"
)
_SIGN = re2.compile(SIGN)
_AS_WRITTEN = ("secret", "email")  # kinds that any letters belong to; others are numbers
_ESCAPED = r"\u"  # what JSON hides from the pattern

FINDERS: Mapping[str, Finder] = dict(
    zip(PATTERN_KINDS, (secrets, emails, ibans, cards, ips, phones), strict=True)
)


def with_signs(column: pa.Array, *, is_json: bool = False) -> pa.Array:
    """Return [texts] true for those that may hold personal data; false for a null.

    Args:
        column: Texts.
        is_json: They are JSON, whose strings may hide behind escapes.
    """
    found = pc.match_substring_regex(column, SIGN)
    if is_json:
        found = pc.or_(found, pc.match_substring(column, _ESCAPED))
    return pc.fill_null(found, False)


def find_all(text: str, key: str, options: Options) -> dict[str, list[Find]]:
    """Return what a text holds of each kind that it holds any of.

    A number of an account is no telephone's, and a token's parts are nothing by themselves: of what
    overlaps, the kind that comes first in :data:`PATTERN_KINDS` is named.

    Args:
        text: The text.
        key: Of the JSON value that it is; empty elsewhere.
        options: What counts.
    """
    if not (key or _SIGN.search(text)):
        return {}
    taken = Taken()
    found: dict[str, list[Find]] = {}
    numbers = folded(text)
    for kind, finder in FINDERS.items():
        read = text if kind in _AS_WRITTEN else numbers
        for find in sorted(set(finder(read, key, options))):
            if taken.take(find):
                found.setdefault(kind, []).append(find)
    return found
