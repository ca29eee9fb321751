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
_LINE_BYTES = 1 << 16  # what is longer is cut into several, or one without an end would fill memory
_LOOK_SECONDS = 0.25
# Colours and movements of the cursor, which a log has and a message must not.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")
_ERROR = re.compile(r"\b\w*(?:Error|Exception)\b: ")
_PORT_TAKEN = re.compile(
    r"address already in use|EADDRINUSE|Errno 98\b|(?:couldn't|could not|failed to) bind",
    re.IGNORECASE,
)
_NO_ROOM = re.compile(
    r"out of memory|OutOfMemory|No available memory for the cache|less than desired GPU memory"
    r"|larger than the (?:available|maximum number of tokens)|can't allocate memory",
    re.IGNORECASE,
)


class ServingProcess:
    """A server under its keeper.

    Attributes:
        port: Where it listens.
        status: Of its last answer about its health; 0 as long as there is none.
    """

    def __init__(
        self, command: Sequence[str], port: int, environment: dict[str, str], key: str
    ) -> None:
        """Start it.

        Args:
            command: Its words.
            port: Where they tell it to listen.
            environment: Variables beside those of the run.
            key: That it may demand; nothing that is told of its log has it.

        Raises:
            ModelError: This machine starts no process.
        """
        self.port, self._command, self._key = port, shlex.join(command), key
        self.status = 0
        self._log: collections.deque[str] = collections.deque(maxlen=_LINES_KEPT)
        script = [sys.executable, "-I", "-S", str(Path(keeper.__file__).resolve())]
        try:
            self._keeper = subprocess.Popen(
                [*script, str(os.getpid()), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **QUIET, **environment},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # the latter is of a word with a null character
            raise ModelError(
                f"`{excerpt(self._command, 200)}` cannot be started: {error}. Expected a command "
                "that runs on this machine."
            ) from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Keep the end of the log; a carriage return takes the place of what it overwrites."""
        assert self._keeper.stdout is not None
        with self._keeper.stdout as log:
            for line in iter(lambda: log.readline(_LINE_BYTES), b""):
                text = _ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip()
                if text := text.rpartition("\r")[2].rstrip():
                    self._log.append(text.replace(self._key, "***"))

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

    def log_end(self) -> str:
        """Return the end of its log, in lines of their own, with errors that stand before it."""
        lines = self._whole_log()
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
        """Return whether it answers 200 at a path; what it says beside that may have no end."""
        self.status, _ = self._get(path, 0)
        return self.status == 200

    def names(self) -> list[str]:
        """Return the models that it says it has."""
        _, body = self._get("/v1/models", 1 << 20)
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return [str(each["id"]) for each in json.loads(body)["data"]]
        return []

    def _get(self, path: str, most: int) -> tuple[int, bytes]:
        """Ask directly: a proxy that the environment names is none for this machine."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self._key}"})
            answer = connection.getresponse()
            return answer.status, answer.read(most)
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
    on_look: Callable[[float, str], None],
) -> bool:
    """Wait until a process is ready.

    Args:
        process: The process.
        path: That answers 200 when it is.
        seconds: After which waiting ends.
        title: What messages call it.
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
                f"load the model. {process.remedy()} {process.log_end()}"
            )
        if process.is_ready(path) and process.exit_code is None:
            return True
        waited = time.monotonic() - started
        if waited > seconds:
            raise ModelError(
                f"{title} was not ready after {seconds:,.0f} s: got {_answered(process.status)}; "
                f"expected 200 at '{path}'. Raise 'ready_timeout' if it takes longer, or name "
                f"another path as 'health'. {process.log_end()}"
            )
        on_look(waited, process.last_line)
        time.sleep(_LOOK_SECONDS)


def _answered(status: int) -> str:
    return str(status) if status else "no answer"
