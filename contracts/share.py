"""A share in a recipe: `5%`, `0.05` or `1/20`, the one grammar for all of them.

A share is kept as it was written and computed as a fraction, so that 29 % of 100 rows are 29.
"""

import re
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, Field

EXPECTED = "a share from 0 to 1, such as '5%', 0.05 or '1/20'"

_GRAMMAR = re.compile(r"\d+(?:\.\d+)? ?%|\d+/\d+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def fraction_of(value: object) -> Fraction:
    """Return a share exactly.

    Args:
        value: A number from 0 to 1, or a text such as `5%`, `0.05` or `1/20`.

    Raises:
        ValueError: It is none of these.
    """
    text = str(value).strip()
    try:
        if isinstance(value, bool) or not _GRAMMAR.fullmatch(text):
            raise ValueError(text)
        share = Fraction(text[:-1]) / 100 if text.endswith("%") else Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"got {value!r}; expected {EXPECTED}.") from error
    if share > 1:
        raise ValueError(f"got {value!r}; expected {EXPECTED}.")
    return share


def _as_number(value: object) -> float:
    return float(fraction_of(value))


def _as_text(value: object) -> str:
    fraction_of(value)
    return str(value).strip()


Share = Annotated[float, BeforeValidator(_as_number), Field(ge=0, le=1)]
"""A share as a floating-point number."""

ExactShare = Annotated[str, BeforeValidator(_as_text)]
"""A share as it was written; :func:`fraction_of` computes it."""
