"""The engines that serve a model: how each is called, and how it tells its version.

Engines are programs of their own, and never imported: vLLM and SGLang pin another torch. Each is
told the files of the model, which siftline has found and digested, and not a name that it would
look up again: what is served is what the fingerprint holds.
"""

import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.printable import excerpt
from siftline.contracts.serve_spec import ServeSpec

HOST = "127.0.0.1"
# Bumped when an engine would be called in another way that changes its answers.
SERVE_REVISION = 1
_VERSION_CHARS = 200
_VERSION_SECONDS = 300.0  # vLLM imports torch first, which may be cold


class Engine(NamedTuple):
    """How an engine is called.

    Attributes:
        program: Its name on the PATH.
        begin: Words before the user's arguments, which may take them back.
        end: Words after them, which stand.
        trust: The word that lets a model's own code run.
        version: Words that print its version.
        pattern: Of the version in what they print; the engine may log beside it.
        key_env: The variable in which it reads the key to demand; None if it cannot demand one.
        named: Whether it serves the model under the name that the recipe gives it.
        install: The command that installs it.
    """

    program: str
    begin: tuple[str, ...]
    end: tuple[str, ...]
    trust: str
    version: tuple[str, ...]
    pattern: str
    key_env: str | None
    named: bool
    install: str


_PLACE = ("--host", "{host}", "--port", "{port}", "--dtype", "{dtype}")
_NUMBER = r"^\s*(\d+\.\S+)\s*$"
# As their own sources have it (vLLM 0.11 and later, SGLang 0.5, transformers 5). Sampling that a
# request does not state is that of the protocol, and not of the model's `generation_config.json`,
# which would add a top-k or a penalty that the recipe does not know; `transformers` has no switch.
ENGINES = {
    "vllm": Engine(
        program="vllm",
        begin=("serve", "{model}", "--seed", "0", "--generation-config", "vllm"),
        end=("--served-model-name", "{name}", *_PLACE),
        trust="--trust-remote-code",
        version=("--version",),
        pattern=_NUMBER,
        key_env="VLLM_API_KEY",
        named=True,
        install="uv tool install vllm",
    ),
    "sglang": Engine(
        program="sglang",
        begin=("serve", "--random-seed", "0", "--sampling-defaults", "openai"),
        end=("--model-path", "{model}", "--served-model-name", "{name}", *_PLACE),
        trust="--trust-remote-code",
        version=("version",),
        pattern=r"sglang version:\s*(\S+)",
        key_env="SGLANG_API_KEY",
        named=True,
        install="uv tool install sglang",
    ),
    "transformers": Engine(
        program="transformers",
        begin=("serve", "{model}", "--default-seed", "0"),
        end=_PLACE,
        trust="--trust-remote-code",
        version=("version",),
        pattern=_NUMBER,
        key_env=None,
        named=False,
        install="uv tool install 'transformers[serving]' --with torch --with accelerate",
    ),
}


def command_of(spec: ModelSpec, model: Path, port: int) -> list[str]:
    """Return the command that serves a model, word by word.

    Args:
        spec: The model; it states how it is served.
        model: The folder, or the file, that is served.
        port: Where it is to listen, on this machine only.
    """
    serve = _serve(spec)
    words = serve.command
    if serve.engine is not None:
        engine = ENGINES[serve.engine]
        trust = (engine.trust,) if spec.trust_remote_code else ()
        # A brace in what the user has written is no placeholder.
        own = [word.replace("{", "{{").replace("}", "}}") for word in serve.arguments]
        words = (_program(serve), *engine.begin, *own, *engine.end, *trust)
    values = {"model": model.absolute(), "name": spec.name, "host": HOST, "port": port}
    return [word.format(**values, dtype=spec.dtype) for word in words]


def asked_name(spec: ModelSpec, model: Path) -> str:
    """Return the name under which the model is asked for."""
    serve = _serve(spec)
    named = serve.engine is None or ENGINES[serve.engine].named
    return spec.name if named else str(model.absolute())


def key_variable(serve: ServeSpec) -> str | None:
    """Return the variable in which the engine reads the key to demand; None without one."""
    return ENGINES[serve.engine].key_env if serve.engine else serve.key_env


def engine_name(serve: ServeSpec) -> str:
    """Return what messages call the engine."""
    return serve.engine or Path(serve.command[0]).name


