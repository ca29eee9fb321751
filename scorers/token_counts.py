"""How many tokens prompts and responses have, by a model's tokenizer alone: no weights are loaded.

The text is that of the template `plain` (:mod:`siftline.models.rendering`), prompt and response
tokenised by themselves, without the end token. A chat template adds a few tokens a turn.
"""

import threading
from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import OK, TOKENIZER_ERROR
from siftline.models.rendering import plain_prompt
from siftline.models.token_counter import load_counter
from siftline.scorers.tables import table_of

TOKEN_COUNTS = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is no count
        ("prompt_tokens", pa.int32()),  # with the tokens that open every text; null unless ok
        ("response_tokens", pa.int32()),  # null unless ok
    ]
)

_tokenizing = threading.Lock()  # a tokenizer cannot be used by two threads


class TokenCounts(RunsModel, Scorer):
    """The tokens of each prompt and response.

    Score columns of the table `token_counts`: those of :data:`TOKEN_COUNTS`. An empty response has
    none; one that calls tools and says nothing has those of its calls.

    Attributes:
        model: Role of a model of this machine, whose tokenizer counts.
    """

    table: ClassVar[str] = "token_counts"
    revision: ClassVar[int] = 1
    local: ClassVar[bool] = True

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Count the tokens of each row.

        Raises:
            ModelError: The tokenizer cannot be loaded, or the model is on a server.
            RecipeError: The recipe has no model of this role.
        """
        count = load_counter(runtime.spec(self.model))
        conversations = rows["messages"].to_pylist()
        texts = [_response_text(turns[-1]) for turns in conversations]
        with _tokenizing:
            prompts = count([plain_prompt(turns[:-1]) for turns in conversations])
            responses = count([f" {text}" if text else "" for text in texts])
            opening = count([""])[0] or 0
        progress.advance(len(conversations))
        keys = rows["content_hash"].to_pylist()
        records = [
            (key, *_record(prompt, response, opening))
            for key, prompt, response in zip(keys, prompts, responses, strict=True)
        ]
        return Scored(table_of(records, TOKEN_COUNTS))


def _record(prompt: int | None, response: int | None, opening: int) -> tuple[Any, ...]:
    """Return the columns of one row after the key; a text that was refused has no tokens."""
    if prompt is None or response is None:
        return TOKENIZER_ERROR, None, None
    return OK, prompt, response - opening


def _response_text(message: Message) -> str:
    """Return a response's text: that of its tool calls where it has no text."""
    if message["content"].strip():
        return message["content"]
    return message.get("tool_calls") or ""
