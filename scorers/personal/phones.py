"""Telephone numbers: `+49 30 901820`, `(415) 867-5309`, and not the numbers of a calculation.

`phonenumbers`, which has the plan of every country, says whether a number can be dialled. That
alone would call many a number of a sum one: a national form also needs its separators, or a word
before it that speaks of telephones.
"""

from collections.abc import Iterator

import re2

from siftline.scorers.personal.finds import Find, Options, Taken, words_before

_INTERNATIONAL = re2.compile(r"(?:\+|\b00)[1-9](?:[ ().\x{a0}/-]{0,3}[0-9]){6,14}")
_NATIONAL = re2.compile(r"\(?[0-9](?:[ ().\x{a0}/-]{0,2}[0-9]){6,13}")
_NORTH_AMERICAN = re2.compile(
    r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([ .-]))[2-9][0-9]{2}[ .-][0-9]{4}"
)
_TRUNK = re2.compile(r"\(?0[0-9]{1,5}\)?[ /-]{1,3}[0-9]{2,8}(?:[ -][0-9]{2,8}){0,4}")
_NORTH_AMERICA = frozenset(("US", "CA"))
_TELEPHONES = re2.compile(
    r"phone|\btel\b|\btel[.:]|tele[fp]|mobile?\b|mobil|\bcell\b|\bfax|whatsapp|\bsms\b|\bcall\b|"
    r"call (?:me|us|him|her|them)|text (?:me|us)|dial|handy|móvil|celular|contact|hotline|rufnummer"
)
# 555-0100 to 0199 in every area of North America, and what Ofcom keeps for films.
_FICTIONAL = re2.compile(
    r"^1[0-9]{3}55501[0-9]{2}$|^1555[0-9]{7}$|^447700900[0-9]{3}$|^44(?:113|114|115|116|117|118|121|131|141|"
    r"151|161)4960[0-9]{3}$|^442079460[0-9]{3}$|^441632960[0-9]{3}$"
)

# Hotlines are nobody's.
_OF_SERVICES = frozenset(("TOLL_FREE", "PREMIUM_RATE", "SHARED_COST", "UAN", "VOICEMAIL"))
_IN_ORDER = "012345678901234567890"


def phones(text: str, key: str, options: Options) -> Iterator[Find]:
    """Yield the telephone numbers of a text, international forms first.

    Args:
        text: The text.
        key: Of the JSON value that it is.
        options: What counts, and whose national forms.
    """
    taken = Taken()
    for match in _INTERNATIONAL.finditer(text):
        start, end = match.span()
        if _is_alone(text, start, end) and _dialled(match.group(), None, options):
            taken.take(Find(start, end))
            yield Find(start, end)
    for match in _NATIONAL.finditer(text):
        start, end = match.span()
        written = match.group()
        if written.startswith("(") and ")" not in written:  # that of a sentence
            start, written = start + 1, written[1:]
        if not _is_alone(text, start, end):
            continue
        is_one = _of_a_region(written, text, start, key, options)
        if is_one and taken.take(Find(start, end)):
            yield Find(start, end)


def _of_a_region(written: str, text: str, start: int, key: str, options: Options) -> bool:
    """Return whether a number has the form of one of the regions, or is spoken of as one."""
    spoken_of = bool(_TELEPHONES.search(words_before(text, start, key)))
    for region in options.regions:
        form = _NORTH_AMERICAN if region in _NORTH_AMERICA else _TRUNK
        if not form.fullmatch(written) and not (spoken_of and _begins(written, region)):
            continue
        if _dialled(written, region, options):
            return True
    return False


def _begins(written: str, region: str) -> bool:
    """Return whether a number begins with the 0 that its region dials first, if it does."""
    import phonenumbers

    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    return plan is None or plan.national_prefix != "0" or written.lstrip("(").startswith("0")


def _dialled(written: str, region: str | None, options: Options) -> bool:
    import phonenumbers

    plus = f"+{written[2:]}" if region is None and written.startswith("00") else written
    try:
        number = phonenumbers.parse(plus, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number(number):
        return False
    kind = phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(number))
    if kind in _OF_SERVICES:
        return False
    digits = f"{number.country_code}{number.national_number}"
    if "".join(c for c in written if c.isdigit()) in _IN_ORDER:
        return options.placeholders
    return options.placeholders or not _FICTIONAL.search(digits)


def _is_alone(text: str, start: int, end: int) -> bool:
    """Return whether no number, word, sum or decimal goes on where one seems to end."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before[-1:].isalnum() or before[-1:] in ("_", "$", "€", "£", "\\", "^", "=", "*"):
        return not before
    if before[-1:] in (".", ",", "-", "/", "+") and (before[:1].isdigit() or before[-1:] != "."):
        return False
    if after[:1].isalnum() or after[:1] in ("_", "%", "^", "*", "="):
        return not after
    return not (after[:1] in (".", ",", "-", "/", "+") and after[1:2].isdigit())
