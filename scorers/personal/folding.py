"""Digits, spaces and dashes of Unicode as those of ASCII, character by character.

Numbers come with spaces that do not break (U+00A0, U+202F), with dashes of typography, in full
width, and behind words of a script that has no spaces. Places in the folded text are those of the
text.
"""

import re2

_SPACES = (
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"
)
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad"
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_TABLE = str.maketrans({**dict.fromkeys(_SPACES, " "), **dict.fromkeys(_DASHES, "-")}) | _FULL_WIDTH
_WITHOUT_SPACES = re2.compile(r"[\x{2e80}-\x{d7ff}]")  # ideographs, kana, hangul, and their marks

# What a number has that is not read as ASCII has it: a sign for what looks at columns.
FOLDED_SIGN = (
    r"[0-9][\x{a0}\x{ad}\x{2000}-\x{200a}\x{2010}-\x{2015}\x{202f}\x{205f}\x{2212}][0-9]|"
    r"[\x{ff10}-\x{ff19}]"
)


def folded(text: str) -> str:
    """Return a text of the same length whose numbers are written in ASCII."""
    if text.isascii():
        return text
    spaced: str = _WITHOUT_SPACES.sub(" ", text)
    return spaced.translate(_TABLE)
