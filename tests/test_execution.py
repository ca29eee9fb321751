"""Tests of code execution: what is run, what passes, what cannot be faked, what cannot get out."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.errors import ModelError
from siftline.scorers.judges import execution
from siftline.scorers.judges.execution import (
    Execution,
    Program,
    code_of,
    digest_of_tests,
    passing,
    stated_tests,
)

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


@pytest.fixture
def sandbox() -> None:
    """Skip a test where there can be no sandbox."""
    if why_no_sandbox():
        pytest.skip(why_no_sandbox())


def passes(code: str, *tests: str, judge: Execution = QUICK) -> bool:
    (found,) = passing(judge, [Program(code, tests or RIGHT)])
    return found


def tells(code: str, judge: Execution = QUICK) -> bool:
    """Return whether a body of statements, which assert what they see, runs to its end."""
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    return passes(f"def look():\n{body}    return 'seen'\n", "assert look() == 'seen'", judge=judge)


# What is taken from an answer and from a row

BLOCKS = """Install it:
```bash
pip install nothing
```
First try:
```python
a = 1
```
Better:
  ```Python
  a = 2
  if a:
      a = 3
  ```
It prints
```
3
```
"""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SHIFT, SHIFT.strip("\n")),
        (f"Here:\n```python\n{SHIFT}```\nDone.", SHIFT),
        (f"Here:\r\n```py\r\n{SHIFT}```\r\n", SHIFT),
        ("```\na = 1\n```\nor\n```\na = 2\n```", "a = 2\n"),
        (BLOCKS, "a = 2\nif a:\n    a = 3\n"),  # the last that says Python
        ("[BEGIN]\na = 1\n[DONE]\n```\n1\n```", "a = 1"),
        ("[[BEGIN]]\n```python\na = 1\n```\n[[DONE]]", "a = 1\n"),
        ("[BEGIN] a = 1 [DONE] again [BEGIN]\na = 2\n[DONE]", "a = 2"),
        ("```sql\nselect 1\n```", "```sql\nselect 1\n```"),  # which compiles as little as prose
        ("```python\na = 1", "```python\na = 1"),
        ("", ""),
        ("```python\n```", ""),
    ],
)
def test_the_code_of_an_answer(text: str, code: str) -> None:
    assert code_of(text) == code


@given(st.text(alphabet="ab \n[]BEGINDO#='", max_size=60), st.text(alphabet="ab \n", max_size=9))
def test_what_is_fenced_is_found_whatever_is_around(code: str, around: str) -> None:
    assume("DONE" not in code)
    text = f"{around}\n```python\n{code}\n```\n{around}"
    assert code_of(text) == textwrap.dedent(f"{code}\n")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["assert a", "assert b"], ("assert a", "assert b")),
        ("assert a", ("assert a",)),
        (["assert a", "  "], ("assert a",)),
        ([], ()),
        (" ", ()),
        (None, ()),
        ({"inputs": [1]}, ()),
        (["assert a", 1], ()),
    ],
)
def test_the_tests_of_a_row(value: Any, found: tuple[str, ...]) -> None:
    assert stated_tests(json.dumps({"tests": value}), "tests") == found
    assert stated_tests(json.dumps({"tests": value}), "other") == ()


def test_execution_must_be_allowed_in_words() -> None:
    for stated in ({}, {"allow_execution": False}):
        with pytest.raises(
            ValidationError, match=r"got no leave to; state 'allow_execution: true'"
        ):
            Execution.model_validate({"tests": "tests", **stated})
    assert Execution(tests="tests", allow_execution=True).role is None


def corpus_on_disk(folder: Path, rows: list[tuple[str, list[str]]]) -> Corpus:
    """Write rows of a hash and its tests, in one shard."""
    names = [name for name in EXAMPLES.names if name not in ("content_hash", "metadata")]
    values: dict[str, Any] = dict.fromkeys(names)
    records = [
        {**values, "id": str(n), "content_hash": key, "metadata": json.dumps({"tests": tests})}
        for n, (key, tests) in enumerate(rows)
    ]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(records, schema=EXAMPLES), folder / "00000.parquet")
    return Corpus.open(folder)


def test_a_digest_changes_with_the_tests_and_not_with_the_order(tmp_path: Path) -> None:
    rows = [("a", ["assert f(1)"]), ("b", ["assert f(2)"]), ("c", [])]
    mended = [("a", ["assert f(1)"]), ("b", ["assert f(3)"]), ("c", [])]

    def digest(name: str, rows: list[tuple[str, list[str]]], chosen: str, key: str) -> str:
        corpus = corpus_on_disk(tmp_path / name, rows)
        mask = pc.is_in(corpus.rows["content_hash"], pa.array(list(chosen)))
        return digest_of_tests(corpus, mask.to_numpy(), key)

    first = digest("1", rows, "abc", "tests")
    assert digest("2", rows[::-1], "abc", "tests") == first
    assert digest("3", mended, "abc", "tests") != first
    assert digest("4", rows, "abc", "other") != first
    assert digest("5", rows, "ac", "tests") == digest("6", mended, "ac", "tests") != first


# Where there is no sandbox


def test_without_bubblewrap_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ModelError, match=r"needs the program 'bwrap'.* Install bubblewrap, or"):
        passes(SHIFT)
    assert passing(QUICK, []) == []


def test_a_sandbox_that_does_not_start_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"No permissions to create new namespace\. Allow this"):
        passes(SHIFT)
    fake.write_text("#!/bin/sh\nexec /bin/sleep 100\n")
    monkeypatch.setattr(execution, "_START_SECONDS", 1)
    with pytest.raises(ModelError, match="bubblewrap said: nothing in 1 s"):
        passes(SHIFT)


def test_a_machine_without_a_filter_is_refused() -> None:
    with pytest.raises(ModelError, match=r"for the machine 'vax', but for aarch64 and x86_64;"):
        execution._filter("vax")


# What passes


@pytest.mark.usefixtures("sandbox")
def test_programs_are_told_apart() -> None:
    programs = [
        Program(SHIFT, RIGHT),
        Program(WRONG, RIGHT),
        Program(SHIFT, RIGHT[:1]),
        Program(WRONG, ("assert shift(1) == 3",)),
        Program(SHIFT, RIGHT),
        Program("", RIGHT),
        Program("Sure! Add one to n.", RIGHT),
        Program("def shift(n):\n    return 2 if n == 1 else 7", RIGHT),  # the second test fails
        Program(SHIFT, (*RIGHT, "assert shift(1) ==")),
        Program(f"{SHIFT}\0", RIGHT),
    ]
    expected = [True, False, True, True, True, False, False, False, False, False]
    assert passing(QUICK, programs) == expected


@pytest.mark.usefixtures("sandbox")
def test_usual_code_runs_as_anywhere_else() -> None:
    code = """from __future__ import annotations
