"""The likelihood of each response, given its prompt."""

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import (
    LanguageModel,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
)
from siftline.models.loading import load_language_model
from siftline.models.rendering import NOT_LEARNED, Template, learned_turns, render
from siftline.models.talks import Talk, of_each, talks_of
from siftline.scorers.tables import table_of

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


class LikelihoodFields(RunsModel):
    """The fields that scorers of likelihoods share.

    Attributes:
        model: Role of a language model.
        template: `plain` (GRAPE's, for base models) or `chat` (the model's own).
        max_tokens: Of prompt and response together; None takes the model's window.
        score_eos: Score the token that ends a response too.
    """

    template: Template = "plain"
    max_tokens: int | None = Field(default=None, ge=2)
    score_eos: bool = False


def likelihoods(
    fields: LikelihoodFields,
    model: LanguageModel,
    rendered: Sequence[Pair | str],
    runtime: Runtime,
    on_batch: OnBatch,
) -> Likelihoods:
    """Score responses that were rendered; one that could not be keeps its status.

    Args:
        fields: How.
        model: That of `fields`.
        rendered: Prompts and responses, or why there are none.
        runtime: Where.
        on_batch: Called after each batch with the number of pairs and of tokens.

    Raises:
        ModelError: The model cannot be run on them.
    """
    scored = model.log_likelihood(
        [each for each in rendered if isinstance(each, Pair)],
        max_tokens=fields.max_tokens,
        score_eos=fields.score_eos,
        max_batch_tokens=runtime.max_batch_tokens,
        on_batch=on_batch,
    )
    rows = iter(scored.rows)
    return Likelihoods(
        [next(rows) if isinstance(each, Pair) else ResponseLikelihood(each) for each in rendered],
        scored.usage,
    )


class Likelihood(LikelihoodFields, Scorer):
    """How likely a model finds each response, given its prompt.

    Score columns of the table `likelihood`: those of :data:`LIKELIHOOD`. A row that cannot be
    scored has a status other than `ok` and null scores. A response that calls tools is what it says
    and its calls. One of weight 0, which nobody learns, has the status `not_learned`.
    """

    table: ClassVar[str] = "likelihood"
    revision: ClassVar[int] = 2  # 2: a response that calls tools has a status

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score the last response of each row.

        Raises:
            ModelError: The model cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        model = load_language_model(runtime.spec(self.model), runtime.device)
        rendered = of_each(talks_of(rows), lambda talk: self._rendered(talk, model))
        progress.advance(sum(isinstance(each, str) for each in rendered))
        scored = likelihoods(self, model, rendered, runtime, progress.advance)
        keys = rows["content_hash"].to_pylist()
        records = [(key, *row) for key, row in zip(keys, scored.rows, strict=True)]
        return Scored(table_of(records, LIKELIHOOD), scored.usage)

    def _rendered(self, talk: Talk, model: LanguageModel) -> Pair | str:
        if not learned_turns(talk.messages)[-1]:
            return NOT_LEARNED
        return render(talk.messages, self.template, model, talk.tools)
