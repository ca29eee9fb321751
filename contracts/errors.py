"""The exceptions that siftline raises for what a user can mend.

SiftlineError
├── RecipeError   the recipe or the call is wrong          exit code 2
├── InputError    the data cannot be read or is too bad    exit code 1
├── ModelError    a model cannot be found, loaded or run   exit code 1
└── RunError      the run directory cannot be used         exit code 1
    └── DamagedError   a file of it is not as it was written
        └── UndigestedError   it does not tell how it was written

Every message says what was found, what was expected and what to do, in one or two sentences.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

from siftline.contracts.printable import printable


class SiftlineError(Exception):
    """Base of every error that a user can mend; its message is safe to print and to store."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class RecipeError(SiftlineError):
    """The recipe, an override or the call is wrong."""


class InputError(SiftlineError):
    """An input is missing, empty, unreadable, or holds too many bad rows."""


class ModelError(SiftlineError):
    """A model cannot be found, loaded or run."""


class RunError(SiftlineError):
    """The run directory is locked, damaged or written by something else."""


class DamagedError(RunError):
    """A file that siftline has written is missing, or not as it was written.

    Attributes:
        path: The file.
        problem: What is wrong with it, such as "it is missing".
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"'{path}' is damaged: {problem}. Remove the folder of its version, or of the cache, "
            "and run again: a version is made again from the scores in the cache."
        )
        self.path, self.problem = path, problem

    def mended(self, how: str) -> str:
        """Return a warning that the file was damaged, with a sentence of what is done about it."""
        return f"'{self.path}' is damaged: {self.problem}. {how}"

    def __reduce__(self) -> tuple[type["DamagedError"], tuple[Path, str]]:
        """Make it again from its arguments, in another process."""
        return type(self), (self.path, self.problem)


class UndigestedError(DamagedError):
    """A record tells no digest of itself, as those of the first versions did not."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return a hint for a misspelt name: the nearest choice, or all of them when few.

    Args:
        name: What was found.
        choices: What would have been accepted.

    Returns:
        A sentence that starts with a space, or an empty string when there is nothing to suggest.
    """
    known = sorted(choices)
    matches = difflib.get_close_matches(name, known, n=1)
    if matches:
        return f" Did you mean '{matches[0]}'?"
    if 0 < len(known) <= 12:
        return " Known: " + ", ".join(f"'{choice}'" for choice in known) + "."
    return ""