import asyncio, dataclasses, threading, typing

@dataclasses.dataclass
class Point:
    x: int
    y: typing.ClassVar[int] = 3

async def later():
    await asyncio.sleep(0)
    return 5

def shift(n):
    print("shifting", n)
    found = []
    thread = threading.Thread(target=found.append, args=(Point(n).x,))
    thread.start()
    thread.join()
    return found[0] + 1

if __name__ == "__main__":
    input("a number, please: ")
"""
    hint = "assert asyncio.run(later()) == 5", "import math\nassert math.isclose(shift(1), 2)"
    assert passes(code, *RIGHT, *hint)


@pytest.mark.usefixtures("sandbox")
def test_hashes_are_always_the_same() -> None:
    command = [sys.executable, "-c", "print(hash('order'))"]
    told = subprocess.run(command, env={"PYTHONHASHSEED": "0"}, capture_output=True, check=True)
    assert passes("", f"assert hash('order') == {int(told.stdout)}")


# What cannot be faked

FAKES = {
    "exit": "import sys\nsys.exit(0)",
    "hard exit": "import os\nos._exit(0)",
    "exit in a test": "import os\ndef shift(n):\n    os._exit(0)",
    "raised exit": "def shift(n):\n    raise SystemExit(0)",
    "success in print": "print('ok\\nPASSED\\n1.0')\nimport os\nos._exit(0)",
    "the beginning again": f"""
import os
for descriptor in range(256):
    try:
        os.write(descriptor, {execution._READY!r}.encode())
    except OSError:
        pass
os._exit(0)
""",
    "any token": """
import os
for descriptor in range(256):
    try:
        os.write(descriptor, b"0" * 32)
    except OSError:
        pass
