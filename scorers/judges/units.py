"""The unit of a number: the words and signs that follow it, and a currency before it."""

import re

from siftline.scorers.judges.number_words import (
    CHANGING,
    HALVES_OF_A_DAY,
    MONTHS,
    PROSE,
    SCALES,
    UNITS,
    WORD,
    unit_named,
)

CURRENCIES = "$\u20ac\u00a3\u00a5\u20b9"
_SIGN = re.compile(rf"\s{{0,3}}(\u00b0[CF]?|%|[{CURRENCIES}])(?![^\W_])")
_NEXT = re.compile(rf"([\s/]{{0,3}})({WORD.pattern})")
_NOT_IN_UNITS = CHANGING | MONTHS | SCALES | set(HALVES_OF_A_DAY)


def unit_of(before: str, after: str) -> tuple[str, str] | None:
    """Return the unit of a number, and what follows it without the unit; None where in doubt.

    A unit that is known has one spelling, any other its own. `per` and what follows are part of it,
    as are all words up to one that belongs to the sentence.

    Args:
        before: What precedes the number.
        after: What follows it.
    """
    words = WORD.findall(before)
    if words and before.rstrip().endswith(words[-1]) and unit_named(words[-1]):
        return None  # EUR 5, day 5
    money = before[-1:] if before[-1:] in CURRENCIES else ""
    if money and before[-2:-1].isalpha():  # of some other country
        return None
    unit = [money] if money else []
    if sign := _SIGN.match(after):
        unit.append(UNITS.get(sign[1], sign[1]))
        after = after[sign.end() :]
    while (found := _NEXT.match(after)) and found[2].casefold() not in PROSE:
        known = unit_named(found[2])
        if not unit and not known and not found[1]:
            break  # 5x
        if not known and _is_doubtful(found[2]):
            return None
        unit += ["/"] * found[1].count("/") + [known or found[2].casefold()]
        after = after[found.end() :]
    return " ".join(unit), after


def _is_doubtful(word: str) -> bool:
    """Return whether a word makes a number another one, or may be a product of variables."""
    folded = word.casefold()
    variables = len(word) < 3 or (len(word) == 3 and not set(folded) & set("aeiouy"))
    return variables or not word.isascii() or folded in _NOT_IN_UNITS
