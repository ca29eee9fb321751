"""Licences as the Hub's dataset cards name them."""

import re
from collections.abc import Iterable

OTHER, UNKNOWN = "other", "unknown"

_VERSIONS = {
    "afl": "3.0",
    "agpl": "3.0",
    "apache": "2.0",
    "artistic": "2.0",
    "bigscience-bloom-rail": "1.0",
    "bsl": "1.0",
    "cc-by": "2.0 2.5 3.0 4.0",
    "cc-by-nc": "2.0 3.0 4.0",
    "cc-by-nc-nd": "3.0 4.0",
    "cc-by-nc-sa": "2.0 3.0 4.0",
    "cc-by-nd": "4.0",
    "cc-by-sa": "3.0 4.0",
    "cc0": "1.0",
    "cdla-permissive": "1.0 2.0",
    "cdla-sharing": "1.0",
    "ecl": "2.0",
    "epl": "1.0 2.0",
    "etalab": "2.0",
    "eupl": "1.1 1.2",
    "gpl": "2.0 3.0",
    "lgpl": "2.1 3.0",
    "lppl": "1.3c",
    "mpl": "2.0",
    "ofl": "1.1",
    "osl": "3.0",
}
_PLAIN = (
    "apple-ascl bigcode-openrail-m bigscience-openrail-m bsd bsd-2-clause bsd-3-clause "
    "bsd-3-clause-clear c-uda cc creativeml-openrail-m gemma gfdl gpl h-research intel-research "
    "isc lgpl lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 mit ms-pl ncsa odbl odc-by "
    "openrail openrail++ other pddl postgresql unknown unlicense wtfpl zlib"
)
IDENTIFIERS = frozenset(_PLAIN.split()) | {
    f"{name}-{version}" for name, versions in _VERSIONS.items() for version in versions.split()
}


def identifier(licence: str) -> str | None:
    """Return the Hub's name of a licence, such as `cc-by-4.0` for `CC BY 4.0`; None if it has none.

    Args:
        licence: As the recipe states it.
    """
    name = re.sub(r"[\s_]+", "-", licence.strip().lower())
    return name if name in IDENTIFIERS else None


def card_licence(licences: Iterable[str | None]) -> dict[str, str]:
    """Return the fields of a card that tell the licence of a dataset.

    Where the sources have several, or one that the Hub has no name for, it is `other`, and
    `license_name` lists them.

    Args:
        licences: Of each source; None where it is not stated.
    """
    stated = list(licences)
    known = {each for each in stated if each is not None}
    if not known:
        return {"license": UNKNOWN}
    names = {identifier(each) or each for each in known}
    if len(names) == 1 and None not in stated:
        (name,) = names
        if name in IDENTIFIERS - {OTHER}:
            return {"license": name}
    listed = [*sorted(names), *(["not stated"] if None in stated else [])]
    return {"license": OTHER, "license_name": ", ".join(listed)}
