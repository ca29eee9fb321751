r"""The number that an answer states, exactly; none where it states another thing, or several.

The answer is what a text marks as such, or else its last line, where no earlier one gives another
answer. It must hold exactly one number: an integer or a decimal with separators of thousands, a
fraction, a mixed number, or a power of ten. Words may stand around it, but none that make it
another number, such as `million`, `about` or `a loss of`; in a box they must be written as text,
since two letters are a product there. What is left of formulas, roots, intervals, times and dates
has no value here, nor has a number among words of another script. A doubt is no number: two texts
that are judged equal have the same value.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from siftline.scorers.judges.answers import boxed_answer, claimed_answers, final_answer
from siftline.scorers.judges.equations import right_side
from siftline.scorers.judges.number_words import CHANGING, MONTHS, WORD, unit_named
from siftline.scorers.judges.units import CURRENCIES, unit_of

LONGEST = 300  # characters of an answer that is looked at


class ExactNumber(NamedTuple):
    """A number with its unit.

    Attributes:
        value: Exactly.
        unit: Where it is known in one spelling, else in its own; '' without one.
    """

    value: Fraction
    unit: str


_MINUS = "\u2212\u2013\uff0d\ufe63-"  # the last one, or it would be a range in a class
_SPACES = " \u00a0\u2009\u202f"
_WHOLE = r"\d{1,15}"
_DECIMAL = (
    r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?"
    r"|\d{1,2}(?:,\d{2}){1,12},\d{3}(?!\d)(?:\.\d+)?"  # unbounded, it would be quadratic
    rf"|\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?!\d)(?:\.\d+)?"
    r"|\d{1,3}(?:['\u2019]\d{3})+(?!\d)(?:\.\d+)?"
    r"|\d+(?:\.\d+)?|(?<!\d)\.\d+)"
)
_POWER = rf"10\^(?:\{{([+{_MINUS}]?\d{{1,3}})\}}|([+{_MINUS}]?\d{{1,3}})(?!\d))"
_FRACTION = (
    rf"\\frac(?:\{{\s*({_WHOLE})\s*\}}\{{\s*({_WHOLE})\s*\}}|(\d)(\d)(?!\d))"
    rf"|({_WHOLE}) ?/ ?({_WHOLE})(?![\d.,/]\d|\d|/)"
)
_NUMBER = re.compile(
    rf"(?:(?P<sign>[+{_MINUS}])(?P<money>[{CURRENCIES}])?)?(?:"
    rf"(?:(?P<whole>\d{{1,9}})(?: ?(?=\\frac)| (?=\d{{1,15}} ?/)))?(?P<fraction>{_FRACTION})"
    rf"|(?:(?P<factor>{_DECIMAL})\s?[\u00d7*x]\s?)?(?P<power>{_POWER})"
    rf"|(?P<decimal>{_DECIMAL})(?:[eE](?P<exponent>[+{_MINUS}]?\d{{1,3}})(?![\d.]))?"
    r")"
)
_LATEX = (
    (re.compile(r"\\[()\[\]]|\\left|\\right|\\!|[`\u200b]|\*\*"), ""),
    (re.compile(r"\\[,;: ]"), "\u2009"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\\times|\\cdot|\u00b7"), "\u00d7"),
    (re.compile(r"\^\{?\\circ\}?|\\degree"), "\u00b0"),
    (re.compile(r"\\([%$])"), r"\1"),
    (re.compile(r"\bper cent\b", re.IGNORECASE), "percent"),
    (re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s?\{([^{}]*)\}"), r" \1 "),
)
_TEXT = re.compile(r"\\(?:text|textbf|textrm|mathrm|mbox)\s?\{[^{}\d]*\}")
_HYPHENS = re.compile(rf"(?<=[^\W\d_])[\u2010\u2011/{_MINUS}](?=[^\W\d_])")
_CALL = re.compile(r"[^\W_]\(")
_JOINED = tuple(".,'\u2019\u2014")
# What may stand in an answer beside its number and words.
_HARMLESS = set(" \t\u00a0\u2009\u202f.,;:?!()'\"\u2018\u2019\u201c\u201d\u2014%\u00b0") | set(
    CURRENCIES
)


def exact_number(text: str) -> ExactNumber | None:
    """Return the number that a text states as its answer; None where it is not exactly one."""
    boxed = boxed_answer(text)
    if boxed is not None:
        return _number_in(boxed) if _has_no_variables(boxed) else None
    marked = final_answer(text)
    if marked is not None:
        return _number_in(marked)
    earlier, last = _last_line(text)
    claims = claimed_answers(earlier)
    stated = [*claims, last] if not claims or re.search(r"\d", last) else claims
    numbers = [_number_in(each) for each in stated]
    first = numbers[0]
    agreed = all(first and each and same_number(first, each) for each in numbers)
    return first if agreed else None


def _last_line(text: str) -> tuple[str, str]:
    """Return what precedes the last line that says something, and that line."""
    end = next((place for place in range(len(text) - 1, -1, -1) if text[place].isalnum()), -1) + 1
    start = text.rfind("\n", 0, end) + 1
    return text[:start], text[start:end] + text[end:].partition("\n")[0]


def same_number(one: ExactNumber, two: ExactNumber) -> bool | None:
    """Return whether two numbers are equal; None where their units cannot be compared.

    A number without a unit is compared with any but a percentage.
    """
    if one.unit != two.unit and ("%" in one.unit + two.unit or (one.unit and two.unit)):
        return None
    return one.value == two.value


def _plain(line: str) -> str:
    """Return a line without what LaTeX and Markdown put around numbers and words."""
    line = line[: 4 * LONGEST]
    for pattern, new in _LATEX:
        line = pattern.sub(new, line)
    line = line.strip(" \t\u2009*_")
    # In pairs, dollar signs are LaTeX's and no currency.
    return line.replace("$", " ").strip() if line.count("$") % 2 == 0 else line


def _number_in(answer: str) -> ExactNumber | None:
    """Return the number of an answer; None where it is not exactly one."""
    line = right_side(_plain(answer.strip()))
    found = list(_NUMBER.finditer(line)) if len(line) <= LONGEST else []
    if len(found) != 1:
        return None
    before, after = line[: found[0].start()], line[found[0].end() :]
    unit = unit_of(before + (found[0]["money"] or ""), after)
    value = _value(found[0])
    if value is None or unit is None:
        return None
    alone = _stands_alone(before, unit[1], "," in found[0].group())
    return ExactNumber(value, unit[0]) if alone else None


def _has_no_variables(boxed: str) -> bool:
    """Return whether words in a box are marked as text, or are units of several letters."""
    line = right_side(_plain(_TEXT.sub(" ", boxed)))
    words = WORD.findall(_NUMBER.sub(" ", line))
    return all(len(word) > 1 and unit_named(word) for word in words)


def _value(found: re.Match[str]) -> Fraction | None:
    """Return the value of a number; None for a fraction without one."""
    negative = (found["sign"] or "+") in _MINUS
    if found["fraction"]:
        value = _fraction(found)
    elif found["power"]:
        exponent = found["power"][3:].strip("{}")
        value = _decimal(found["factor"] or "1") * Fraction(10) ** _integer(exponent)
    else:
        value = _decimal(found["decimal"]) * Fraction(10) ** _integer(found["exponent"] or "0")
    return value if value is None or not negative else -value


def _fraction(found: re.Match[str]) -> Fraction | None:
    digits = re.findall(r"\d+", found["fraction"])
    if len(digits) == 1:  # \frac12
        digits = list(digits[0])
    above, below = (int(each) for each in digits)
    if below == 0 or (found["whole"] and above >= below):
        return None
    return int(found["whole"] or 0) + Fraction(above, below)


def _decimal(text: str) -> Fraction:
    return Fraction(re.sub(rf"[,'\u2019{_SPACES}]", "", text))


def _integer(text: str) -> int:
    return int(text.translate({ord(sign): "-" for sign in _MINUS}))


def _stands_alone(before: str, after: str, grouped: bool) -> bool:
    """Return whether nothing around a number makes it another one, or a part of something.

    Args:
        before: What precedes it.
        after: What follows it and its unit.
        grouped: It has commas in it.
    """
    if before[-1:].isalnum() or after[:1].isalnum() or before[-1:] in _JOINED:
        return False
    if after[:1] in ("!", "'", "\u2019", '"') or after.startswith(("..", "\u2026")):
        return False
    if before.count("(") != before.count(")") and (
        grouped or not (before.endswith("(") and after.startswith(")"))
    ):
        return False
    return _is_prose(before, after)


def _is_prose(before: str, after: str) -> bool:
    """Return whether what stands around a number is words that leave it as it is."""
    rest = _HYPHENS.sub("", f"{before} {after}")
    if not all((letter.isascii() and letter.isalpha()) or letter in _HARMLESS for letter in rest):
        return False
    if _CALL.search(rest):
        return False
    words = WORD.findall(rest)
    if any(len(word) == 1 and word not in "aAI" for word in words):
        return False
    beside = {word.casefold() for word in WORD.findall(before)[-1:] + WORD.findall(after)[:1]}
    return not ({word.casefold() for word in words} & CHANGING or beside & MONTHS)


def same_answer(first: str, second: str) -> bool:
    """Return whether two answers are equal as bare numbers, or as texts but for case and edges."""
    one, two = (exact_number(text) if _is_bare(text) else None for text in (first, second))
    if one is not None and two is not None:
        return same_number(one, two) is True
    return _folded(first) == _folded(second)


def _is_bare(text: str) -> bool:
    return not any(word.isalpha() for word in text.split())


def _folded(text: str) -> str:
    """Return a text without case, and without what stands around it and means nothing."""
    bare = " ".join(text.casefold().strip(" \t\n.,;:!?'\"`*_").split())
    lone = bare[1:-1] if bare.startswith("(") and bare.endswith(")") else ""
    return lone if lone.isalnum() else bare or text
