"""What a word is where texts are compared with benchmarks: letters and digits, and nothing of form.

Case, white space, punctuation and the width of characters (Unicode NFKC) are form. `1,000` is one
word, the same as `1000`, `3.5` is one, and `three` is `3`. In scripts that are written without
spaces every character is a word. :mod:`siftline.scorers.leaks.folded_hashes` does the same in
columns, and a test holds it to this module; here words keep their places in the text, to be shown.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

# Thai, kana, CJK ideographs and their compatibility forms, as ranges of a character class.
UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Numbers that are written out are the same words as in digits: three sheep are 3 sheep.
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_LARGE = {"hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000"}
NUMBER_WORDS = {
    **{word: str(value) for value, word in enumerate(_SMALL)},
    **{word: str(10 * value) for value, word in enumerate(_TENS, start=2)},
    **_LARGE,
}
NUMBER = "#"  # what stands for a number in a template

_DIGITS = frozenset("0123456789")
_LETTER, _ALONE, _NOTHING = "a", "\u4e00", " "  # classes of characters beyond ASCII
_IS_ALONE = re.compile(f"[{UNSPACED}]")
_WORD = re.compile(
    rf"{_ALONE}|(?:[a-z0-9]|(?<=[0-9])\.(?=[0-9])|(?<=[0-9]),(?=[0-9]{{3}}(?![0-9])))+"
)


class Words(NamedTuple):
    """The words of a text, in order.

    Attributes:
        words: Normalised.
        starts: Of each word in the text, in characters.
        ends: Likewise, behind its last character.
    """

    words: list[str]
    starts: list[int]
    ends: list[int]


def words_of(text: str) -> Words:
    """Return the words of a text with their places in it."""
    if text.isascii():
        shown = classes = text.lower()
        places: Sequence[int] = range(len(text) + 1)
    else:
        shown, classes, places = _unfolded(text)
    found = list(_WORD.finditer(classes))
    return Words(
        [_word(shown[each.start() : each.end()]) for each in found],
        [places[each.start()] for each in found],
        [places[each.end() - 1] + 1 for each in found],
    )


def template_of(words: Sequence[str]) -> list[str]:
    """Return words with a mark in the place of each that begins with a digit."""
    return [NUMBER if word[0] in _DIGITS else word for word in words]


def _word(shown: str) -> str:
    """Return a word without commas between thousands, and a number in digits."""
    return NUMBER_WORDS.get(shown, shown.replace(",", ""))


def _unfolded(text: str) -> tuple[str, str, list[int]]:
    """Return a text in normal form, the class of each character of it, and its place in the text.

    Characters are normalised with the marks that follow them.
    """
    shown: list[str] = []
    places: list[int] = []
    begin = 0
    for place in range(1, len(text) + 1):
        if place < len(text) and unicodedata.category(text[place])[0] == "M":
            continue
        folded = unicodedata.normalize("NFKC", text[begin:place]).lower()
        shown += folded
        places += [begin] * len(folded)
        begin = place
    return "".join(shown), "".join(map(_class_of, shown)), places


def _class_of(character: str) -> str:
    """Return what a character is to the pattern of words."""
    if character.isascii():
        return character
    if _IS_ALONE.match(character):
        return _ALONE
    is_letter = character.isalnum() or unicodedata.category(character)[0] == "M"
    return _LETTER if is_letter else _NOTHING
