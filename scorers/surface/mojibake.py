"""Damage of encodings: UTF-8 read as another charset, and characters that no charset could tell.

It looks for what damage leaves and writing does not: the lead of a character of UTF-8 in the
letters of Windows-1252, followed by what its other bytes are there, as where an apostrophe has
become three characters; U+FFFD; controls of U+0080 to U+009F; and a run of such pairs in Cyrillic
letters. A lead before a quotation mark, a dash or a space that does not break is a letter at the
end of a word.
"""

from siftline.contracts.patterns import linear_pattern
from siftline.scorers.fault_places import quoted
from siftline.scorers.surface.check import Check, Turn

# What the bytes 0x80 to 0xBF are in Windows-1252, without quotation marks, dashes and the ellipsis.
_SIGNS = (
    "\u20ac\u201a\u0192\u2020\u2021\u02c6\u2030\u0160\u0152\u017d"
    "\u2022\u02dc\u2122\u0161\u0153\u017e\u0178"
)
_MARKS = "\u201e\u2026\u2039\u2018\u2019\u201c\u201d\u2013\u2014\u203a"
_LATIN = "\u00a1-\u00aa\u00ac-\u00ba\u00bc-\u00bf"  # no guillemets
_NEXT = f"[{_SIGNS}{_LATIN}]"
_ANY_NEXT = f"[{_SIGNS}{_MARKS}\u00a0-\u00bf\u0080-\u009f]"
_CYRILLIC_NEXT = (
    "[\u0402-\u040f\u0451-\u045f\u00a0-\u00bf\u2013-\u203a"
    "\u20ac\u2116\u2122\u0430-\u043f\u0490\u0491]"
)
_DAMAGE = "|".join(
    (
        "\ufffd",
        "[\u0080-\u0084\u0086-\u009f]",  # U+0085 is a line end
        f"[\u00c3\u00c2]{_NEXT}|\u00c2\u00a0",
        f"\u00e2\u20ac{_ANY_NEXT}",
        f"[\u00e0-\u00ef]{_NEXT}{_NEXT}",
        f"\u00f0\u0178{_ANY_NEXT}{_ANY_NEXT}",
        f"(?:[\u00c4\u00c5\u00cc-\u00d9]{_ANY_NEXT}){{3}}",
        f"(?:[\u0420\u0421]{_CYRILLIC_NEXT}){{5}}",
        "\u951f\u65a4\u62f7",
    )
)
_PATTERN = linear_pattern(_DAMAGE)


def _find(turn: Turn) -> str | None:
    match = _PATTERN.search(turn.text)
    return quoted(turn.text, *match.span()) if match else None


MOJIBAKE = Check(_DAMAGE, _find, thoughts=True)
