"""What a server is asked at most."""

from pydantic import Field

from siftline.contracts.config import Config


class ServerLimits(Config):
    """How a server is asked. None of it is a part of the identity of an answer.

    Attributes:
        concurrency: Requests under way at once.
        timeout: Of one request, in seconds.
        retries: Of one request, after 429, 5xx, a lost connection or an answer that is no JSON,
            each time after a longer pause.
        max_spent_tokens: Tokens, of prompts and responses, after which nothing more is asked in
            one run of the program; None for no limit.
    """

    concurrency: int = Field(default=8, ge=1, le=256)
    timeout: float = Field(default=120, gt=0)
    retries: int = Field(default=6, ge=0, le=20)
    max_spent_tokens: int | None = Field(default=None, ge=1)
