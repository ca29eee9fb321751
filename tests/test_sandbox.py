"""Tests of the sandbox: where there is none, what cannot be faked, and what cannot get out."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sandboxes import QUICK, REFUSED, RIGHT, SHIFT, WRONG, needs_sandbox, passes, tells

from siftline.contracts.errors import ModelError
from siftline.scorers.judges import sandbox
from siftline.scorers.judges.execution import Execution, Program, passing

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
    monkeypatch.setattr(sandbox, "START_SECONDS", 1)
    with pytest.raises(ModelError, match="bubblewrap said: nothing in 1 s"):
        passes(SHIFT)


# What runs


@needs_sandbox
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


@needs_sandbox
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
        os.write(descriptor, {sandbox.READY!r}.encode())
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


@needs_sandbox
@pytest.mark.parametrize("name", FAKES)
def test_success_is_not_faked(name: str) -> None:
    assert not passes(FAKES[name])


# What cannot get out


@needs_sandbox
def test_limits_end_what_does_not_end() -> None:
    def end(judge: Execution, *codes: str) -> bool:
        return not any(passing(judge, [Program(code, RIGHT) for code in codes]))

    loop = "while True:\n        pass"
    assert end(QUICK, f"if True:\n    {loop}", f"def shift(n):\n    {loop}")  # of CPU time
    waits = QUICK.model_copy(update={"wall_seconds": 1})
    assert end(waits, "import time\ntime.sleep(1000)", "import signal\nsignal.pause()")


@needs_sandbox
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


@needs_sandbox
def test_memory_ends() -> None:
    hog = "hoard = []\nwhile True:\n    hoard.append(bytearray(1 << 20))"
    assert not passes(hog)
    # It is the limit that ends it: what passes within 128 MiB does not within 64.
    counted = "hoard = bytearray(80 << 20)"
    small = QUICK.model_copy(update={"memory_mib": 64})
    assert tells(counted)
    assert not tells(counted, judge=small)


@needs_sandbox
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


@needs_sandbox
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


@needs_sandbox
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


@needs_sandbox
def test_only_the_temporary_folder_is_written_and_it_is_new() -> None:
    mine = f"/tmp/siftline-{os.urandom(8).hex()}"
    for _ in range(2):
        assert tells(f"""
import os
assert os.listdir("/tmp") == [] and os.getcwd() == "/tmp"
with open("{mine}", "w") as file:
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
    assert not Path(mine).exists()


@needs_sandbox
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


@needs_sandbox
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


@needs_sandbox
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
    limits = {**sandbox.FIXED_LIMITS, "CPU": 5, "AS": 1 << 28}
    program = {"ready": "r", "token": "t", "limits": limits, "code": flood, "tests": ()}
    output = sandbox.run_harness(sandbox.find_sandbox(), json.dumps(program).encode(), 20)
    assert output.startswith(b"rx")
    assert len(output) <= 2 * sandbox.MOST_BYTES


@needs_sandbox
def test_nothing_is_left_running() -> None:
    mark = f"siftline-{os.getpid()}-{os.urandom(8).hex()}"
    command, refused = sandbox.find_sandbox()
    marked = sandbox.Sandbox([*command, "--setenv", "MARK", mark], refused)
    limits = {**sandbox.FIXED_LIMITS, "CPU": 60, "AS": 1 << 28}
    code = "import signal\nwhile True:\n    signal.pause()"
    program = {"ready": "r", "token": "t", "limits": limits, "code": code, "tests": ()}
    assert sandbox.run_harness(marked, json.dumps(program).encode(), 1) == b"r"
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


@needs_sandbox
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
