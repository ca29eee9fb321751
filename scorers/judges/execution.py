"""Does code pass its tests: untrusted programs, each run once in a sandbox of its own.

The code is taken from an answer, the tests from the row's metadata: Python statements such as
`assert f(1) == 2`, run after the code and in its namespace. The sandbox is bubblewrap: fresh user,
process, network and mount namespaces, no capabilities, an empty environment, nothing of the disk
but the system's libraries and Python's own, read-only, and a small /tmp that is gone afterwards. A
filter of system calls refuses sockets and new processes, since a limit of processes does not hold
for root. Limits of CPU seconds, memory, file size, threads and open files are set inside.

A program passes when the harness, after the last test, writes a random token that this run alone
knows. So leaving early, in any way, and printing success do not pass. What can still be forged: the
code shares the interpreter with its tests. It may return objects that are equal to everything,
replace builtins that the tests use, or search the stack for the token. This judge is for the
honest mistakes of a model, and keeps hostile code from the machine but not from a good mark.

What is not bounded but by the time limits: the number of empty files in /tmp, and the load.
"""

import hashlib
import inspect
import json
import os
import platform
import re
import secrets
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from siftline.contracts.computation import Computation
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import ModelError

_MARKED = re.compile(r"\[{1,2}BEGIN\]{1,2}(.*?)\[{1,2}DONE\]{1,2}", re.DOTALL)  # as MBPP asks for
_FENCED = re.compile(
    r"^[ \t]*```[ \t]*([^\s`]*)[^\n`]*\n(.*?)^[ \t]*```[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_PYTHON = ("python", "python3", "py")

_READY = "the sandbox is ready\n"
_START_SECONDS = 60  # for a sandbox to start, on a machine that has other work
_MOST_BYTES = 4096  # that are read of what a sandbox says; more is noise
_MIB = 1 << 20
_TEMPORARY_BYTES = 64 * _MIB
_LIMITS = {"CORE": 0, "FSIZE": 16 * _MIB, "NPROC": 64, "NOFILE": 64}

# Of linux/audit.h and the tables of system calls: by machine its number in the filter, `clone`,
# and what is refused: fork and vfork where there are any; unshare; socket, since some families know
# no namespaces; and memory that no limit counts (shmget, memfd_create, io_uring_setup).
_MACHINES = {
    "x86_64": (0xC000003E, 56, (57, 58, 272, 41, 29, 319, 425)),
    "aarch64": (0xC00000B7, 220, (97, 198, 194, 279, 425)),
}
_CLONE3 = 435  # hides its flags from a filter; without it the C library takes `clone`
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000  # system calls of another numbering on x86_64
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38


class Execution(Computation):
    """Whether the answer's code passes the row's tests, run in a sandbox (bubblewrap).

    Rows of equal content have one verdict, by the tests of the first.

    Attributes:
        tests: Key of the row's metadata that holds the tests: a list of texts, or one.
        allow_execution: Must be stated as true, since it means that code from the data and from
            the model is run on this machine, if in a sandbox.
        seconds: CPU time of a program with all its tests.
        wall_seconds: Time by the clock, for a program that waits.
        memory_mib: Address space.
    """

    revision: ClassVar[int] = 1

    kind: Literal["execution"] = "execution"
    tests: str = Field(min_length=1)
    allow_execution: bool = False
    seconds: int = Field(default=10, ge=1)
    wall_seconds: int = Field(default=60, ge=1)
    memory_mib: int = Field(default=512, ge=64)

    @model_validator(mode="after")
    def _is_allowed(self) -> "Execution":
        if not self.allow_execution:
            raise ValueError(
                "the judge 'execution' runs code that the data and the model have written, in a "
                "sandbox without network or files, and got no leave to; state "
                "'allow_execution: true', or choose the judge 'numeric' or 'judge'."
            )
        return self


class Program(NamedTuple):
    """Code and the tests that it is to pass.

    Attributes:
        code: Python.
        tests: Statements, run in this order in the code's namespace.
    """

    code: str
    tests: tuple[str, ...]


def code_of(text: str) -> str:
    """Return the code in an answer.

    It is what stands between `[BEGIN]` and `[DONE]`; and of that the last fenced block that says
    Python, or the last that says no language; or else all of it.
    """
    marked = _MARKED.findall(text)
    text = marked[-1] if marked else text
    blocks = [(language.casefold(), code) for language, code in _FENCED.findall(text)]
    for wanted in (_PYTHON, ("",)):
        found = [code for language, code in blocks if language in wanted]
        if found:
            return textwrap.dedent(found[-1])
    return textwrap.dedent(text).strip("\n")


def stated_tests(metadata: str, key: str) -> tuple[str, ...]:
    """Return the tests in a row's metadata; none where the key is missing or holds no texts.

    Args:
        metadata: A JSON object.
        key: Whose value is a text or a list of texts.
    """
    value = json.loads(metadata).get(key)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return ()
    return tuple(text for text in texts if text.strip())


def digest_of_tests(corpus: Corpus, rows: npt.NDArray[np.bool_], key: str) -> str:
    """Return 16 hex digits for the tests of some rows and the Python that runs them.

    A row's hash does not cover its metadata: without this, mended tests would meet old verdicts.

    Args:
        corpus: Its rows count in any order.
        rows: [rows] True for those that count.
        key: Of the metadata.
    """
    lines = [
        f"{row['content_hash']} {json.dumps(stated_tests(row['metadata'], key))}"
        for shard in corpus.filter(rows).iter_shards()
        for row in shard.select(["content_hash", "metadata"]).to_pylist()
    ]
    version = ".".join(map(str, sys.version_info[:2]))
    return hashlib.sha256("\n".join([version, *sorted(lines)]).encode()).hexdigest()[:16]


def passing(judge: Execution, programs: Sequence[Program]) -> list[bool]:
    """Run programs, several at once, and return which of them pass all their tests.

    Args:
        judge: The limits.
        programs: Equal ones are run once.

    Raises:
        ModelError: There is no sandbox: a program is never run without one, and a sandbox that
            does not start is no verdict.
    """
    unique = list(dict.fromkeys(programs))
    if not unique:
        return []
    command, refused = _command(), _filter(platform.machine())
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = pool.map(lambda program: _passes(judge, program, command, refused), unique)
        by_program = dict(zip(unique, found, strict=True))
    return [by_program[program] for program in programs]


def _passes(judge: Execution, program: Program, command: list[str], refused: bytes) -> bool:
    """Run one program.

    Raises:
        ModelError: The sandbox does not start.
    """
    token = secrets.token_hex(16)
    limits = {**_LIMITS, "CPU": judge.seconds, "AS": judge.memory_mib * _MIB}
    given = {"ready": _READY, "token": token, "limits": limits, **program._asdict()}
    told = _converse(command, refused, json.dumps(given).encode(), judge.wall_seconds)
    if not told.startswith(_READY.encode()):
        said = told.decode(errors="replace").strip() or f"nothing in {_START_SECONDS} s"
        raise ModelError(
            f"The judge 'execution' expected a sandbox, and bubblewrap said: {said[-300:]}. Allow "
            "this user to make namespaces (in a container: its security options), or choose the "
            "judge 'numeric' or 'judge'."
        )
    return told == (_READY + token).encode()


def _converse(command: list[str], refused: bytes, given: bytes, seconds: float) -> bytes:
    """Start a sandbox, give it its input, and return the beginning of what it says.

    Whatever happens, all of it is killed when this returns; its end is the kernel's work.
    """
    reading, writing = os.pipe()
    try:
        os.write(writing, refused)  # 200 bytes: a pipe holds them
    finally:
        os.close(writing)
    try:
        with tempfile.TemporaryFile() as file:
            file.write(given)
            file.seek(0)
            process = subprocess.Popen(
                [*command, "--seccomp", str(reading), "--", *_python()],
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
            return _listen(process.stdout, seconds)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # it is not reaped yet, so the id is its own


def _listen(pipe: IO[bytes], seconds: float) -> bytes:
    """Read until the end, the limit of time, or more than anybody needs.

    Time counts from the first word on: how long a sandbox takes to start says nothing of the code.
    """
    told = b""
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    deadline = time.monotonic() + _START_SECONDS
    while len(told) <= _MOST_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            break
        piece = os.read(pipe.fileno(), _MOST_BYTES)
        if not piece:
            break
        deadline = deadline if told else time.monotonic() + seconds
        told += piece
    return told


def _python() -> list[str]:
    """Return the command of the harness, in the Python under this virtual environment.

    `-s -P` with an environment that is ours is all of `-I` but for the seed of hashes, which `-I`
    would leave to chance, and with it the order of sets.
    """
    return [_executable(), "-s", "-P", "-S", "-B", "-c", _HARNESS]


def _executable() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _command() -> list[str]:
    """Return the command that makes the sandbox, without its last arguments.

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
    found = (f"{library}/site-packages", f"{library}/dist-packages", "/usr/lib/python3")
    return [path for path in found if Path(path).is_dir()]


def _filter(machine: str) -> bytes:
    """Return a filter of system calls, in the kernel's own form (linux/filter.h, seccomp.h).

    Raises:
        ModelError: The numbers of this machine's system calls are not known.
    """
    if machine not in _MACHINES:
        raise ModelError(
            f"The judge 'execution' knows no sandbox for the machine '{machine}', but for "
            f"{' and '.join(sorted(_MACHINES))}; choose the judge 'numeric' or 'judge'."
        )
    number, clone, refused = _MACHINES[machine]
    load, equal, atleast, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    steps = [(load, 0, 0, 4), (equal, 1, 0, number), (answer, 0, 0, _KILL), (load, 0, 0, 0)]
    steps += [(atleast, 0, 1, _X32), (answer, 0, 0, _KILL)]
    steps += [(equal, 0, 1, _CLONE3), (answer, 0, 0, _ERROR | _ENOSYS)]
    for call in refused:
        steps += [(equal, 0, 1, call), (answer, 0, 0, _ERROR | _EPERM)]
    steps += [(equal, 0, 3, clone), (load, 0, 0, 16), (any_bit, 1, 0, _CLONE_THREAD)]
    steps += [(answer, 0, 0, _ERROR | _EPERM), (answer, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


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
    token, told = given["token"].encode(), os.dup(1)
    run, read, write, leave = exec, compile, os.write, os._exit  # before the code replaces them
    write(told, given["ready"].encode())
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
    write(told, token)
    leave(0)


_HARNESS = f"{inspect.getsource(_harness)}\n_harness()\n"