os._exit(0)
""",
    "no assertions": f"import builtins\nbuiltins.AssertionError = None\n{WRONG}",
    "other built-ins": "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: None",
    "other writing": f"import os\nos.write = os._exit = print\n{WRONG}",
    "at the end": f"import atexit, os\natexit.register(os._exit, 0)\n{WRONG}",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "closed": f"{SHIFT}\nimport os\nos.closerange(0, 256)",
}


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("name", FAKES)
def test_success_is_not_faked(name: str) -> None:
    assert not passes(FAKES[name])


# What cannot get out


@pytest.mark.usefixtures("sandbox")
def test_limits_end_what_does_not_end() -> None:
    def end(judge: Execution, *codes: str) -> bool:
        return not any(passing(judge, [Program(code, RIGHT) for code in codes]))

    loop = "while True:\n        pass"
    assert end(QUICK, f"if True:\n    {loop}", f"def shift(n):\n    {loop}")  # of CPU time
    waits = QUICK.model_copy(update={"wall_seconds": 1})
    assert end(waits, "import time\ntime.sleep(1000)", "import signal\nsignal.pause()")


@pytest.mark.usefixtures("sandbox")
def test_limits_cannot_be_raised() -> None:
    assert tells("""
import resource
limits = {"CPU": 1, "AS": 128 << 20, "FSIZE": 16 << 20, "NPROC": 64, "NOFILE": 64, "CORE": 0}
for name, limit in limits.items():
    kind = getattr(resource, f"RLIMIT_{name}")
    soft, hard = resource.getrlimit(kind)
    assert soft == hard <= limit, name
    try:
        resource.setrlimit(kind, (limit + 1, limit + 1))
    except ValueError:
        continue
    raise AssertionError(name)
""")


@pytest.mark.usefixtures("sandbox")
def test_memory_ends() -> None:
    hog = "hoard = []\nwhile True:\n    hoard.append(bytearray(1 << 20))"
    assert not passes(hog)
    # It is the limit that ends it: what passes within 128 MiB does not within 64.
    counted = "hoard = bytearray(80 << 20)"
    small = QUICK.model_copy(update={"memory_mib": 64})
    assert tells(counted)
    assert not tells(counted, judge=small)


@pytest.mark.usefixtures("sandbox")
def test_no_process_is_made() -> None:
    assert not passes("import os\nwhile True:\n    os.fork()")
    assert tells("""
import os, subprocess
for attempt in (os.fork, lambda: subprocess.run([os.devnull]),
                lambda: os.posix_spawn("/dev/null", ["x"], {})):
    try:
        attempt()
    except PermissionError:
        continue
    raise AssertionError(attempt)
""")


@pytest.mark.usefixtures("sandbox")
def test_system_calls_are_refused_that_no_limit_holds() -> None:
    others, clone = REFUSED[os.uname().machine]
    assert tells(f"""
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def refused(*call):
    return libc.syscall(*call) == -1 and ctypes.get_errno() in (1, 38)
assert refused({clone}, 17, 0, 0, 0, 0)  # with SIGCHLD, as fork does
assert refused(435, 0, 0)  # clone3
for number in {others}:
    assert refused(number, 0, 0, 0), number
assert libc.unshare(0x10000000) == -1 and ctypes.get_errno() == 1  # a namespace of users
assert libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == -1 and ctypes.get_errno() == 1
assert libc.shmget(0, 4096, 0o1600) == -1 and ctypes.get_errno() == 1
try:
    os.memfd_create("hoard")
except PermissionError:
    pass
else:
    raise AssertionError
""")


@pytest.mark.usefixtures("sandbox")
def test_there_is_no_network() -> None:
    assert tells("""
import errno, fcntl, socket, struct
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_VSOCK, socket.AF_NETLINK):
    try:
        socket.socket(family, socket.SOCK_DGRAM)
    except PermissionError:
        continue
    raise AssertionError(family)
one, other = socket.socketpair()  # which asyncio needs
one.send(b"x")
assert other.recv(1) == b"x"

def interface(number):
    request = struct.pack("16si20x", b"", number)
    return fcntl.ioctl(one, 0x8910, request).partition(bytes(1))[0]  # its name

assert interface(1) == b"lo"
for number in range(2, 100):
    try:
        raise AssertionError(interface(number))
    except OSError as error:
        assert error.errno == errno.ENODEV
""")


@pytest.mark.usefixtures("sandbox")
def test_only_the_temporary_folder_is_written_and_it_is_new() -> None:
    for _ in range(2):
        assert tells(f"""
