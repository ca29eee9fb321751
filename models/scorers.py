"""The measurements that run a model: the likelihood of a response, the embedding of a prompt."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from siftline.models.likelihood import Pair, ResponseLikelihood
from siftline.models.loading import load_embedder, load_language_model
from siftline.models.rendering import Template, render
from siftline.models.specification import ModelSpec
from siftline.pipelines import progress
from siftline.pipelines.config import Config
from siftline.pipelines.errors import RecipeError, nearest
from siftline.pipelines.examples import prompt_text
from siftline.pipelines.method import Runtime, Scored

LIKELIHOOD = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is no score
        ("sum_logprob", pa.float64()),  # in nats; null unless ok
        ("scored_tokens", pa.int32()),  # null unless ok
        ("prompt_tokens", pa.int32()),  # null where nothing was tokenised, as those that follow
        ("response_tokens", pa.int32()),  # before any cut, without the end token
        ("truncated", pa.bool_()),  # the response was cut to fit the window
        ("eos_scored", pa.bool_()),  # the end token is among the scored ones
    ]
)


class Likelihood(Config):
    """How likely a model finds each response, given its prompt.

    Score columns of the table `likelihood`: those of :data:`LIKELIHOOD`. A row that cannot be
    scored has a status other than `ok` and null scores.

    Attributes:
        model: Role of a language model.
        template: `plain` (GRAPE's, for base models) or `chat` (the model's own).
        max_tokens: Of prompt and response together; None takes the model's window.
        score_eos: Score the token that ends the response too.
    """

    table: ClassVar[str] = "likelihood"
    revision: ClassVar[int] = 1
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "content_hash"

    model: str
    template: Template = "plain"
    max_tokens: int | None = Field(default=None, ge=2)
    score_eos: bool = False

    @property
    def role(self) -> str | None:
        """The role of the model."""
        return self.model

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score the last response of each row.

        Raises:
            ModelError: The model cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        model = load_language_model(model_of(self.model, runtime), runtime.device)
        rendered = [render(turns, self.template, model) for turns in rows["messages"].to_pylist()]
        pairs = [each for each in rendered if isinstance(each, Pair)]
        progress.advance(len(rendered) - len(pairs))
        found = model.log_likelihood(
            pairs,
            max_tokens=self.max_tokens,
            score_eos=self.score_eos,
            max_batch_tokens=runtime.max_batch_tokens,
            on_batch=progress.advance,
        )
        scored = iter(found.rows)
        results = [
            next(scored) if isinstance(each, Pair) else ResponseLikelihood(each)
            for each in rendered
        ]
        keys = rows["content_hash"].to_pylist()
        records = [(key, *result) for key, result in zip(keys, results, strict=True)]
        return Scored(_table(records), found.usage)


class PromptEmbedding(Config):
    """The embedding of each prompt: its system and user turns.

    Score column of the table `prompt_embedding`: `vector`, float32 of length one.

    Attributes:
        model: Role of an embedder.
    """

    table: ClassVar[str] = "prompt_embedding"
    revision: ClassVar[int] = 1
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "prompt_id"

    model: str

    @property
    def role(self) -> str | None:
        """The role of the model."""
        return self.model

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Embed the prompt of each row.

        Raises:
            ModelError: The embedder cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        embedder = load_embedder(model_of(self.model, runtime), runtime.device)
        texts = [prompt_text(turns) for turns in rows["messages"].to_pylist()]
        found = embedder.embed(
            texts, max_batch_tokens=runtime.max_batch_tokens, on_batch=progress.advance
        )
        flat = pa.array(np.ascontiguousarray(found.vectors).ravel(), pa.float32())
        vectors = pa.FixedSizeListArray.from_arrays(flat, embedder.dimensions)
        table = pa.table({"prompt_id": rows["prompt_id"], "vector": vectors})
        return Scored(table, found.usage)


def model_of(role: str, runtime: Runtime) -> ModelSpec:
    """Return the model that plays a role.

    Raises:
        RecipeError: The recipe has none.
    """
    if role not in runtime.models:
        hint = nearest(role, runtime.models)
        raise RecipeError(
            f"There is no model of the role '{role}'; add it to 'models' in the recipe.{hint}"
        )
    return runtime.models[role]


def _table(records: Sequence[tuple[object, ...]]) -> pa.Table:
    arrays = [
        pa.array([record[column] for record in records], field.type)
        for column, field in enumerate(LIKELIHOOD)
    ]
    return pa.Table.from_arrays(arrays, schema=LIKELIHOOD)
