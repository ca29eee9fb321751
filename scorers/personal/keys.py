"""Keys and tokens of known shapes, passwords in addresses, and what is called a secret.

A shape is not enough: what looks drawn at random is told from words and from blanks to be filled
in by its entropy, Shannon's, of its characters. Hashes are no secrets, unless they are called so.
"""

import base64
import json
import math
from collections import Counter
from collections.abc import Iterator

import re2

from siftline.scorers.personal.finds import Find, Options

# What begins with the mark of its maker: the first group is the secret, or else the whole.
_SHAPES = tuple(
    re2.compile(each)
    for each in (
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{40,}\b",
        r"\bglpat-[A-Za-z0-9_-]{20,}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"hooks\.slack\.com/services/(T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,30})",
        r"\bsk-[A-Za-z0-9_-]{20,}",
        r"\b[rs]k_live_[A-Za-z0-9]{16,}\b",
        r"\bAIza[0-9A-Za-z_-]{35}",
        r"\bhf_[A-Za-z0-9]{30,50}\b",
        r"\bnpm_[A-Za-z0-9]{36}\b",
        r"\bpypi-AgEI[A-Za-z0-9_-]{40,}",
        r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,60}",
        r"(?i)\bbearer +([A-Za-z0-9._~+/-]{20,}=*)",
        r"(?i)\baws_?secret_?(?:access_?)?key[\"'\\]*\s*[:=]\s*[\"'\\]*([A-Za-z0-9/+]{40})\b",
    )
)
_JWT = re2.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}")
_PEM = re2.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"([A-Za-z0-9+/=\s\\:,.()-]{60,}?)-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
)
_IN_ADDRESS = re2.compile(r"://[^\s:/@\"'<>]{1,64}:([^\s:/@\"'<>]{4,128})@")
_CALLED = (
    r"api[_ -]?key|access[_ -]?key|secret(?:[_ -]?key)?|auth[_ -]?token|access[_ -]?token|token|"
    r"passw(?:or)?d|client[_ -]?secret|private[_ -]?key"
)
_ASSIGNED = re2.compile(
    rf"(?i)\b(?:[a-z0-9]+[_-]){{0,4}}(?:{_CALLED})[\"'\\]*\s{{0,3}}(?:=>|[:=])\s{{0,3}}[\"'\\]*"
    r"([A-Za-z0-9_\-./+=!@#$%^&*~]{12,})"
)
_KEY_IS_SECRET = re2.compile(rf"(?i)^(?:[a-z0-9]+[_-]){{0,4}}(?:{_CALLED})$")
_BLANKS = re2.compile(
    r"(?i)your|example|xxxx|\*\*\*|\.\.\.|placeholder|dummy|fake|sample|insert|redacted|replace|"
    r"change|secret|password|process\.env|environ|getenv|1234567|abcdef|<|\{|\$|test[_-]|todo"
)
_BITS = 3.0  # a character of words has fewer over twenty characters, one of a random key more
_SHORTEST = 12  # a password of fewer characters is not told from a word
_SHORT_BITS = 3.4  # where no maker's mark speaks for it
_DOCUMENTED_JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwI"  # of RFC readers


def secrets(text: str, key: str, options: Options) -> Iterator[Find]:
    """Yield keys, tokens and passwords of a text.

    Args:
        text: The text.
        key: Of the JSON value that it is.
        options: What counts.
    """
    yield from _of_a_shape(text, options)
    yield from _signed_or_sealed(text, options)
    for match in _IN_ADDRESS.finditer(text):
        if options.placeholders or not _is_blank(match.group(1)):
            yield Find(*match.span(1))
    yield from _called_secret(text, key, options)


def _of_a_shape(text: str, options: Options) -> Iterator[Find]:
    """Yield what begins with its maker's mark."""
    for pattern in _SHAPES:
        for match in pattern.finditer(text):
            whole = not match.re.groups or match.group(1) is None
            start, end = match.span(0 if whole else 1)
            # All have digits but some of AWS's; names of packages begin alike, and have none.
            drawn = text[start:end].isupper() or any(c.isdigit() for c in text[start:end])
            if drawn and _counts(text[start:end], _BITS, options):
                yield Find(start, end)


def _signed_or_sealed(text: str, options: Options) -> Iterator[Find]:
    """Yield tokens of JSON, and private keys."""
    for match in _JWT.finditer(text):
        documented = match.group().startswith(_DOCUMENTED_JWT)
        if _has_header(match.group()) and (options.placeholders or not documented):
            yield Find(*match.span())
    for match in _PEM.finditer(text):
        if options.placeholders or entropy(match.group(1)) >= _BITS:
            yield Find(*match.span())


def _called_secret(text: str, key: str, options: Options) -> Iterator[Find]:
    """Yield what a name before it, or the key of its value, calls a secret."""
    for match in _ASSIGNED.finditer(text):
        start, end = match.span(1)
        # What is called or looked up is code, and no value.
        called = text[end : end + 1] in ("(", "[", "{")
        if (
            not called
            and _is_mixed(match.group(1))
            and _counts(match.group(1), _SHORT_BITS, options)
        ):
            yield Find(start, end)
    is_value = key and len(text) >= _SHORTEST and " " not in text and _KEY_IS_SECRET.search(key)
    if is_value and _is_mixed(text) and _counts(text, _SHORT_BITS, options):
        yield Find(0, len(text))


def entropy(text: str) -> float:
    """Return the bits of a character of a text, by how often each occurs in it."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts) if text else 0.0


def _counts(value: str, bits: float, options: Options) -> bool:
    return options.placeholders or (entropy(value) >= bits and not _is_blank(value))


def _is_blank(value: str) -> bool:
    """Return whether a value is to be filled in."""
    return bool(_BLANKS.search(value)) or value.lower() in ("pass", "pwd", "user", "pw", "passwd")


def _is_mixed(value: str) -> bool:
    """Return whether letters and digits are mixed, as words, names and paths have them seldom."""
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _has_header(token: str) -> bool:
    header = token.partition(".")[0]
    try:
        told = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except ValueError:
        return False
    return isinstance(told, dict) and "alg" in told
