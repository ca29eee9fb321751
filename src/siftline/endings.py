"""How a command ends: messages and exit codes of mistakes, failures and interruptions."""

import errno
import signal
from collections.abc import Callable
from types import FrameType

from rich.console import Console

from siftline.contracts.errors import RecipeError, RunError, SiftlineError
from siftline.terminal import shown

_INTERRUPTED = 130
_UNUSABLE = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE")
    if hasattr(errno, name)
)


def guarded(command: Callable[[], None], err: Console) -> int:
    """Run a command, and turn a user's mistake into one message and an exit code.

    Args:
        command: What is run.
        err: Where messages go.

    Returns:
        0 done, 1 the run failed, 2 the recipe or the call is wrong, 130 it was interrupted
        (Ctrl-C), 143 it was told to end (SIGTERM).
    """
    interruption = _Interruption()
    try:
        command()
    except SiftlineError as error:
        return _told(error, err)
    except OSError as error:
        if error.errno not in _UNUSABLE:
            raise
        return _told(_unusable(error), err)
    except (KeyboardInterrupt, SystemExit) as end:  # the latter is how typer passes on the former
        if isinstance(end, SystemExit) and end.code != _INTERRUPTED:
            raise
        err.print("Interrupted.")
        return interruption.exit_code
    return 0


class _Interruption:
    """Lets SIGTERM end a command as Ctrl-C does, and knows which of them it was."""

    def __init__(self) -> None:
        self.exit_code = _INTERRUPTED
        signal.signal(signal.SIGTERM, self._terminate)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = 128 + number
        raise KeyboardInterrupt


def _told(error: SiftlineError, err: Console) -> int:
    """Print an error, and return its exit code."""
    err.print(f"[bold red]error:[/] {shown(error)}", soft_wrap=True, highlight=False)
    return 2 if isinstance(error, RecipeError) else 1


def _unusable(error: OSError) -> RunError:
    """Return the error of a file or a folder that the system does not let one use."""
    place = f"'{error.filename}'" if error.filename else "A file"
    return RunError(
        f"{place} cannot be used: {error.strerror or error}. Expected room and the right to write "
        "there; make some, or name other folders with --runs, SIFTLINE_CACHE and PREFECT_HOME."
    )
