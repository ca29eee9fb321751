"""Texts of fewer words than a window: what is said in them beside the words counts too.

`3 + 5` and `3 - 5` have the same words, and so have a text and the same with an emoji. Longer texts
are told apart by their other words; in short ones every sign counts that a sentence does not need.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_SIGNS = frozenset(  # that Unicode counts as punctuation, the full-width ones too
    "-*/%&@#\\_\u2030\uff03\uff05\uff06\uff0a\uff0d\uff0f\uff20\uff3c\uff3f"
)
_QUOTES = frozenset("`\u00b4")  # that it counts as symbols
_VARIANTS = frozenset(map(chr, range(0xFE00, 0xFE10)))  # an emoji in colour, or without it
_PIECES = re.compile(r"(?P<kept>\w+|(?<=\d)[.,:](?=\d))|[^\w\s]")  # 1.5 is neither 1,5 nor 1:5
_MAY_BE_SIGNED = r"""[^\pL\pN\pZ\s.,;:!?'"()]|[0-9][.,:][0-9]"""  # by column, in linear time


def sign_hashes(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return [texts] 64 bits for the words and signs of each, in order; 0 where it has no signs.

    Letters, digits, marks and symbols count; case, white space, quotes and brackets do not.

    Args:
        texts: None of them has a lone surrogate.
    """
    column = pa.array(texts, pa.large_string())
    found = np.zeros(len(texts), dtype=np.uint64)
    signed = pc.match_substring_regex(column, _MAY_BE_SIGNED).to_numpy(zero_copy_only=False)
    for place in np.flatnonzero(signed).tolist():
        pieces = _pieces(texts[place].casefold())
        if not all(piece.isalnum() for piece in pieces):
            found[place] = text_digest(" ".join(pieces))
    return found


def text_digest(text: str) -> int:
    """Return 64 bits that are those of no other text, but for chance."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _pieces(text: str) -> list[str]:
    """Return the words and signs of a text, in order."""
    found = _PIECES.finditer(text)
    return [piece[0] for piece in found if piece["kept"] or _is_sign(piece[0])]


def _is_sign(character: str) -> bool:
    """Return whether a character that is in no word and no white space is more than form."""
    if character in _SIGNS:
        return True
    form = unicodedata.category(character)[0] in "PZC"
    return not (form or character in _QUOTES or character in _VARIANTS)
