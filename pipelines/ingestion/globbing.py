"""Which paths a glob names, where links may lead in circles.

As in a shell, `*`, `?` and `[...]` stand for no `/`, `**` for any number of folders, and none of
them for a hidden name. Of all names of a file or a folder, through links, only the shortest counts,
so that every real folder is looked into once.
"""

import fnmatch
import os
import re
from collections.abc import Iterable
from pathlib import Path

from siftline.contracts.errors import InputError

_MAGIC = re.compile(r"[*?\[]")


def matches(pattern: str, base: Path, without: Path | None = None) -> list[Path]:
    """Return the paths that a glob names, each file or folder once.

    Args:
        pattern: Relative to `base`, or absolute.
        base: A folder.
        without: A folder that is found only where the pattern spells its name: what is written
            meanwhile.

    Raises:
        InputError: A folder that has to be looked into cannot be.
    """
    hidden = os.path.realpath(without) if without else None
    found = [base]
    for part in Path(pattern).parts:
        if not _MAGIC.search(part):
            found = [path / part for path in found if os.path.lexists(path / part)]
        elif part == "**":
            found = _folders_below(found, hidden)
        else:
            found = [
                path
                for folder in found
                for path in _listed(folder, hidden)
                if fnmatch.fnmatch(path.name, part) and _is_shown(path.name, part)
            ]
        found = each_once(found)
    return found


def each_once(paths: Iterable[Path]) -> list[Path]:
    """Return paths in order, of those that lead to one file or folder the shortest."""
    once: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        once.setdefault(os.path.realpath(path), path)
    return sorted(once.values())


def _folders_below(folders: list[Path], hidden: str | None) -> list[Path]:
    """Return folders with all that are below them, the upper ones first."""
    found: dict[str, Path] = {}
    level = [folder for folder in folders if folder.is_dir()]
    while level:
        found |= {os.path.realpath(folder): folder for folder in level}
        below = [path for folder in level for path in _listed(folder, hidden) if path.is_dir()]
        level = [
            path
            for path in each_once(below)
            if _is_shown(path.name, "**") and os.path.realpath(path) not in found
        ]
    return list(found.values())


def _listed(folder: Path, hidden: str | None) -> list[Path]:
    """Return what lies in a folder; nothing if it is a file."""
    try:
        paths = [folder / name for name in os.listdir(folder)] if folder.is_dir() else []
    except OSError as error:
        raise InputError(
            f"The folder '{folder}' cannot be read: {error.strerror}. Expected to look for inputs "
            "there; make it readable, or write a narrower glob."
        ) from error
    return [path for path in paths if hidden is None or os.path.realpath(path) != hidden]


def _is_shown(name: str, part: str) -> bool:
    return part.startswith(".") or not name.startswith(".")
