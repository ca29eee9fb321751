"""How a recipe names a model."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from siftline.contracts.config import Config


class ServerSpec(Config):
    """A server that speaks the protocol of OpenAI.

    Attributes:
        url: Its base, such as `http://localhost:8000/v1`.
        key_env: Name of the environment variable that holds the key; None where none is needed.
        concurrency: Requests under way at once.
        timeout: Of one request, in seconds.
        retries: Of one request, after 429, 5xx, a lost connection or an answer that is no JSON,
            each time after a longer pause.
        max_spent_tokens: Tokens, of prompts and responses, after which nothing more is asked in
            one run of the program; None for no limit.
    """

    url: str
    key_env: str | None = None
    concurrency: int = Field(default=8, ge=1, le=256)
    timeout: float = Field(default=120, gt=0)
    retries: int = Field(default=6, ge=0, le=20)
    max_spent_tokens: int | None = Field(default=None, ge=1)

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
        name: A Hub id (`org/model`), a folder, or `builtin:smollm2`, `builtin:minilm`; with
            `server`, the name that the server knows.
        revision: Commit or tag of a Hub model; None for its default branch.
        dtype: Of the weights and the forward pass; `auto` takes bfloat16 where the device computes
            it natively.
        trust_remote_code: Allow a Hub model to run its own Python code. Off unless the recipe
            turns it on.
        server: Where the model runs; None for this machine.
        system: What becomes of a system turn in the chat template; `merge` puts it into the user's
            turn behind it, a blank line between, for models that know no system turn.
        reasoning: How a thought that came in a field reaches the chat template: under the name
            that the `template` reads, or `inline`, as a `<think>` block before the content.
    """

    name: str
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    trust_remote_code: bool = False
    server: ServerSpec | None = None
    system: Literal["keep", "merge"] = "keep"
    reasoning: Literal["template", "inline"] = "template"
