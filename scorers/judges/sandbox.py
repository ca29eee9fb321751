"""A sandbox for untrusted Python: each program runs once, in a sandbox of its own.

The sandbox is bubblewrap: fresh user, process, network and mount namespaces, no capabilities, an
empty environment, nothing of the disk but the system's libraries and Python's own, read-only, and a
small /tmp that is gone afterwards. A filter refuses system calls
(:mod:`siftline.scorers.judges.system_calls`). Limits of CPU seconds, memory, file size, threads and
open files are set inside, by the harness.

The harness runs the code and then its tests. It writes a line when it starts, and after the last
test a random token that this run alone knows: so leaving early, in any way, and printing success
are not taken for reaching the end.

What is not bounded but by the time limits: the number of empty files in /tmp, and the load.
"""

import inspect
import json
import os
import platform
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from siftline.contracts.errors import ModelError
from siftline.scorers.judges.system_calls import system_call_filter

READY = "the sandbox is ready\n"
START_SECONDS = 60  # for a sandbox to start, on a machine that has other work
MOST_BYTES = 4096  # that are read of a sandbox's output; more is noise
MIB = 1 << 20
_TEMPORARY_BYTES = 64 * MIB
FIXED_LIMITS = {"CORE": 0, "FSIZE": 16 * MIB, "NPROC": 64, "NOFILE": 64}  # names of RLIMIT_*


class Limits(NamedTuple):
    """What a program may use.

    Attributes:
        cpu_seconds: CPU time of the code with all its tests.
        wall_seconds: Time by the clock, from the harness's first line on.
        memory_mib: Address space.
    """

    cpu_seconds: int
    wall_seconds: float
    memory_mib: int


class Sandbox(NamedTuple):
    """How sandboxes are made on this machine.

    Attributes:
        command: Makes one, without its last arguments.
        refused: The filter of system calls.
    """

    command: list[str]
    refused: bytes


def find_sandbox() -> Sandbox:
    """Return how sandboxes are made on this machine; none is made yet.

    Raises:
        ModelError: There is no bubblewrap, or no filter of system calls for this machine.
    """
    return Sandbox(sandbox_command(), system_call_filter(platform.machine()))


def reaches_end(sandbox: Sandbox, code: str, tests: Sequence[str], limits: Limits) -> bool:
    """Run code and its tests in a sandbox, and return whether the last test was passed.

    Raises:
        ModelError: The sandbox does not start.
    """
    token = secrets.token_hex(16)
    resources = {**FIXED_LIMITS, "CPU": limits.cpu_seconds, "AS": limits.memory_mib * MIB}
    program = {"ready": READY, "token": token, "limits": resources, "code": code, "tests": tests}
    output = run_harness(sandbox, json.dumps(program).encode(), limits.wall_seconds)
    if not output.startswith(READY.encode()):
        said = output.decode(errors="replace").strip() or f"nothing in {START_SECONDS} s"
        raise ModelError(
            f"The judge 'execution' expected a sandbox, and bubblewrap said: {said[-300:]}. Allow "
            "this user to make namespaces (in a container: its security options), or choose the "
            "judge 'numeric' or 'judge'."
        )
    return output == (READY + token).encode()


def run_harness(sandbox: Sandbox, program: bytes, seconds: float) -> bytes:
    """Start the harness in a sandbox, give it a program, and return the beginning of its output.

    Whatever happens, all of the sandbox is killed when this returns; its end is the kernel's work.

    Args:
        sandbox: How one is made.
        program: The harness's input, as JSON: `ready`, `token`, `limits`, `code`, `tests`.
        seconds: By the clock, from the first output on.
    """
    reading, writing = os.pipe()
    try:
        os.write(writing, sandbox.refused)  # 200 bytes: a pipe holds them
    finally:
        os.close(writing)
    try:
        with tempfile.TemporaryFile() as file:
            file.write(program)
            file.seek(0)
            process = subprocess.Popen(
                [*sandbox.command, "--seccomp", str(reading), "--", *_python()],
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                env={},
                pass_fds=(reading,),
                start_new_session=True,
            )
    finally:
        os.close(reading)
    with process:
        try:
            assert process.stdout is not None
            return _read(process.stdout, seconds)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # it is not reaped yet, so the id is its own


def _read(pipe: IO[bytes], seconds: float) -> bytes:
    """Read until the end, the limit of time, or more than anybody needs.

    Time counts from the first output on: a sandbox that is slow to start is not the code's fault.
    """
    output = b""
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    deadline = time.monotonic() + START_SECONDS
    while len(output) <= MOST_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            break
        piece = os.read(pipe.fileno(), MOST_BYTES)
        if not piece:
            break
        deadline = deadline if output else time.monotonic() + seconds
        output += piece
    return output


def sandbox_command() -> list[str]:
    """Return the command that makes a sandbox, without its last arguments.

    Raises:
        ModelError: There is no bubblewrap.
    """
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise ModelError(
            "The judge 'execution' needs the program 'bwrap' to run code in a sandbox, and there "
            "is none on the path. Install bubblewrap, or choose the judge 'numeric' or 'judge'."
        )
    # --unshare-all alone would go on without a namespace of users where there can be none.
    command = [bubblewrap, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    command += ["--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    command += ["--clearenv", "--setenv", "PYTHONHASHSEED", "0"]
    for path in _readable():
        command += ["--ro-bind", path, path]
    for path in _installed():
        command += ["--tmpfs", path, "--remount-ro", path]
    command += ["--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/urandom"]
    command += ["/dev/urandom", "--size", str(_TEMPORARY_BYTES), "--tmpfs", "/tmp"]
    return [*command, "--chdir", "/tmp", "--remount-ro", "/"]


def _readable() -> list[str]:
    """Return what Python needs of the disk: itself, its library, and the system's libraries."""
    base = sys.base_prefix
    folders = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", f"{base}/lib", f"{base}/lib64")
    files = ("/etc/ld.so.cache", _executable())
    return [path for path in dict.fromkeys((*folders, *files)) if Path(path).exists()]


def _installed() -> list[str]:
    """Return the folders of installed packages, which are hidden: they are no part of Python."""
    library = f"{sys.base_prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    folders = (f"{library}/site-packages", f"{library}/dist-packages", "/usr/lib/python3")
    return [path for path in folders if Path(path).is_dir()]


def _python() -> list[str]:
    """Return the command of the harness, in the Python under this virtual environment.

    `-s -P` with an environment that is ours is all of `-I` but for the seed of hashes, which `-I`
    would leave to chance, and with it the order of sets.
    """
    return [_executable(), "-s", "-P", "-S", "-B", "-c", _HARNESS]


def _executable() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _harness() -> None:
    """Run one program; this function's source alone is what Python runs in the sandbox."""
    import json
    import os
    import resource
    import sys
    import types

    given = json.load(sys.stdin)
    for name, limit in given["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        most = resource.getrlimit(kind)[1]
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (limit, limit))
    token, output = given["token"].encode(), os.dup(1)
    run, read, write, leave = exec, compile, os.write, os._exit  # before the code replaces them
    write(output, given["ready"].encode())
    nowhere = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    try:
        tests = [read(test, "test", "exec") for test in given["tests"]]
        answer = types.ModuleType("answer")  # not __main__: what a script would do is no part
        sys.modules["answer"] = answer
        run(read(given["code"], "answer", "exec"), answer.__dict__)
        for test in tests:
            run(test, answer.__dict__)
    except BaseException:
        leave(1)
    write(output, token)
    leave(0)


_HARNESS = f"{inspect.getsource(_harness)}\n_harness()\n"
