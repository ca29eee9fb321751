"""How many tokens prompts and responses have, by a model's tokenizer alone: no weights are loaded.

The text is that of the template `plain` (:mod:`siftline.models.rendering`), prompt and response
tokenised by themselves, without the end token. A chat template adds a few tokens a turn.
"""

import functools
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa

from siftline.models.builtin import TOY, builtin_name
from siftline.models.conversion import loadable_folder
from siftline.models.files import find_model
from siftline.models.likelihood import OK, TOKENIZER_ERROR
from siftline.models.packages import require
from siftline.models.rendering import Prompt, plain_prompt
from siftline.models.scorers import model_of
from siftline.models.specification import ModelSpec
from siftline.models.tokenisation import PairTokenizer
from siftline.pipelines import progress
from siftline.pipelines.config import Config
from siftline.pipelines.errors import ModelError
from siftline.pipelines.method import Runtime, Scored

TOKEN_COUNTS = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is no count
        ("prompt_tokens", pa.int32()),  # with the tokens that open every text; null unless ok
        ("response_tokens", pa.int32()),  # null unless ok
    ]
)

Count = Callable[[Sequence[str]], list[int | None]]

_tokenizing = threading.Lock()  # a tokenizer cannot be used by two threads


class TokenCounts(Config):
    """The tokens of each prompt and response.

    Score columns of the table `token_counts`: those of :data:`TOKEN_COUNTS`. An empty response has
    none; one that calls tools and says nothing has those of its calls.

    Attributes:
        model: Role of a model of this machine, whose tokenizer counts.
    """

    table: ClassVar[str] = "token_counts"
    revision: ClassVar[int] = 1
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "content_hash"

    model: str

    @property
    def role(self) -> str | None:
        """The role of the model."""
        return self.model

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Count the tokens of each row.

        Raises:
            ModelError: The tokenizer cannot be loaded, or the model is on a server.
            RecipeError: The recipe has no model of this role.
        """
        count = load_counter(model_of(self.model, runtime))
        talks = rows["messages"].to_pylist()
        texts = [
            _response(turns[-1]["content"], metadata)
            for turns, metadata in zip(talks, rows["metadata"].to_pylist(), strict=True)
        ]
        with _tokenizing:
            prompts = count([plain_prompt(turns[:-1]) for turns in talks])
            responses = count([f" {text}" if text else "" for text in texts])
            opening = count([""])[0] or 0
        progress.advance(len(talks))
        keys = rows["content_hash"].to_pylist()
        records = [
            {"content_hash": key, **_counted(prompt, response, opening)}
            for key, prompt, response in zip(keys, prompts, responses, strict=True)
        ]
        return Scored(pa.Table.from_pylist(records, schema=TOKEN_COUNTS))


def _counted(prompt: int | None, response: int | None, opening: int) -> dict[str, Any]:
    if prompt is None or response is None:
        return {"status": TOKENIZER_ERROR}
    return {"status": OK, "prompt_tokens": prompt, "response_tokens": response - opening}


def load_counter(spec: ModelSpec) -> Count:
    """Return what counts the tokens of texts, special ones at their head included.

    Args:
        spec: A model of this machine. The toy's tokens are bytes.

    Raises:
        ModelError: It is on a server, cannot be found, or has no tokenizer.
    """
    if spec.server is not None:
        raise ModelError(
            f"'{spec.name}' is on a server, which does not lend its tokenizer; name a model of "
            "this machine, such as 'builtin:smollm2'."
        )
    if builtin_name(spec.name) == TOY:
        return lambda texts: [len(text.encode()) for text in texts]
    return _counter(spec)


@functools.lru_cache(maxsize=4)
def _counter(spec: ModelSpec) -> Count:
    require("transformers")
    import transformers  # an optional dependency, and slow to import

    folder = loadable_folder(find_model(spec).folder)
    options = {"trust_remote_code": spec.trust_remote_code, "local_files_only": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"'{spec.name}' has no tokenizer that can be loaded; expected its files beside the "
            "weights. The error above says what is missing."
        ) from error
    pairs = PairTokenizer(tokenizer, spec.name)
    return functools.partial(_lengths, pairs)


def _lengths(pairs: PairTokenizer, texts: Sequence[str]) -> list[int | None]:
    coded = pairs.encode_prompts([Prompt(text, "", special=False, ending=None) for text in texts])
    return [None if ids is None else len(ids) for ids in coded]


def _response(content: str, metadata: str) -> str:
    """Return a response's text: that of its tool calls where it says nothing."""
    if content.strip():
        return content
    calls: Any = json.loads(metadata).get("tool_calls")
    return json.dumps(calls[-1], ensure_ascii=False) if calls and calls[-1] else ""
