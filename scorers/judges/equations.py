"""What an equation gives: its right side, where its left side is sure to be the same thing."""

import re

from siftline.scorers.judges.number_words import (
    ALTERNATIVES,
    CONDITIONS,
    OPERATIONS,
    PROSE,
    WORD,
    unit_named,
)

_CALL = re.compile(r"([^\W\d_]{1,30})\([^()]{0,60}\)$")
_NUMBERED = re.compile(r"(?<![^\W_])([^\W\d_])_?\{?\d{1,3}\}?$")  # x_1, x_{12}, x3
# What can be read as bare numbers and words, in the order in which it is.
_SIMPLER = (
    (re.compile(r"\\frac\{\d{1,15}\}\{\d{1,15}\}"), "1"),
    (re.compile(r"(?<=\d) ?\\?% of\b"), ""),
    (re.compile(r"(?<=\d) x (?=\d)"), " \u00d7 "),
    (re.compile(r"(?<=[a-z]{3})-(?=[a-z]{3})"), ""),
)
_OPERATOR = r"[^\w\s.,:;?\"'\u2018\u2019\u201c\u201d()$\u20ac\u00a3]"
_OPERATED = re.compile(rf"[^\W\d]\s*{_OPERATOR}|{_OPERATOR}\s*[^\W\d]")
_COUNTED = re.compile(r"\d([\s(]*)([^\W\d_]+)(\s*$)?")  # a number before a word: perhaps a product
_PART_OF_NAME = re.compile(r"(?<!value )\bof [^\W\d_]$", re.IGNORECASE)


def right_side(line: str) -> str:
    """Return what stands right of an equals sign, or a line without one; '' where in doubt.

    The left side is arithmetic with numbers, a name or a call such as `x` or `f(2)`, or prose that
    ends in one of these. `x - 3 = 5` says what x - 3 is, and so has none of its own.
    """
    left, equals, right = line.partition("=")
    if not equals:
        return line
    return right.strip() if "=" not in right and _is_the_answer(left.strip()) else ""


def _is_the_answer(left: str) -> bool:
    left = _NUMBERED.sub(r"\1", _CALL.sub(r"\1", left))
    for pattern, simpler in _SIMPLER:
        left = pattern.sub(simpler, left)
    if left and not (left[-1].isalnum() or left[-1] == ")"):
        return False
    if any(each.isnumeric() and not each.isdecimal() for each in left):  # a raised 2
        return False
    return not (_OPERATED.search(left) or _is_list(left) or _is_product(left)) and _is_prose(left)


def _is_list(left: str) -> bool:
    """Return whether there are several numbers in a row."""
    first = re.search(r"\d", left)
    formula = left[first.start() :] if first else ""
    return "and" in WORD.findall(formula.casefold()) or bool(set(formula) & set(",;"))


def _is_product(left: str) -> bool:
    """Return whether a number stands before what may be a variable or a unit."""
    return any(
        not between or bool(at_end) or unit_named(word) is not None or _may_be_variables(word)
        for between, word, at_end in _COUNTED.findall(left)
    ) or bool(re.search(r"\d[\s(]*[^\W\d_]+$", left))


def _is_prose(left: str) -> bool:
    """Return whether words before a name or numbers leave them as they are."""
    words = WORD.findall(left)
    if {word.casefold() for word in words} & (OPERATIONS | ALTERNATIVES | CONDITIONS):
        return False
    named = bool(words) and left.endswith(words[-1])
    name = words.pop() if named and (len(words[-1]) == 1 or words[-1].isupper()) else ""
    if len(name) == 1 and _PART_OF_NAME.search(left):
        return False
    return not any(_may_be_variables(word) for word in words)


def _may_be_variables(word: str) -> bool:
    return len(word) <= 3 and word not in ("a", "A", "I") and word.casefold() not in PROSE
