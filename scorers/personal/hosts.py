"""IP addresses: `84.12.7.201`, and not the version `1.2.3.4` or the private `192.168.0.1`."""

import ipaddress
from collections.abc import Iterator

import re2

from siftline.scorers.personal import placeholders
from siftline.scorers.personal.finds import Find, Options, words_before

_V4 = re2.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")
_V6 = re2.compile(r"[23][0-9a-fA-F]{3}(?::[0-9a-fA-F]{0,4}){2,7}")
_DOCUMENTATION = [
    ipaddress.ip_network(each)
    for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
_VERSIONS = re2.compile(
    r"(?:version|\bver|\bv|release|build|firmware|driver|section|chapter|clause|figure|table|"
    r"step|theorem|lemma|article|\boid|[a-z]/)[\s.:=#(>~^-]*$"
)
_HOSTS = re2.compile(
    r"\bips?\b|ip[_ -]?addr|address|host|server|\bping|\bssh|\bdns|client|\bfrom\b|\bhttps?:|"
    r"://|remote|subnet|gateway|login|\bnode"
)
_SMALL = 32  # versions and numbers of sections seldom have larger parts, addresses mostly do


def ips(text: str, key: str, options: Options) -> Iterator[Find]:
    """Yield the IP addresses of a text that a machine of somebody may have.

    Args:
        text: The text.
        key: Of the JSON value that it is.
        options: What counts.
    """
    for pattern in (_V4, _V6):
        for match in pattern.finditer(text):
            start, end = match.span()
            if not _is_alone(text, start, end, ":" in match.group()):
                continue
            if _counts(match.group(), words_before(text, start, key), options):
                yield Find(start, end)


def _is_alone(text: str, start: int, end: int, colons: bool) -> bool:
    """Return whether no number, name or longer address goes on where one seems to end."""
    before, after = text[:start][-1:], text[end : end + 2]
    if before.isalnum() or (before and before in "._-") or (colons and before == ":"):
        return False
    goes_on = after[:1] == "." or (colons and after[:1] == ":")
    if goes_on and after[1:].isalnum():
        return False
    return not (after[:1].isalnum() or after[:1] == "_")


def _counts(written: str, before: str, options: Options) -> bool:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    if (
        any(address in network for network in _DOCUMENTATION)
        or written.lower() in placeholders.HOSTS
    ):
        return options.placeholders
    if address.is_unspecified or address.is_loopback or address.is_multicast:
        return False
    if not address.is_global and not (options.local_ips and address.is_private):
        return False
    if address.version == 6:
        return True
    if _VERSIONS.search(before):
        return False
    return max(address.packed) >= _SMALL or bool(_HOSTS.search(before))
