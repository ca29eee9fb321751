"""The processes that serve one model: started together, waited for, and ended."""

import os
import secrets
import threading
import time
from pathlib import Path
from typing import NamedTuple

from siftline.contracts import progress
from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.holding import let_go_of_devices
from siftline.models.remote.engines import (
    HOST,
    asked_name,
    command_of,
    engine_name,
    found_program,
    key_variable,
)
from siftline.models.remote.processes import ServingProcess, free_port, wait_until_ready
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.digests import ModelFolder, digest_of, unchanged
from siftline.models.store.files import find_model
from siftline.models.store.gguf_files import gguf_of

_PORTS_TRIED = 3
_NOTICED_SECONDS = 3.0


class Addresses(NamedTuple):
    """Where a served model is asked.

    Attributes:
        urls: Base of each of its processes.
        key: That it demands, a new one each time it is started.
        name: Under which it is asked.
    """

    urls: tuple[str, ...]
    key: str
    name: str


class ServedModel:
    """The processes that serve one model.

    Attributes:
        digest: Of the files that are served.
    """

    def __init__(self, spec: ModelSpec, digest: str) -> None:
        assert spec.serve is not None
        self._spec, self._serve, self.digest = spec, spec.serve, digest
        self._title = f"The server of '{spec.name}' ({engine_name(spec.serve)})"
        self._lock = threading.Lock()
        self._processes: list[ServingProcess] = []
        self._addresses: Addresses | None = None
        self._failure: ModelError | None = None
        self._key = secrets.token_urlsafe(32)
        self._ended = False

    def addresses(self) -> Addresses:
        """Return where the model is asked, after its processes have been started if need be.

        Raises:
            ModelError: They cannot be started, or do not become ready; whoever has waited for that
                is told the same.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._addresses is None:
                try:
                    self._addresses = self._started()
                except ModelError as error:
                    self._failure = error
                    raise
            return self._addresses

    def why_ended(self) -> str | None:
        """Return a sentence about a process that has ended by itself; None if all are there.

        A connection is lost a moment before the end of a process is noticed, so this waits a
        little for it.
        """
        deadline = time.monotonic() + _NOTICED_SECONDS
        while not any(process.exit_code is not None for process in self._processes):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
        for process in self._processes:
            if process.exit_code is not None and not self._ended:
                return (
                    f"{self._title} ended with code {process.exit_code} while it was asked; "
                    "expected it to live as long as the run. What was answered is kept: run "
                    f"again, and it goes on from there. {process.remedy()} {process.log_end()}"
                )
        return None

    def end(self) -> None:
        """End the processes, and what waits for them to become ready."""
        self._ended = True
        for process in self._processes:
            process.ask_to_end()
        for process in self._processes:
            process.wait_for_end()

    def _started(self) -> Addresses:
        let_go_of_devices()  # the memory is wanted, and what is asked for again is loaded again
        found, code = find_model(self._spec), self._spec.trust_remote_code
        with unchanged(found, code):  # the engine reads what was digested, and answers are kept so
            if digest_of(found, code) != self.digest:
                raise ModelError(
                    f"The files of '{self._spec.name}' changed before they were served; expected "
                    "files that stay as they are. Run again when they are whole."
                )
            return self._served(served_files(self._spec, found))

    def _served(self, model: Path) -> Addresses:
        """Start the processes on some files, and wait until all are ready."""
        try:
            for gpus in self._serve.gpus or ("",):
                self._start_one(model, gpus)
            for number in range(len(self._processes)):
                self._await(number, model)
            if self._ended:  # while the last one became ready
                raise ModelError(self._ended_early())
        except BaseException:
            self.end()
            raise
        progress.note("")
        urls = tuple(f"http://{HOST}:{process.port}/v1" for process in self._processes)
        return Addresses(urls, self._key, asked_name(self._spec, model))

    def _start_one(self, model: Path, gpus: str, number: int | None = None) -> None:
        """Start a process, or the one of a number again at another port."""
        port = free_port()
        command = command_of(self._spec, model, port)
        command[0] = found_program(command[0], self._serve.engine)
        variable = key_variable(self._serve)
        environment = {variable: self._key} if variable else {}
        process = ServingProcess(command, port, environment | _visible(gpus), self._key)
        if number is None:
            self._processes.append(process)
        else:
            self._processes[number].ask_to_end()  # it has ended
            self._processes[number] = process

    def _await(self, number: int, model: Path) -> None:
        """Wait for a process, and start it again where its port was taken meanwhile."""
        total = len(self._processes)
        which = f" {number + 1} of {total}" if total > 1 else ""

        def told(seconds: float, line: str) -> None:
            if self._ended:
                raise ModelError(self._ended_early())
            note = f"{engine_name(self._serve)}{which}: {self._spec.name}, {seconds:,.0f} s"
            progress.note(f"{note}: {line}" if line else note)
            progress.advance(0)  # a plain line now and then

        for _ in range(_PORTS_TRIED):
            process = self._processes[number]
            path, seconds = self._serve.health, self._serve.ready_timeout
            if wait_until_ready(process, path, seconds, self._title, told):
                return self._require_own(process)
            gpus = self._serve.gpus[number] if self._serve.gpus else ""
            self._start_one(model, gpus, number)
        raise ModelError(
            f"{self._title} found its port taken {_PORTS_TRIED} times, by other programs that "
            f"start beside it; expected a free one. Run again. {self._processes[number].log_end()}"
        )

    def _ended_early(self) -> str:
        return f"{self._title} was ended with the run before it was asked; run again."

    def _require_own(self, process: ServingProcess) -> None:
        """Check that what answers is what was started, as far as it can be told."""
        if self._serve.engine in ("vllm", "sglang") and (
            self._spec.name not in (names := process.names())
        ):
            raise ModelError(
                f"At the port of {self._title[0].lower()}{self._title[1:]} another one answers, "
                f"with the models {names}; expected '{self._spec.name}'. Run again."
            )


def served_files(spec: ModelSpec, model: ModelFolder) -> Path:
    """Return what is served: the folder of a model, or its GGUF file where a command reads it.

    Engines get weights that came as GGUF unpacked, since they read few architectures of them.

    Raises:
        ModelError: The model cannot be unpacked.
    """
    if spec.serve is not None and spec.serve.command and (gguf := gguf_of(model)) is not None:
        return gguf
    return loadable_folder(model)


def _visible(gpus: str) -> dict[str, str]:
    """Return the variable that shows a process its GPUs, counted among those of the run.

    Raises:
        ModelError: The run may not see as many.
    """
    if not gpus:
        return {}
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = gpus.split(",")
    if seen is not None:
        known = [each.strip() for each in seen.split(",") if each.strip()]
        if missing := [each for each in numbers if int(each) >= len(known)]:
            raise ModelError(
                f"'gpus' names GPU {missing[0]}, and CUDA_VISIBLE_DEVICES shows {len(known)} "
                f"('{seen}'); expected numbers from 0 among those."
            )
        numbers = [known[int(each)] for each in numbers]
    return {"CUDA_VISIBLE_DEVICES": ",".join(numbers)}
