"""The final answer of a text: found by its marker, and compared by meaning where it is a number."""

import re
import string
from decimal import Decimal

# From the most to the least explicit; the last occurrence in the text counts. Those of the second
# list mark headings, options and turns of phrase too, so they count in the last line only.
_MARKERS = (
    re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})+)\}"),  # MATH
    re.compile(r"^[^\w\n]*(?:final answer|answer)\W*:[\s*_]*(\S.*)$", re.IGNORECASE | re.M),
)
_LAST_LINE_MARKERS = (
    re.compile(r"####\s*(.+)"),  # GSM8K
    re.compile(r"^\W*a\W*:[\s*_]*(\S.*)$", re.IGNORECASE),
    re.compile(r"\banswer is:?\s*([^\n]+?)(?:\.\s|\.?$)", re.IGNORECASE),
)
# A minus behind a word or a number is a hyphen; commas separate groups, of which the last has three
# digits, or items of a list.
_NUMBER = re.compile(
    r"(?:(?<![\w.)])[-\u2212])?"
    r"(?:(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)"
)
# What stands around an answer and is no part of it.
EDGES = string.punctuation + string.whitespace


def final_answer(text: str) -> str | None:
    r"""Return what a text marks as its answer, or None where it marks nothing.

    Markers: `\boxed{}` and a line that begins with "Answer:"; in the last line also `####`, "A:"
    and "the answer is".
    """
    last = text.rstrip().rpartition("\n")[2]
    places = [(marker, text) for marker in _MARKERS]
    places += [(marker, last) for marker in _LAST_LINE_MARKERS]
    for marker, place in places:
        answers: list[str] = marker.findall(place)
        if answers:
            return answers[-1].strip()
    return None


def stated_answer(text: str) -> str:
    """Return what a text marks as its answer, or else the whole text."""
    return final_answer(text) or text


def last_number(text: str) -> Decimal | None:
    """Return the last number in a text, thousands separators removed; None without one."""
    numbers = _NUMBER.findall(text)
    return Decimal(numbers[-1].replace(",", "").replace("\u2212", "-")) if numbers else None


def same_answer(first: str, second: str) -> bool:
    """Return whether two answers are equal as numbers, or as text but for case and punctuation."""
    one, two = _as_number(first), _as_number(second)
    if one is not None and two is not None:
        return one == two
    return _folded(first) == _folded(second)


def _as_number(text: str) -> Decimal | None:
    """Read a text that is one number with at most a unit sign around it."""
    bare = text.strip(EDGES.replace("-", "").replace(".", "")).rstrip(".")
    return last_number(bare) if _NUMBER.fullmatch(bare) else None


def _folded(text: str) -> str:
    bare = text.casefold().strip(EDGES) or text  # an answer may be a sign, such as "+"
    return " ".join(bare.split())
