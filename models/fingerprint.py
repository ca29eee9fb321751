"""The fingerprint of a model: all that its scores depend on, found without loading its weights.

It is part of the identity of every cached score, so two models with one fingerprint share scores.
"""

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.chat_messages import AS_GIVEN
from siftline.models.chat_rendering import TEMPLATE_DATE
from siftline.models.devices import resolve_device, resolve_dtype
from siftline.models.likelihood import ENGINE_REVISION
from siftline.models.remote.engines import serving_print
from siftline.models.store.builtin import TOY, builtin_name
from siftline.models.store.conversion import CONVERSION_REVISION
from siftline.models.store.digests import (
    GGUF,
    SAFETENSORS,
    ModelFolder,
    counted_files,
    digest_of,
    is_embedder,
)
from siftline.models.store.files import find_model
from siftline.models.store.gguf_files import gguf_of
from siftline.models.store.thinking import knows_thoughts
from siftline.models.toy import TOY_REVISION

# Bumped when a server's answers would be read in another way.
SERVER_REVISION = 1
# Bumped when templates that know thoughts would be rendered in another way, and no others.
# 2: whatever words begin, or empty, a thought in the generation prompt, its response is scored.
THOUGHTS_REVISION = 2
_UNSTATED = AS_GIVEN._asdict()


def fingerprint(spec: ModelSpec, device: str = "auto") -> dict[str, str]:
    """Return what the scores of a model depend on.

    The number type is part of it; the device is not. The name is part of it, except for a folder,
    so that a model keeps its scores when its folder is moved.

    Args:
        spec: The model; one of the Hub is downloaded if it is not there yet.
        device: A name as for :func:`siftline.models.devices.resolve_device`. It matters for the
            number type `auto`.

    Raises:
        ModelError: The model cannot be found, there is no such device, or packages of the extra
            `models` are missing.
    """
    if spec.server is not None:
        # What the server runs under this name is known to nobody but its owner.
        engine = f"server-{SERVER_REVISION}"
        asked = {"name": spec.name, "server": spec.server.url, "engine": engine}
        return asked | _chat_options(spec)
    if spec.serve is not None:
        return _served(spec) | _chat_options(spec)
    if builtin_name(spec.name) == TOY:
        return {"name": spec.name, "engine": f"toy-{TOY_REVISION}"}
    place = resolve_device(device)  # before anything is downloaded
    files = find_model(spec)
    _require_weights(files)
    converted = {"conversion": f"gguf-{CONVERSION_REVISION}"} if gguf_of(files) else {}
    return {
        "name": files.name,
        "revision": files.revision,
        "digest": digest_of(files, spec.trust_remote_code),
        "dtype": resolve_dtype(spec, place, is_embedder(files.folder)),
        "engine": f"transformers-{ENGINE_REVISION}",
        "template_date": TEMPLATE_DATE.date().isoformat(),
        **converted,
        **({"thoughts": str(THOUGHTS_REVISION)} if knows_thoughts(files) else {}),
        **_chat_options(spec),
    }


def _served(spec: ModelSpec) -> dict[str, str]:
    """Return what the answers of a served model depend on; the engine resolves the number type."""
    if builtin_name(spec.name) == TOY:
        raise ModelError(
            f"'{spec.name}' has no weights to serve; expected a folder, a Hub id, or "
            "'builtin:smollm2'."
        )
    engine = serving_print(spec)  # before anything is downloaded
    files = find_model(spec)
    _require_weights(files)
    unpacked = gguf_of(files) is not None and not (spec.serve and spec.serve.command)
    return {
        "name": files.name,
        "revision": files.revision,
        "digest": digest_of(files, spec.trust_remote_code),
        "dtype": spec.dtype,
        "engine": f"server-{SERVER_REVISION}",
        **engine,
        **({"conversion": f"gguf-{CONVERSION_REVISION}"} if unpacked else {}),
    }


def _chat_options(spec: ModelSpec) -> dict[str, str]:
    """Return how turns reach the chat template, where that is stated."""
    stated = {"system": spec.system, "reasoning": spec.reasoning}
    return {name: each for name, each in stated.items() if each != _UNSTATED[name]}


def digest_now(spec: ModelSpec) -> str | None:
    """Return the digest in the fingerprint of a model as its files are now; None if it has none."""
    if spec.server is not None or builtin_name(spec.name) == TOY:
        return None
    return digest_of(find_model(spec), spec.trust_remote_code)


def _require_weights(model: ModelFolder) -> None:
    files = counted_files(model.folder, gguf=model.gguf)
    if not any(path.match(kind) for path in files for kind in (GGUF, *SAFETENSORS)):
        raise ModelError(
            f"There are no safetensors weights in '{model.folder}'; "
            "save the model with safe_serialization, or use another revision of it."
        )
