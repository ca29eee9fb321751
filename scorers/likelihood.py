"""The measurements that run a model: the likelihood of a response, the embedding of a prompt."""

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import Pair, ResponseLikelihood
from siftline.models.loading import load_language_model
from siftline.models.rendering import Template, render

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


class Likelihood(RunsModel, Scorer):
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

    template: Template = "plain"
    max_tokens: int | None = Field(default=None, ge=2)
    score_eos: bool = False

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score the last response of each row.

        Raises:
            ModelError: The model cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        model = load_language_model(runtime.spec(self.model), runtime.device)
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


def _table(records: Sequence[tuple[object, ...]]) -> pa.Table:
    arrays = [
        pa.array([record[column] for record in records], field.type)
        for column, field in enumerate(LIKELIHOOD)
    ]
    return pa.Table.from_arrays(arrays, schema=LIKELIHOOD)
