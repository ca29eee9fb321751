"""The command line, called in this process."""

from siftline.cli import app
from siftline.endings import guarded
from siftline.terminal import err


def exit_code(*arguments: str) -> int:
    """Run a command, and return its exit code."""
    return guarded(lambda: app(list(arguments), standalone_mode=False), err)
