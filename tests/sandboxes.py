"""Programs for the tests that need a sandbox, which are skipped where there can be none."""

import os
import shutil
import subprocess
from functools import cache

import pytest

from siftline.scorers.judges.execution import Execution, Program, passing

QUICK = Execution(tests="tests", allow_execution=True, seconds=1, wall_seconds=20, memory_mib=128)
SHIFT = "def shift(n):\n    return n + 1\n"
WRONG = "def shift(n):\n    return n + 2\n"
RIGHT = ("assert shift(1) == 2", "assert shift(-1) == 0")


# fork, vfork, unshare, socket, shmget, memfd_create, io_uring_setup, and clone
REFUSED = {
    "x86_64": ((57, 58, 272, 41, 29, 319, 425), 56),
    "aarch64": ((97, 198, 194, 279, 425), 220),
}


@cache
def why_no_sandbox() -> str:
    """Return what stands in the way of a sandbox on this machine, '' if nothing does."""
    if os.uname().machine not in REFUSED:
        return f"no filter of system calls is known for '{os.uname().machine}'"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    probe = ["bwrap", "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else ""


needs_sandbox = pytest.mark.skipif(
    bool(why_no_sandbox()), reason=why_no_sandbox() or "there is a sandbox"
)


def passes(code: str, *tests: str, judge: Execution = QUICK) -> bool:
    (found,) = passing(judge, [Program(code, tests or RIGHT)])
    return found


def tells(code: str, judge: Execution = QUICK) -> bool:
    """Return whether a body of statements, which assert what they see, runs to its end."""
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    return passes(f"def look():\n{body}    return 'seen'\n", "assert look() == 'seen'", judge=judge)
