"""The name of a recipe, which is a folder of the run directory."""

import re
from typing import Annotated

from pydantic import AfterValidator

RESERVED = ("cache", "latest")  # what the run directory itself calls so
VERSION = re.compile(r"v\d{4,}")  # what it calls the versions of a recipe

_LONGEST = 100
_NAME = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,{_LONGEST - 2}}}[A-Za-z0-9_-])?")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def _checked(name: str) -> str:
    """Return a name that can be a folder on every system.

    Raises:
        ValueError: It cannot, or it is one that the run directory uses.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"got {name[:_LONGEST]!r}; expected 1 to {_LONGEST} letters of English, digits, '.', "
            "'_' or '-', with a letter or digit first and no '.' last."
        )
    if name.casefold() in RESERVED or VERSION.fullmatch(name.casefold()):
        raise ValueError(f"got '{name}', which the run directory uses itself; choose another name.")
    if _DEVICE.fullmatch(name):
        raise ValueError(f"got '{name}', which is a device on Windows; choose another name.")
    return name


FolderName = Annotated[str, AfterValidator(_checked)]
