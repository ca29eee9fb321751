"""Where the processes of several devices ask for servers: the process of the run has them all.

What goes over the line are the names of models, addresses and keys, between processes of one run,
which know its secret (`multiprocessing.current_process().authkey`).
"""

import contextlib
import threading
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.process import current_process

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.remote import serving


class Desk:
    """Answers the processes of a run.

    Attributes:
        address: Where it is asked.
    """

    def __init__(self) -> None:
        self._listener = Listener(authkey=bytes(current_process().authkey))
        self.address = str(self._listener.address)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                line = self._listener.accept()
            except OSError:  # it was closed
                return
            except Exception:  # somebody who does not know the secret
                continue
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    @staticmethod
    def _answer(line: Connection) -> None:
        with contextlib.suppress(EOFError, OSError), line:
            question, spec = line.recv()
            try:
                found = {"addresses": serving.addresses, "why_ended": serving.why_ended}[question]
                line.send(found(spec))
            except ModelError as error:
                line.send(error)

    def close(self) -> None:
        """Answer no more."""
        self._listener.close()


def ask_desk(address: str) -> None:
    """Let this process ask a desk for its servers."""

    def ask(question: str, spec: ModelSpec) -> serving.Addresses | str | None:
        try:
            with Client(address, authkey=bytes(current_process().authkey)) as line:
                line.send((question, spec))
                answer = line.recv()
        except (OSError, EOFError) as error:
            raise ModelError(
                f"The run does not tell where '{spec.name}' is served ({error}); expected it to "
                "be there. Run again."
            ) from error
        if isinstance(answer, ModelError):
            raise answer
        found: serving.Addresses | str | None = answer
        return found

    serving.ask_elsewhere(ask)
