"""Where the processes of several devices ask for servers: the process of the run has them all.

What goes over the line are the names of models, addresses and keys, between processes of one run,
which know its secret (`multiprocessing.current_process().authkey`).
"""

import contextlib
import socket
import threading
import time
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.process import current_process

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.remote import serving
from siftline.models.remote.served_model import Addresses

_PAUSE_SECONDS = 0.05  # after somebody who was not understood


class Desk:
    """Answers the processes of a run.

    Attributes:
        address: Where it is asked.
    """

    def __init__(self) -> None:
        self._closed = False
        self._listener = Listener(authkey=bytes(current_process().authkey))
        self.address = str(self._listener.address)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._closed:
            try:
                line = self._listener.accept()
            except Exception:  # it was closed, or somebody was lost or does not know the secret
                time.sleep(_PAUSE_SECONDS)
                continue
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    @staticmethod
    def _answer(line: Connection) -> None:
        with contextlib.suppress(EOFError, OSError), line:
            question, spec, digest = line.recv()
            answer: Addresses | str | ModelError | None
            try:
                ask = {"addresses": serving.addresses, "why_ended": serving.why_ended}[question]
                answer = ask(spec, digest)
            except ModelError as error:
                answer = error
            line.send(answer)

    def close(self) -> None:
        """Answer no more."""
        self._closed = True
        # Or the thread would wait for somebody for ever.
        with contextlib.suppress(OSError, AttributeError), socket.socket(socket.AF_UNIX) as call:
            call.connect(self.address)
        self._thread.join(timeout=1)
        self._listener.close()


def ask_desk(address: str) -> None:
    """Let this process ask a desk for its servers."""

    def ask(question: str, spec: ModelSpec, digest: str) -> Addresses | str | None:
        try:
            with Client(address, authkey=bytes(current_process().authkey)) as line:
                line.send((question, spec, digest))
                answer = line.recv()
        except (OSError, EOFError) as error:
            raise ModelError(
                f"The run does not tell where '{spec.name}' is served ({error}); expected it to "
                "be there. Run again."
            ) from error
        if isinstance(answer, ModelError):
            raise answer
        found: Addresses | str | None = answer
        return found

    serving.ask_elsewhere(ask)
