"""The final answer of a text: found by its marker, and compared by meaning where it is a number."""

import re
import string
from decimal import Decimal, InvalidOperation

# From the most to the least explicit; the last occurrence in the text counts.
_MARKERS = (
    re.compile(r"####\s*(.+)"),  # GSM8K
    re.compile(r"\\boxed\{([^{}]+)\}"),  # MATH
    re.compile(r"^\W*(?:final answer|answer|a)\W*:\W*(\S.*)$", re.IGNORECASE | re.MULTILINE),
    re.compile(r"\banswer is:?\s*([^\n]+?)(?:\.\s|\.?$)", re.IGNORECASE | re.MULTILINE),
)
_NUMBER = re.compile(r"-?(?:\d[\d,]*)?\.?\d+")
_EDGES = string.punctuation + string.whitespace


def final_answer(text: str) -> str | None:
    r"""Return what a text marks as its answer, or None where it marks nothing.

    Markers: `####`, `\boxed{}`, a line that begins with "Answer:" or "A:", and "the answer is".
    """
    for marker in _MARKERS:
        found = marker.findall(text)
        if found:
            answer: str = found[-1].strip()
            return answer
    return None


def last_number(text: str) -> Decimal | None:
    """Return the last number in a text, thousands separators removed; None without one."""
    for found in reversed(_NUMBER.findall(text)):
        try:
            return Decimal(found.replace(",", ""))
        except InvalidOperation:
            continue
    return None


def same_answer(first: str, second: str) -> bool:
    """Return whether two answers are one: as numbers, or as text but for case and punctuation."""
    one, two = _as_number(first), _as_number(second)
    if one is not None and two is not None:
        return one == two
    return _folded(first) == _folded(second)


def _as_number(text: str) -> Decimal | None:
    """Read a text that is one number with at most a unit sign around it."""
    bare = text.strip(_EDGES.replace("-", "").replace(".", "")).rstrip(".")
    return last_number(bare) if _NUMBER.fullmatch(bare) else None


def _folded(text: str) -> str:
    return " ".join(text.casefold().strip(_EDGES).split())
