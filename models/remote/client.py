"""Requests to an OpenAI-compatible server: bounded, retried, counted, and kept.

What the `openai` client retries by itself (429, 5xx, lost connections, timeouts; with growing
pauses, or those that the server asks for) is left to it. An answer that is no JSON is retried
here. Any other failure is an error of the run: the answers so far are in the ledger, and the next
run goes on from there.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Usage
from siftline.models.remote.ledger import Ledger
from siftline.models.remote.lines import Lines
from siftline.models.remote.upstream import Upstream
from siftline.models.store.cache_folder import cache_folder
from siftline.models.store.packages import require

CONTEXT_LENGTH = "context_length_exceeded"  # the code that OpenAI gives a prompt that is too long
# Others say it in words: vLLM ("maximum context length is"), llama.cpp ("exceeds the available
# context size", "exceed_context_size_error"), TGI ("inputs tokens + max_new_tokens must be <=").
_TOO_LONG = re.compile(
    r"maximum (?:context|model|input|sequence) length|context[ _](?:length|size|window)"
    r"|must have less than \d+ tokens|max_new_tokens.{0,3} must be",
    re.IGNORECASE,
)


class ServerRequest(NamedTuple):
    """A request to a server.

    Attributes:
        path: Path below the server's base, such as `/chat/completions`.
        body: The JSON object that is sent, without the model's name.
    """

    path: str
    body: dict[str, Any]


class TooLongError(Exception):
    """The server says that a prompt exceeds the model's window."""


class Client:
    """A model on a server.

    Attributes:
        usage: Requests sent and tokens spent so far; a request that the ledger answers costs
            nothing.
    """

    def __init__(self, spec: ModelSpec, upstream: Upstream) -> None:
        require("openai")
        import openai  # an optional dependency

        self.usage = Usage()
        self._errors: Any = openai
        self._name = spec.name
        self._upstream, self._limits = upstream, upstream.limits
        label = hashlib.sha256(upstream.identity.encode()).hexdigest()[:16]
        self._ledger = Ledger(cache_folder() / "answers" / f"{label}.sqlite")
        self._lock = threading.Lock()
        self._lines = Lines(upstream)

    def ask(
        self,
        requests: Sequence[ServerRequest],
        check: Callable[[dict[str, Any]], None],
        on_answer: Callable[[int], None] = lambda number: None,
    ) -> list[dict[str, Any] | TooLongError]:
        """Send requests, several at once, and return the answers in their order.

        Args:
            requests: The requests; equal ones are sent once.
            check: Raises ModelError when an answer lacks what was asked for; the answer is not
                kept then.
            on_answer: Called with the number of each request that is answered.

        Returns:
            One per request: the JSON object that the server sent, or the error that says that the
            prompt is too long.

        Raises:
            ModelError: A request failed for good, or the limit of tokens is reached. All that was
                answered is kept.
        """
        same: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            same.setdefault(json.dumps(request, sort_keys=True), []).append(number)
        answers, missing = self._known(requests, list(same.values()), on_answer)
        if missing:
            # Here, and not in a thread of the pool, which could not be interrupted.
            self._lines.connect()
        with ThreadPoolExecutor(self._limits.concurrency) as pool:
            waiting = {
                pool.submit(self._answer, requests[numbers[0]], check): numbers
                for numbers in missing
            }
            try:
                for done in as_completed(waiting):
                    for number in waiting[done]:
                        answers[number] = done.result()
                        on_answer(number)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [answers[number] for number in range(len(requests))]

    def _known(
        self,
        requests: Sequence[ServerRequest],
        groups: Sequence[list[int]],
        on_answer: Callable[[int], None],
    ) -> tuple[dict[int, dict[str, Any] | TooLongError], list[list[int]]]:
        """Return the answers that the ledger has, and the groups of equal requests without one."""
        answers: dict[int, dict[str, Any] | TooLongError] = {}
        missing = []
        for numbers in groups:
            known = self._ledger.find(self._wanted(requests[numbers[0]]))
            if known is None:
                missing.append(numbers)
                continue
            for number in numbers:
                answers[number] = known
                on_answer(number)
        return answers, missing

    def _answer(
        self, request: ServerRequest, check: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any] | TooLongError:
        self._check_limit()
        try:
            answer = self._send(request)
        except TooLongError as error:
            return error
        self._count(answer)
        check(answer)
        self._ledger.add(self._wanted(request), answer)
        return answer

    def _wanted(self, request: ServerRequest) -> dict[str, Any]:
        """Return what the ledger knows a request by: the name is the recipe's."""
        return {"path": request.path, "body": {"model": self._name, **request.body}}

    def _send(self, request: ServerRequest) -> dict[str, Any]:
        for attempt in range(self._limits.retries + 1):
            if attempt:
                time.sleep(min(8.0, 0.5 * 2 ** (attempt - 1)))
            try:
                answer = self._lines.post(request.path, request.body)
            except self._errors.APIStatusError as error:
                raise self._refused(error) from None
            except self._errors.APIConnectionError as error:
                raise ModelError(self._upstream.lost(self._safe(error))) from None
            except ValueError:  # no JSON
                continue
            if isinstance(answer, dict):
                return answer
        raise ModelError(
            f"{self._upstream.title} answered {self._limits.retries + 1} times with what is no "
            f"JSON object; is '{request.path}' below its base the protocol of OpenAI?"
        )

    def _refused(self, error: Any) -> Exception:
        details = error.body if isinstance(error.body, dict) else {}
        if error.status_code in (400, 413, 422) and (
            details.get("code") == CONTEXT_LENGTH or _TOO_LONG.search(str(error))
        ):
            return TooLongError()
        hints = {
            **self._upstream.hints(self._name),
            429: "lower 'concurrency', or wait; what was answered is kept",
        }
        hint = hints.get(
            error.status_code, "run again when it is mended; what was answered is kept"
        )
        return ModelError(
            f"{self._upstream.title} answered {error.status_code}: {self._safe(error)}. "
            f"Remedy: {hint}."
        )

    def _safe(self, error: Any) -> str:
        """Return the text of an error on one short line, without the key."""
        text = " ".join(str(error).split())[:300]
        key = self._lines.key
        return text.replace(key, "***") if key else text

    def _check_limit(self) -> None:
        limit = self._limits.max_spent_tokens
        with self._lock:
            if limit is not None and self.usage.tokens >= limit:
                raise ModelError(
                    f"{self.usage.tokens} tokens were spent on '{self._name}', of "
                    f"'max_spent_tokens' {limit}; what was answered is kept. Raise the limit, and "
                    "run again."
                )

    def _count(self, answer: dict[str, Any]) -> None:
        usage = answer.get("usage") or {}
        tokens = usage.get("total_tokens")
        if tokens is None and self._limits.max_spent_tokens is not None:
            raise ModelError(
                f"{self._upstream.title} does not say how many tokens an answer took, so "
                "'max_spent_tokens' cannot be kept; leave it out to go on without a limit."
            )
        with self._lock:
            self.usage = self.usage.plus(Usage(1, int(tokens or 0)))
