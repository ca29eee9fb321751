"""One pattern for many phrases, to find the few texts of a column that may hold one of them."""

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

# What is folded before phrases are looked for: as it may be written, and as it then reads.
CONTRACTIONS = (
    ("\u2019", "'"),
    ("i'm ", "i am "),
    ("can't", "cannot"),
    ("won't", "will not"),
)

# What `str.split` takes for white space; `\s` of RE2 is ASCII.
_SPACES = "[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
_WRITTEN = (
    ("i am ", f"i(?:{_SPACES}am|['\u2019]m){_SPACES}"),
    ("cannot", "can(?:no|['\u2019])t"),
    ("will not", f"w(?:ill{_SPACES}no|on['\u2019])t"),
)
_PIECES = re.compile("|".join(re.escape(plain) for plain, _ in _WRITTEN) + "|'| |.", re.DOTALL)


def plain_text(text: str) -> str:
    """Fold case, white space, apostrophes and contractions, so that phrases need one spelling."""
    folded = " ".join(text.casefold().split())
    for old, new in CONTRACTIONS:
        folded = folded.replace(old, new)
    return folded


def may_hold(texts: pa.Array, phrases: Sequence[str]) -> pa.Array:
    """Return [texts] true where a text may have one of some phrases, as :func:`plain_text`.

    It is true for every text that has one, and for few others.

    Args:
        texts: As they were written.
        phrases: As :func:`plain_text` gives them.
    """
    if not phrases:
        return pa.array([False] * len(texts), pa.bool_())
    if "" in phrases or any(_begins_or_ends_within(phrase) for phrase in phrases):
        return pa.array([True] * len(texts), pa.bool_())
    pattern = "|".join(spelled(phrase) for phrase in phrases)
    return pc.match_substring_regex(_folded(texts), f"(?i:{pattern})")


def _folded(texts: pa.Array) -> pa.Array:
    """Return texts casefolded, those that are ASCII as they are: a pattern ignores their case."""
    is_ascii = pc.string_is_ascii(texts)
    if is_ascii.false_count == 0:
        return texts
    others = texts.filter(pc.invert(is_ascii)).to_pylist()
    folded = pa.array([text.casefold() for text in others], texts.type)
    return pc.replace_with_mask(texts, pc.invert(is_ascii), folded)


def spelled(phrase: str) -> str:
    """Return a pattern for all that reads like a phrase when it is folded."""
    written = {**dict(_WRITTEN), "'": "['\u2019]", " ": _SPACES}
    pieces: Iterable[str] = _PIECES.findall(phrase)
    return "".join(written.get(piece, re.escape(piece)) for piece in pieces)


def _begins_or_ends_within(phrase: str) -> bool:
    """Return whether a phrase may begin or end in the middle of a contraction.

    It is then not found by its letters: `am sorry` reads like a part of `i'm sorry`.
    """
    for old, new in CONTRACTIONS[1:]:
        same_start = len(_common(old, new))
        same_end = len(_common(old[::-1], new[::-1]))
        for size in range(1, len(new)):
            if size > same_end and phrase.startswith(new[-size:]):
                return True
            if size > same_start and phrase.endswith(new[:size]):
                return True
        if phrase in new:
            return True
    return False


def _common(first: str, second: str) -> str:
    """Return the letters with which two texts begin alike."""
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    return first[:same]