def how_it_is_served(spec: ModelSpec, version: str) -> str:
    """Return how a model is served, as what is said of it.

    Args:
        spec: The model.
        version: Of the engine, as its fingerprint has it.
    """
    serve = _serve(spec)
    where = f" on the GPUs {'; '.join(serve.gpus)}" if serve.gpus else ""
    processes = f"{len(serve.gpus)} processes" if len(serve.gpus) > 1 else "one process"
    words = f", with {_joined(serve.arguments)}" if serve.arguments else ""
    return f"served by {engine_name(serve)} {version}, in {processes}{where}{words}"


def serving_print(spec: ModelSpec) -> dict[str, str]:
    """Return what answers depend on beside the files: engine, version, and its arguments.

    Raises:
        ModelError: The engine is not installed, or does not tell its version.
    """
    serve = _serve(spec)
    words = (*serve.arguments, *(["--trust-remote-code"] if spec.trust_remote_code else []))
    called = {"arguments": _joined(words)} if serve.engine else {"command": _joined(serve.command)}
    return {
        "serve": engine_name(serve),
        "version": engine_version(serve),
        "revision_of_serve": str(SERVE_REVISION),
        **called,
    }


def engine_version(serve: ServeSpec) -> str:
    """Return the version of an engine, as it tells it, in a short line that no other has.

    Raises:
        ModelError: It is not installed, or tells none.
    """
    if isinstance(serve.version, str):
        return _short(serve.version)
    if serve.engine is None:
        found_program(serve.command[0], None)
        return _printed(serve.version, "")
    engine = ENGINES[serve.engine]
    return _printed((found_program(_program(serve), serve.engine), *engine.version), engine.pattern)


def found_program(program: str, engine: str | None) -> str:
    """Return the path of a program.

    Raises:
        ModelError: It is not installed.
    """
    path = shutil.which(program)
    if path is not None:
        return path
    remedy = "see that it is on the PATH, or write its path"
    if engine is not None:
        install = ENGINES[engine].install
        remedy = f"run `{install}`, or name its path as 'executable'"
    raise ModelError(
        f"The command '{program}' that is to serve a model was not found: {remedy}. It needs an "
        "environment of its own."
    )


def _printed(command: tuple[str, ...], pattern: str) -> str:
    path = found_program(command[0], None)
    state = Path(path).resolve().stat()
    return _version(command, pattern, (path, state.st_ino, state.st_mtime_ns))


@functools.cache  # seconds each; another installation has another program
def _version(command: tuple[str, ...], pattern: str, program: tuple[str, int, int]) -> str:
    said = _output(command)
    found = re.findall(pattern, said, re.MULTILINE) if pattern else [said]
    version = _short(found[-1]) if found else ""
    if not version:
        raise ModelError(
            f"`{_joined(command)}` tells no version; got '{excerpt(said, 200)}'. Expected one, "
            "since answers depend on it: is this the program that is meant?"
        )
    return version


def _output(command: tuple[str, ...]) -> str:
    """Return what a command prints that tells a version; some print it where errors go."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_SECONDS,
            text=True,
            errors="replace",
            env={**os.environ, **QUIET},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(
            f"`{_joined(command)}` cannot be run: {excerpt(str(error), 200)}. Expected the version "
            "of what serves a model."
        ) from error
    if done.returncode:
        raise ModelError(
            f"`{_joined(command)}` ended with code {done.returncode}: "
            f"{excerpt(done.stderr[-2000:] or done.stdout[-2000:], 300)}. Expected the version of "
            "what serves a model; see that it is installed whole."
        )
    return done.stdout.strip() or done.stderr.strip()


def _short(version: str) -> str:
    """Return a version on a short line; of a long one with a digest, which its end changes too."""
    line = " ".join(version.split())
    if len(line) <= _VERSION_CHARS:
        return line
    digest = hashlib.sha256(version.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{excerpt(line, _VERSION_CHARS)} ({digest[:12]})"


# Engines tell their makers how they are used unless they are asked not to.
QUIET = {"DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def _program(serve: ServeSpec) -> str:
    assert serve.engine is not None
    return serve.executable or ENGINES[serve.engine].program


def _serve(spec: ModelSpec) -> ServeSpec:
    assert spec.serve is not None
    return spec.serve


def _joined(words: Sequence[str]) -> str:
    return shlex.join(words)
