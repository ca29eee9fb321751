"""Numbers of accounts and cards, each with its checksum, and not any long number of a sum."""

from collections.abc import Iterator

import re2

from siftline.scorers.personal import placeholders
from siftline.scorers.personal.finds import Find, Options, words_before

_IBAN = re2.compile(r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?")
_SHORTEST, _LONGEST = 15, 34  # of an IBAN, of any country
_CARD = re2.compile(
    r"[0-9]{4}(?:[ -][0-9]{4}){3}(?:[ -][0-9]{1,3})?|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}|"
    r"[0-9]{13,19}"
)
# Without groups, one long number in ten has the checksum: then something must speak of a card.
_CARDS = re2.compile(
    r"card|visa|credit|debit|\bcc\b|\bpan\b|amex|american express|diners|discover|\bjcb\b|payment|"
    r"karte|carte|tarjeta|checkout|billing"
)
_DISTINCT = 4  # a number of fewer digits is made up


def ibans(text: str, key: str, options: Options) -> Iterator[Find]:
    """Yield the IBANs of a text: of a country's length and form, with the remainder 1 by 97.

    Args:
        text: The text.
        key: Of the JSON value that it is; not read.
        options: What counts.
    """
    for match in _IBAN.finditer(text):
        start, written = match.start(), match.group()
        if start and text[start - 1].isalnum():
            continue
        for end in _ends(written):
            number = "".join(c for c in written[:end] if c.isalnum())
            if _is_iban(number):
                if options.placeholders or number not in placeholders.IBANS:
                    yield Find(start, start + end)
                break


def _ends(written: str) -> Iterator[int]:
    """Yield where a number may end, the longest first: words in capitals may follow it."""
    for end in range(len(written), _SHORTEST - 1, -1):
        length = sum(c.isalnum() for c in written[:end])
        inside = end < len(written) and written[end].isalnum() and written[end - 1].isalnum()
        if _SHORTEST <= length <= _LONGEST and written[end - 1].isalnum() and not inside:
            yield end


def cards(text: str, key: str, options: Options) -> Iterator[Find]:
    """Yield the numbers of payment cards: of a network's prefix and length, and right by Luhn.

    Args:
        text: The text.
        key: Of the JSON value that it is.
        options: What counts.
    """
    for match in _CARD.finditer(text):
        start, end = match.span()
        if _in_a_number(text, start, end):
            continue
        written = match.group()
        number = written.replace(" ", "").replace("-", "")
        if not _of_a_network(number) or not _is_right_by_luhn(number):
            continue
        if number == written and not _CARDS.search(words_before(text, start, key, 80)):
            continue
        made_up = len(set(number)) < _DISTINCT or number in placeholders.CARDS
        if options.placeholders or not made_up:
            yield Find(start, end)


def _is_iban(number: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(number))


def _is_right_by_luhn(number: str) -> bool:
    from stdnum import luhn

    return bool(luhn.is_valid(number))


def _in_a_number(text: str, start: int, end: int) -> bool:
    """Return whether digits, a point or a letter go on where a number seems to end."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before[-1:].isalnum() or after[:1].isalnum() or before[-1:] in ("_", "$", ".", ","):
        return True
    joined = " -.,"
    if before[-1:] in joined and before[:1].isdigit() and before[-1:]:
        return True
    return after[:1] in joined and after[1:2].isdigit() and bool(after[:1])


def _of_a_network(number: str) -> bool:
    size = len(number)
    two, three, four = int(number[:2]), int(number[:3]), int(number[:4])
    return (
        (number[0] == "4" and size in (13, 16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and size == 16)
        or (two in (34, 37) and size == 15)
        or ((four == 6011 or 644 <= three <= 649 or two == 65 or two == 62) and 16 <= size <= 19)
        or (3528 <= four <= 3589 and 16 <= size <= 19)
        or ((300 <= three <= 305 or two in (36, 38, 39)) and size == 14)
    )
