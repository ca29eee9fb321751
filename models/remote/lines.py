"""The connections to the servers of one model, each asked as it has the least to do."""

import os
import threading
import weakref
from typing import Any

from siftline.models.remote.served_model import Addresses
from siftline.models.remote.upstream import Upstream


class Lines:
    """Connections, which are made anew when the servers are others.

    Attributes:
        key: That the servers demand, so that no message shows it; empty before they are known.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._at: Addresses | None = None
        self._clients: list[Any] = []
        self._busy: list[int] = []
        self._next = os.getpid()  # processes of one run begin at different servers
        self.key = ""
        weakref.finalize(self, _close, self._clients)  # a model of a server is never closed

    def connect(self) -> None:
        """Find out where the servers are, and start them if need be.

        Raises:
            ModelError: They cannot be started.
        """
        at = self._upstream.addresses()
        with self._lock:
            if at != self._at:
                _close(self._clients)
                self._clients += [self._client(url, at.key) for url in at.urls]
                self._busy = [0] * len(at.urls)
                self._at, self.key = at, at.key

    def _client(self, url: str, key: str) -> Any:
        import openai  # an optional dependency

        limits = self._upstream.limits
        direct: dict[str, Any] = {}
        if self._upstream.local:  # a proxy that the environment names is none for this machine
            direct = {"http_client": openai.DefaultHttpxClient(trust_env=False)}
        return openai.OpenAI(
            base_url=url,
            api_key=key or "none",
            timeout=limits.timeout,
            max_retries=limits.retries,
            **direct,
        )

    def post(self, path: str, body: dict[str, Any]) -> object:
        """Send a request to the server with the fewest under way; its errors are the client's."""
        with self._lock:
            assert self._at is not None
            name, count = self._at.name, len(self._busy)
            order = [(self._next + step) % count for step in range(count)]
            number = min(order, key=self._busy.__getitem__)
            self._next = number + 1
            client, busy = self._clients[number], self._busy
            busy[number] += 1
        try:
            answer: object = client.post(path, cast_to=object, body={"model": name, **body})
            return answer
        finally:
            with self._lock:
                busy[number] -= 1


def _close(clients: list[Any]) -> None:
    """Close connections, and forget them."""
    while clients:
        clients.pop().close()
