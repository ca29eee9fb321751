"""The keeper of a server: it starts the server, and ends it with the run, however that ends.

It runs as a script of its own, with the standard library alone: `keeper.py PARENT WORD...`. Its
standard input is a pipe that the run holds open. When that closes, or when the run's process is no
longer its parent, be it that it was killed, the server and all that it has started are told to end
(SIGTERM), and are killed if they do not. The server belongs to a session of its own, so that
Ctrl-C in the terminal reaches the run alone, which then says what is kept.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

GRACE_SECONDS = 10.0  # vLLM ends its workers in a few
_LOOK_SECONDS = 0.2
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # of linux/prctl.h


def keep(parent: int, command: list[str]) -> int:
    """Run a command until it ends or the run does.

    Args:
        parent: Process of the run.
        command: The server's, word by word.

    Returns:
        The command's exit code, as a shell gives it.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what the server leaves behind becomes a child of this
    try:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_keeper,  # this process has one thread
        )
    except OSError as error:
        sys.stdout.write(f"{command[0]}: {error.strerror}\n")
        return 127
    try:
        while server.poll() is None and _is_wanted(parent):
            pass
    finally:
        _stop(server)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _is_wanted(parent: int) -> bool:
    """Return whether the run is there, after a short look at its pipe."""
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], _LOOK_SECONDS)
    return os.getppid() == parent and not (ready and os.read(sys.stdin.fileno(), 1) == b"")


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server's processes, all of them, first kindly."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a second one would leave some of them behind
    _signal(server, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal(server, signal.SIGKILL)
    server.wait()
    while left := list(_descendants(os.getpid())):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        time.sleep(0.02)


def _signal(server: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Send a signal to the server's group, whose leader may have ended before its members."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, number)


def _descendants(process: int) -> Iterator[int]:
    """Yield the processes below one, on Linux; none elsewhere, where the group must do."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError):
                # The name of the program stands in brackets, and may hold any character.
                state = _read(f"/proc/{name}/stat").rpartition(")")[2].split()
                children.setdefault(int(state[1]), []).append(int(name))
    waiting = list(children.get(process, ()))
    while waiting:
        found = waiting.pop()
        yield found
        waiting += children.get(found, ())


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _die_with_keeper() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    """Call prctl, where there is one."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2:]))
