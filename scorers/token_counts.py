"""How many tokens prompts and responses have, by a model's tokenizer alone: no weights are loaded.

The text is that of the template `plain` (:mod:`siftline.models.rendering`), prompt and response
tokenised by themselves, without the end token. A chat template adds a few tokens a turn.
"""

import threading
from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import OK, TOKENIZER_ERROR
from siftline.models.plain_rendering import render_plain
from siftline.models.rendering import is_empty
from siftline.models.talks import Talk, of_each, talks_of
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
    none; one that calls tools has those of its calls too.

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
        talks = talks_of(rows)
        pairs = [_texts(talk) for talk in talks if isinstance(talk, Talk)]
        with _tokenizing:
            prompts = iter(count([prompt for prompt, _ in pairs]))
            responses = iter(count([response for _, response in pairs]))
            opening = count([""])[0] or 0
        progress.advance(len(talks))
        counted = of_each(talks, lambda _: _record(next(prompts), next(responses), opening))
        keys = rows["content_hash"].to_pylist()
        records = [
            (key, *((each, None, None) if isinstance(each, str) else each))
            for key, each in zip(keys, counted, strict=True)
        ]
        return Scored(table_of(records, TOKEN_COUNTS))


def _record(prompt: int | None, response: int | None, opening: int) -> tuple[Any, ...]:
    """Return the columns of one row after the key; a text that was refused has no tokens."""
    if prompt is None or response is None:
        return TOKENIZER_ERROR, None, None
    return OK, prompt, response - opening


def _texts(talk: Talk) -> tuple[str, str]:
    """Return prompt and response; an empty response has no text at all."""
    prompt, response = render_plain(talk.messages, talk.tools)[:2]
    return prompt, "" if is_empty(talk.messages[-1]) else response
