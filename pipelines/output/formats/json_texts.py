"""JSON as `datasets` reads it: the texts of its `Json` features.

`datasets` reads them with the parser of pandas, which is quick and not exact: it takes `0.7` for
0.7000000000000001, and fails at a whole number beyond 64 bits. A model would be trained on other
arguments than those of the data. So a number is written as it is where that parser reads it right,
and otherwise with as many zeros or digits as make both that parser and an exact one read the same
number: `700000e-6`. What no spelling can save (`NaN`, whole numbers beyond 64 bits) is left to the
caller: :func:`json_for_datasets` gives None.
"""

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|NaN|-?Infinity')
_NUMBER = re.compile(r"(?P<sign>-?)(?P<whole>\d+)(?:\.(?P<part>\d+))?(?:[eE](?P<power>[-+]?\d+))?")
# What every number has that may be read as another one; texts may have it too.
_RISKY = re.compile(r"\d[.eE]|\d{19}|NaN|Infinity")
_DECIMALS = 15  # that the parser looks at
_LARGEST, _SMALLEST = 2**64 - 1, -(2**63)
_ZEROS = 20  # that are tried after the digits of a number
_NEAR = 40  # numbers of 18 digits that are tried on each side


def dumped(value: Any) -> str:
    """Return JSON that can be written as UTF-8; half of a surrogate pair stays an escape."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def json_for_datasets(value: Any) -> str | None:
    """Return JSON that `datasets` reads as the same value.

    Args:
        value: What JSON can hold.

    Returns:
        None if it holds a number that `datasets` cannot read, whatever its spelling.
    """
    text = dumped(value)
    if not _RISKY.search(text):
        return text
    tokens = [match for match in _TOKEN.finditer(text) if match[0][0] != '"']
    parts, end = [], 0
    for match in tokens:
        spelled = _spelled(match[0])
        if spelled is None:
            return None
        parts += [text[end : match.start()], spelled]
        end = match.end()
    return "".join(parts) + text[end:]


def _spelled(number: str) -> str | None:
    """Return a spelling of a number that is read as that number; None if there is none."""
    if number[-1] in "Ny":
        return None
    if number.lstrip("-").isdecimal():
        return number if _SMALLEST <= int(number) <= _LARGEST else None
    value = float(number)
    return next((each for each in _spellings(number, value) if _is_right(each, value)), None)


def _is_right(spelling: str, value: float) -> bool:
    return float(spelling) == value and _as_read(spelling) == value


def _as_read(spelling: str) -> float:
    """Return what the parser of pandas makes of a number, step by step as it does."""
    found = _NUMBER.fullmatch(spelling)
    assert found is not None
    part = (found["part"] or "")[:_DECIMALS]
    value = float(int(found["whole"])) + (int(part) * float(f"1e-{len(part)}") if part else 0.0)
    value *= math.pow(10.0, int(found["power"])) if found["power"] else 1.0
    return -value if found["sign"] else value


def _spellings(number: str, value: float) -> Iterator[str]:
    """Yield ways to write a number, the plainest first; not all of them are exact."""
    yield number
    sign = "-" if value < 0 else ""
    _, digits, power = Decimal(repr(abs(value))).as_tuple()
    whole = int("".join(map(str, digits)))
    assert isinstance(power, int)
    for zeros in range(_ZEROS):
        if whole * 10**zeros <= _LARGEST // 2:
            yield f"{sign}{whole * 10**zeros}e{power - zeros}"
    if value:
        exact = Decimal(abs(value))
        power = exact.adjusted() - 17
        near = int(exact.scaleb(-power))
        for step in range(_NEAR):
            yield f"{sign}{near + step}e{power}"
            yield f"{sign}{near - step}e{power}"