import os
assert os.listdir("/tmp") == [] and os.getcwd() == "/tmp"
with open("/tmp/mine", "w") as file:
    file.write("mine")
for place in ("/", "/usr", "/usr/lib", "/dev", "/etc", os.path.dirname(os.__file__)):
    try:
        open(os.path.join(place, "mine"), "w")
    except OSError as error:
        assert error.errno == 30, error  # a read-only file system
        continue
    raise AssertionError(place)
for place in ({str(Path(__file__))!r}, {str(Path.cwd())!r}, "/home", "/proc", "/etc/passwd",
              os.path.join(os.path.dirname(os.__file__), "site-packages", "pip")):
    assert not os.path.exists(place), place
""")
    assert not Path("/tmp/mine").exists()


@pytest.mark.usefixtures("sandbox")
def test_a_file_is_small_and_so_is_the_folder() -> None:
    assert tells("""
import errno, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
piece, seen = bytes(1 << 20), set()
for name in range(8):
    with open(f"/tmp/{name}", "wb", buffering=0) as file:
        try:
            for _ in range(32):
                if file.write(piece) < len(piece):
                    seen.add("short")
                    break
        except OSError as error:
            seen.add(error.errno)
assert errno.EFBIG in seen and seen <= {errno.EFBIG, errno.ENOSPC, "short"}, seen
assert errno.ENOSPC in seen or "short" in seen, seen
""")


@pytest.mark.usefixtures("sandbox")
def test_nothing_of_us_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIFTLINE_SECRET", "hunter2")
    with open(__file__, encoding="utf-8") as opened:
        os.set_inheritable(opened.fileno(), True)
        assert tells("""
import os, socket
assert set(os.environ) <= {"PYTHONHASHSEED", "PWD", "LC_CTYPE"}, os.environ
assert os.getuid() == os.getgid() == 65534 and os.getppid() <= 1
assert os.uname().nodename == "sandbox"
try:
    os.kill(os.getppid(), 9)
except PermissionError:
    pass
import stat
regular = []
for descriptor in range(256):
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            regular.append(descriptor)
    except OSError:
        pass
assert regular == []
""")


@pytest.mark.usefixtures("sandbox")
def test_no_flood_of_output_is_kept() -> None:
    assert passes("import sys\nfor _ in range(200):\n    print('x' * 10**6)\n" + SHIFT)
    # Even to the one pipe that is read, whose number the code must search for.
    flood = """
import os, stat
for descriptor in range(256):
    try:
        pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        continue
    while pipe:
        os.write(descriptor, b"x" * 4096)
"""
    refused = execution._filter(os.uname().machine)
    limits = {**execution._LIMITS, "CPU": 5, "AS": 1 << 28}
    given = {"ready": "r", "token": "t", "limits": limits, "code": flood, "tests": ()}
    told = execution._converse(execution._command(), refused, json.dumps(given).encode(), 20)
    assert told.startswith(b"rx")
    assert len(told) <= 2 * execution._MOST_BYTES


@pytest.mark.usefixtures("sandbox")
def test_nothing_is_left_running() -> None:
    mark = f"siftline-{os.getpid()}-{os.urandom(8).hex()}"
    command = [*execution._command(), "--setenv", "MARK", mark]
    refused = execution._filter(os.uname().machine)
    limits = {**execution._LIMITS, "CPU": 60, "AS": 1 << 28}
    code = "import signal\nwhile True:\n    signal.pause()"
    given = {"ready": "r", "token": "t", "limits": limits, "code": code, "tests": ()}
    assert execution._converse(command, refused, json.dumps(given).encode(), 1) == b"r"
    # The kernel takes the namespace of processes down by itself, a little later.
    for _ in range(100):
        left = [path for path in Path("/proc").glob("[0-9]*") if _mentions(path, mark)]
        if not left:
            break
        time.sleep(0.05)
    assert left == []


def _mentions(process: Path, mark: str) -> bool:
    try:
        said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:
        return False
    return mark.encode() in said


@pytest.mark.usefixtures("sandbox")
def test_installed_packages_are_hidden() -> None:
    assert tells("""
import sys
assert not [path for path in sys.path if not path or path.endswith("-packages")]
for name in ("numpy", "pip", "siftline"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise AssertionError(name)
""")
