"""The terminal: what others wrote is shown there, and never obeyed."""

import sys

from rich.console import Console
from rich.markup import escape

from siftline.contracts.printable import printable

out = Console(emoji=False)
err = Console(stderr=True, emoji=False)


def shown(value: object) -> str:
    """Return what the console shows as this very text.

    Names, reasons and paths hold what their authors wrote: escape sequences, marks that turn the
    direction of writing, or what rich would take for markup.
    """
    # With something after it, rich does not double a backslash at the end.
    return escape(f"{printable(str(value))} ")[:-1]


def take_any_text() -> None:
    """Print the escape of a character that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
