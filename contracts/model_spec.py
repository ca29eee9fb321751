"""How a recipe names a model."""

from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from siftline.contracts.config import Config
from siftline.contracts.serve_spec import ServeSpec, read_serve
from siftline.contracts.server_limits import ServerLimits


class ServerSpec(ServerLimits):
    """A server that speaks the protocol of OpenAI.

    Attributes:
        url: Its base, such as `http://localhost:8000/v1`.
        key_env: Name of the environment variable that holds the key; None where none is needed.
    """

    url: str
    key_env: str | None = None

    @field_validator("url")
    @classmethod
    def _is_plain_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected a URL such as 'http://localhost:8000/v1'")
        if parts.username or parts.password or parts.query:
            raise ValueError("a URL holds no keys; name their variable as 'key_env'")
        return url.rstrip("/")


class ModelSpec(Config):
    """A language model or an embedder.

    Attributes:
        name: A Hub id (`org/model`), a folder, a GGUF file, or `builtin:smollm2`,
            `builtin:minilm`; with `server`, the name that the server knows.
        revision: Commit or tag of a Hub model; None for its default branch.
        file: The GGUF file, or a part of it, that is meant among those of a folder or a repository;
            None where there is one, or where the weights are safetensors.
        dtype: Of the weights and the forward pass; `auto` takes bfloat16 where the device computes
            it natively.
        trust_remote_code: Allow a Hub model to run its own Python code. Off unless the recipe
            turns it on.
        server: Where the model runs, if that is a server which runs already.
        serve: The engine that serves the model, in a process of its own, for the time of a run.
        system: What becomes of a system turn in the chat template; `merge` puts it into the user's
            turn behind it, a blank line between, for models that know no system turn.
        reasoning: How a thought that came in a field reaches the chat template: under the name
            that the `template` reads, or `inline`, as a `<think>` block before the content.
    """

    name: str
    revision: str | None = None
    file: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    trust_remote_code: bool = False
    server: ServerSpec | None = None
    serve: ServeSpec | None = None
    system: Literal["keep", "merge"] = "keep"
    reasoning: Literal["template", "inline"] = "template"

    @field_validator("serve", mode="before")
    @classmethod
    def _is_an_engine(cls, value: Any) -> Any:
        return read_serve(value)

    @field_validator("file")
    @classmethod
    def _is_a_file_inside(cls, file: str | None) -> str | None:
        if file is not None and (not file.endswith(".gguf") or _leads_out(file)):
            raise ValueError(
                f"got '{file}'; expected the name of a GGUF file of the folder or the repository."
            )
        return file

    @model_validator(mode="after")
    def _is_in_one_place(self) -> "ModelSpec":
        if self.server is not None and self.serve is not None:
            raise ValueError(
                "got both 'server' and 'serve'; expected 'server' for one that runs already, or "
                "'serve' for one that is started for the time of a run."
            )
        if self.file is not None and (
            self.server is not None
            or self.name.startswith("builtin:")
            or self.name.endswith(".gguf")
        ):
            raise ValueError(
                f"got 'file' beside '{self.name}', of which it says nothing; expected it beside a "
                "folder or a repository with several GGUF files. Leave it out."
            )
        return self

    @property
    def is_asked(self) -> bool:
        """Whether the model is asked through a server, instead of being loaded here."""
        return self.server is not None or self.serve is not None


def _leads_out(file: str) -> bool:
    """Return whether a path may lead out of the folder that it is meant in."""
    path = PurePosixPath(file)
    return path.is_absolute() or ".." in path.parts or "\\" in file
