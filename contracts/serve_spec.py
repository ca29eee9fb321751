"""How a recipe names the engine that serves a model for the time of a run."""

import re
import string
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from siftline.contracts.errors import nearest
from siftline.contracts.server_limits import ServerLimits

ENGINES = ("vllm", "sglang", "transformers")
PLACEHOLDERS = frozenset({"model", "name", "host", "port", "dtype"})

# What siftline itself tells an engine: where it listens, what it loads, and what is trusted.
_TOLD = frozenset(
    {
        "--host",
        "--port",
        "--uds",
        "--api-key",
        "--admin-api-key",
        "--model",
        "--model-path",
        "--tokenizer",
        "--tokenizer-path",
        "--served-model-name",
        "--revision",
        "--dtype",
        "--trust-remote-code",
        "--ssl-keyfile",
        "--ssl-certfile",
        "--root-path",
        "--config",
    }
)
_GPUS = re.compile(r"\d{1,3}(,\d{1,3})*")


class ServeSpec(ServerLimits):
    """An engine, or any command, that serves a model over the protocol of OpenAI.

    Attributes:
        engine: `vllm`, `sglang` or `transformers`; None where a command is stated.
        executable: Where the engine's program is, if it is not on the PATH under its name.
        arguments: More arguments of the engine, such as `--max-model-len`; they are a part of the
            identity of its answers.
        command: A command instead of an engine, word by word. `{host}` and `{port}` must be among
            its words; `{model}` is the folder, or the GGUF file, of the model, `{name}` the name
            that it is asked under, `{dtype}` the number type that the recipe states.
        version: Of a stated command: the command that prints its version, or the version itself.
        key_env: Of a stated command: the environment variable in which it reads the key that it is
            to demand; None if it demands none.
        health: Path that answers 200 when the model is ready.
        gpus: The GPUs of each process, as `0` or `0,1`, counted among those that the run may see;
            without any, one process that sees them all.
        ready_timeout: Seconds until a process must be ready.
        concurrency: Requests under way at once, at all processes together.
        timeout: Of one request, in seconds.
        retries: As for a server.
    """

    engine: Literal["vllm", "sglang", "transformers"] | None = None
    executable: str | None = None
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    version: str | tuple[str, ...] = ()
    key_env: str | None = None
    health: str = Field(default="/health", pattern=r"^/[\w./-]*$")
    gpus: tuple[str, ...] = ()
    ready_timeout: float = Field(default=1800, gt=0)
    concurrency: int = Field(default=64, ge=1, le=1024)
    timeout: float = Field(default=600, gt=0)
    retries: int = Field(default=3, ge=0, le=20)

    @field_validator("arguments", "command", "version", "gpus", mode="before")
    @classmethod
    def _words_are_texts(cls, value: Any) -> Any:
        """Take the numbers that YAML makes of words such as `8192` and `0`."""
        if not isinstance(value, list | tuple):
            return value
        return [str(word) if type(word) in (int, float) else word for word in value]

    @field_validator("version", mode="before")
    @classmethod
    def _version_is_a_text(cls, value: Any) -> Any:
        """Refuse a number, of which YAML has lost a zero at the end: `1.10` is `1.1`."""
        if isinstance(value, int | float):
            raise ValueError(
                f"got the number {value}; expected the version in quotes, or the command that "
                "prints it, a list of words."
            )
        return value

    @field_validator("gpus")
    @classmethod
    def _gpus_are_numbers(cls, gpus: tuple[str, ...]) -> tuple[str, ...]:
        for each in gpus:
            if not _GPUS.fullmatch(each):
                raise ValueError(f"got '{each}'; expected the numbers of GPUs, as '0' or '0,1'.")
        return gpus

    @field_validator("arguments")
    @classmethod
    def _nothing_is_told_twice(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        for word in arguments:
            name = word.partition("=")[0].replace("_", "-")
            if name in _TOLD:
                raise ValueError(
                    f"got '{name}', which siftline tells the engine itself; expected other "
                    "arguments. The model, its revision, 'dtype' and 'trust_remote_code' are "
                    "stated beside 'serve', and the server listens on this machine only."
                )
        return arguments

    @model_validator(mode="after")
    def _is_an_engine_or_a_command(self) -> "ServeSpec":
        if (self.engine is None) == (not self.command):
            raise ValueError(
                f"expected either 'engine' ({', '.join(ENGINES)}) or 'command', a list of words."
            )
        if self.command:
            self._require_whole_command()
        elif self.version or self.key_env:
            raise ValueError(
                "'version' and 'key_env' belong to a 'command'; an engine's are known. Leave them "
                "out."
            )
        return self

    def _require_whole_command(self) -> None:
        if self.executable is not None or self.arguments:
            raise ValueError(
                "'executable' and 'arguments' belong to an engine; write them into 'command'."
            )
        if not self.version:
            raise ValueError(
                "a 'command' needs 'version', the command that prints its version or the version "
                "itself, since its answers depend on it."
            )
        found = set().union(*map(_placeholders, self.command))
        if unknown := found - PLACEHOLDERS:
            raise ValueError(
                f"got the placeholder '{{{min(unknown)}}}' in 'command'."
                f"{nearest(min(unknown), PLACEHOLDERS)} Double a brace that is meant."
            )
        if missing := {"host", "port"} - found:
            raise ValueError(
                f"no '{{{min(missing)}}}' in 'command'; expected the place for it, so that the "
                "server listens where it is looked for, and on this machine only."
            )


def _placeholders(word: str) -> set[str]:
    """Return the placeholders in a word of a command.

    Raises:
        ValueError: A brace has no partner.
    """
    try:
        return {
            # Nothing is to be formatted: what follows a name would fail once the server is started.
            name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            for _, name, form, conversion in string.Formatter().parse(word)
            if name is not None
        }
    except ValueError as error:
        raise ValueError(f"got '{word}' in 'command': {error}. Double a brace.") from error


def read_serve(value: Any) -> Any:
    """Return what stands at `serve` in a recipe as fields: an engine may be named alone.

    Raises:
        ValueError: There is no such engine.
    """
    if isinstance(value, str):
        value = {"engine": value}
    name = value.get("engine") if isinstance(value, dict) else None
    if isinstance(name, str) and name not in ENGINES:
        raise ValueError(
            f"unknown engine '{name}'.{nearest(name, ENGINES)} Any other is stated as 'command'."
        )
    return value
