"""Models that are served for the time of a run: started when they are first asked, and ended.

All stages of a run share the processes of a model. Where shards are scored by several processes,
those of the devices ask the run's own process, which starts the servers and ends them
(:mod:`siftline.models.remote.desk`).
"""

import atexit
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.serve_spec import ServeSpec
from siftline.contracts.server_limits import ServerLimits
from siftline.models.holding import let_go_of_devices
from siftline.models.remote.served_model import Addresses, ServedModel

_served: dict[ModelSpec, ServedModel] = {}
_lock = threading.Lock()
_runs = 0  # that share the servers of this process
_over = False  # whether they have ended early, and nothing is to be started any more
_elsewhere: Callable[[str, ModelSpec, str], Addresses | str | None] | None = None
_asked_elsewhere: set[ModelSpec] = set()


def addresses(spec: ModelSpec, digest: str) -> Addresses:
    """Return where a served model is asked; it is started when it is asked for the first time.

    Args:
        spec: The model.
        digest: Of its files, those that whoever asks keeps the answers under.

    Raises:
        ModelError: It cannot be started, or its files are others.
    """
    if _elsewhere is None:
        model = _served_model(spec, digest)
        try:
            return model.addresses()
        except BaseException:
            end_served(lambda each: _served[each] is not model)  # the next time it is another
            raise
    if spec not in _asked_elsewhere:
        let_go_of_devices()  # as where it is started
        _asked_elsewhere.add(spec)
    found = _elsewhere("addresses", spec, digest)
    assert isinstance(found, Addresses)
    return found


def why_ended(spec: ModelSpec, digest: str) -> str | None:
    """Return a sentence about a process of a model that has ended by itself; None if all run."""
    if _elsewhere is None:
        return _served_model(spec, digest).why_ended()
    said = _elsewhere("why_ended", spec, digest)
    return said if isinstance(said, str) else None


def end_served(keep: Callable[[ModelSpec], bool] = lambda spec: False) -> None:
    """End the servers, but those of models that are wanted still.

    Args:
        keep: Whether a model is wanted still; it is given as :func:`shared_spec` returns it.
    """
    with _lock:
        gone = [_served.pop(spec) for spec in list(_served) if not keep(spec)]
    for model in gone:
        model.end()


def end_early() -> None:
    """End the servers, and start none until the run is over: threads of it may go on a while."""
    global _over
    with _lock:
        _over = True
    end_served()


@contextmanager
def served_for_the_time() -> Iterator[None]:
    """End the servers that are started inside the block when it is left, however it is."""
    global _runs, _over
    with _lock:
        _over = _over and _runs > 0
        _runs += 1
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            last = not _runs
        if last:
            end_served()


def ask_elsewhere(ask: Callable[[str, ModelSpec, str], Addresses | str | None]) -> None:
    """Let another process have the servers of this one."""
    global _elsewhere
    _elsewhere = ask


def shared_spec(spec: ModelSpec) -> ModelSpec:
    """Return a model without what makes no difference to its server: roles may share that."""
    limits = {name: ServeSpec.model_fields[name].default for name in ServerLimits.model_fields}
    serve = spec.serve.model_copy(update=limits) if spec.serve is not None else None
    return spec.model_copy(update={"serve": serve, "system": "keep", "reasoning": "template"})


def _served_model(spec: ModelSpec, digest: str) -> ServedModel:
    """Return what serves a model; of other files it is another, and the one before is ended.

    Raises:
        ModelError: The run is over.
    """
    shared = shared_spec(spec)
    with _lock:
        if _over:
            raise ModelError(f"'{spec.name}' is served no more: the run was ended. Run again.")
        before = _served.get(shared)
        if before is None or before.digest != digest:
            _served[shared] = ServedModel(shared, digest)
        found = _served[shared]
    if before is not None and before is not found:
        before.end()
    return found


atexit.register(end_served)
