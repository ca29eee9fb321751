"""Where the requests to a model go: to a server that runs already, or to one of the run's own."""

import json
import os
from typing import Protocol

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.contracts.server_limits import ServerLimits
from siftline.models.fingerprint import fingerprint
from siftline.models.remote import serving
from siftline.models.remote.engines import engine_name
from siftline.models.remote.served_model import Addresses


class Upstream(Protocol):
    """A server, or several that are alike.

    Attributes:
        title: What messages call it, at the beginning of a sentence.
        identity: What its answers depend on, as a text; the ledger has a file for each.
        limits: How it is asked.
        local: Whether it is on this machine, where no proxy is asked.
    """

    title: str
    identity: str
    limits: ServerLimits
    local: bool

    def addresses(self) -> Addresses:
        """Return where it is asked, after it has been started if need be."""
        ...

    def lost(self, error: str) -> str:
        """Return the message for a server that does not answer."""
        ...

    def hints(self, name: str) -> dict[int, str]:
        """Return remedies by the status of a refusal."""
        ...


class StatedServer:
    """A server whose address the recipe states; see :class:`Upstream`."""

    def __init__(self, spec: ModelSpec, server: ServerSpec) -> None:
        self.title = f"The server {server.url}"
        self.identity, self.local = server.url, False
        self.limits: ServerLimits = server
        self._server = server
        self._addresses = Addresses((server.url,), _key(server) or "", spec.name)

    def addresses(self) -> Addresses:
        """Return the address."""
        return self._addresses

    def lost(self, error: str) -> str:
        """Return the message for a server that does not answer."""
        return (
            f"{self.title} did not answer in {self._server.retries + 1} attempts ({error}); see "
            "that it runs, then run again: what was answered is kept."
        )

    def hints(self, name: str) -> dict[int, str]:
        """Return remedies by the status of a refusal."""
        return {
            401: f"set the key in the variable '{self._server.key_env or 'key_env'}'",
            403: "see that the key may use this model",
            404: f"see that the server has the model '{name}' and that the URL ends in '/v1'",
        }


class ServedUpstream:
    """The servers of the run's own; see :class:`Upstream`.

    Their answers are kept under the fingerprint of model, engine and arguments, so that the next
    run finds them, at whatever ports it has them listen.
    """

    local = True

    def __init__(self, spec: ModelSpec) -> None:
        assert spec.serve is not None
        self.limits: ServerLimits = spec.serve
        self.local = True
        self.title = f"The server of '{spec.name}' ({engine_name(spec.serve)})"
        found = fingerprint(spec)
        self.identity = json.dumps(found, sort_keys=True)
        self._spec, self._digest = spec, found["digest"]

    def addresses(self) -> Addresses:
        """Return the addresses; the servers are started if need be."""
        return serving.addresses(self._spec, self._digest)

    def lost(self, error: str) -> str:
        """Return the message for a server that does not answer, with the end of its log."""
        said = serving.why_ended(self._spec, self._digest)
        return said or (
            f"{self.title} did not answer in {self.limits.retries + 1} attempts ({error}), though "
            "it runs; raise 'timeout', or lower 'concurrency', and run again: what was answered "
            "is kept."
        )

    def hints(self, name: str) -> dict[int, str]:
        """Return remedies by the status of a refusal."""
        named = "name the variable in which it reads the key that it demands as 'key_env'"
        return {
            401: named,
            403: named,
            404: "see in the documentation of the engine that it has this path",
        }


def upstream_of(spec: ModelSpec) -> Upstream:
    """Return where the requests to a model go that is asked through a server.

    Raises:
        ModelError: The key is not set, or the engine is not installed.
    """
    if spec.server is not None:
        return StatedServer(spec, spec.server)
    return ServedUpstream(spec)


def _key(server: ServerSpec) -> str | None:
    if server.key_env is None:
        return None
    key = os.environ.get(server.key_env)
    if not key:
        raise ModelError(
            f"The key for {server.url} is expected in the environment variable "
            f"'{server.key_env}', which is not set."
        )
    return key
