"""One process that serves a model: started, waited for, and ended."""

import collections
import contextlib
import http.client
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from siftline.contracts.errors import ModelError
from siftline.contracts.printable import excerpt
from siftline.models.remote import keeper
from siftline.models.remote.engines import HOST, QUIET

_LINES_KEPT, _LINES_TOLD, _ERRORS_TOLD = 400, 12, 3
_LOOK_SECONDS = 0.25
# Colours and movements of the cursor, which a log has and a message must not.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")
_ERROR = re.compile(r"\b\w*(?:Error|Exception)\b: ")
_PORT_TAKEN = re.compile(r"address already in use|EADDRINUSE|Errno 98\b", re.IGNORECASE)
_NO_ROOM = re.compile(
    r"out of memory|OutOfMemory|No available memory for the cache|less than desired GPU memory"
    r"|larger than the (?:available|maximum number of tokens)|can't allocate memory",
    re.IGNORECASE,
)


class ServingProcess:
    """A server under its keeper.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, command: Sequence[str], port: int, environment: dict[str, str]) -> None:
        self.port, self._command = port, shlex.join(command)
        self._log: collections.deque[str] = collections.deque(maxlen=_LINES_KEPT)
        script = [sys.executable, "-I", "-S", str(Path(keeper.__file__).resolve())]
        self._keeper = subprocess.Popen(
            [*script, str(os.getpid()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **QUIET, **environment},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Keep the end of the log; a carriage return takes the place of what it overwrites."""
        assert self._keeper.stdout is not None
        with self._keeper.stdout as log:
            for line in log:
                text = _ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip()
                if text := text.rpartition("\r")[2].rstrip():
                    self._log.append(text)

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None as long as it runs."""
        return self._keeper.poll()

    @property
    def last_line(self) -> str:
        """The last line of its log, cut short."""
        return excerpt(self._log[-1], 80) if self._log else ""

    @property
    def found_port_taken(self) -> bool:
        """Whether it has ended because another process listens where it was to."""
        return self.exit_code is not None and any(map(_PORT_TAKEN.search, self._whole_log()))

    def log_end(self, secret: str) -> str:
        """Return the end of its log, in lines of their own, with errors that stand before it.

        Args:
            secret: What is not to be shown.
        """
        lines = [line.replace(secret, "***") for line in self._whole_log()]
        told = lines[-_LINES_TOLD:]
        before = [line for line in lines[:-_LINES_TOLD] if _ERROR.search(line)][:_ERRORS_TOLD]
        shown = [*before, *(["..."] if before else []), *told]
        if not shown:
            return "Its log is empty."
        return "Its log ends:\n" + "\n".join(f"  {excerpt(line, 240)}" for line in shown)

    def remedy(self) -> str:
        """Return what may be done about its end."""
        if any(map(_NO_ROOM.search, self._whole_log())):
            return (
                "It did not fit: let it have other GPUs ('gpus'), split it over several "
                "('--tensor-parallel-size'), or state a shorter window or a smaller share of the "
                "memory in 'arguments'."
            )
        return f"See that it runs by hand: `{self._command}`."

    def _whole_log(self) -> list[str]:
        if self.exit_code is not None:
            self._reader.join(timeout=2)
        return list(self._log)

    def is_ready(self, path: str) -> bool:
        """Return whether it answers 200 at a path."""
        return self._get(path, "")[0] == 200

    def names(self, key: str) -> list[str]:
        """Return the models that it says it has."""
        _, body = self._get("/v1/models", key)
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return [str(each["id"]) for each in json.loads(body)["data"]]
        return []

    def _get(self, path: str, key: str) -> tuple[int, bytes]:
        """Ask directly: a proxy that the environment names is none for this machine."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            return answer.status, answer.read(1 << 20)
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def ask_to_end(self) -> None:
        """Let the keeper end it; this returns at once."""
        if self._keeper.stdin is not None:
            with contextlib.suppress(OSError):
                self._keeper.stdin.close()

    def wait_for_end(self) -> None:
        """Wait until all of it has ended."""
        try:
            self._keeper.wait(keeper.GRACE_SECONDS + 20)
        except subprocess.TimeoutExpired:
            self._keeper.kill()  # the server dies with it
            self._keeper.wait()
        self._reader.join(timeout=1)


def free_port() -> int:
    """Return a port of this machine on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(
    process: ServingProcess,
    path: str,
    seconds: float,
    title: str,
    secret: str,
    on_look: Callable[[float, str], None],
) -> bool:
    """Wait until a process is ready.

    Args:
        process: The process.
        path: That answers 200 when it is.
        seconds: After which waiting ends.
        title: What messages call it.
        secret: What messages must not hold.
        on_look: Called now and then, with the seconds so far and the last line of the log. What
            it raises ends the waiting.

    Returns:
        False where another process listens at its port; it has ended then.

    Raises:
        ModelError: It ends, or is not ready in time.
    """
    started = time.monotonic()
    while True:
        if process.exit_code is not None:
            if process.found_port_taken:
                return False
            raise ModelError(
                f"{title} ended with code {process.exit_code} before it was ready; expected it to "
                f"load the model. {process.remedy()} {process.log_end(secret)}"
            )
        if process.is_ready(path) and process.exit_code is None:
            return True
        waited = time.monotonic() - started
        if waited > seconds:
            raise ModelError(
                f"{title} was not ready after {seconds:,.0f} s; expected an answer at '{path}'. "
                f"Raise 'ready_timeout' if it takes longer. {process.log_end(secret)}"
            )
        on_look(waited, process.last_line)
        time.sleep(_LOOK_SECONDS)
