"""The likelihood of every assistant turn of a conversation, and of all of them together.

The turns of one conversation cost one forward pass: earlier ones are read off the last
(siftline.models.engine.packing).
"""

import math
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import OK, Pair, ResponseLikelihood
from siftline.models.loading import load_language_model
from siftline.models.rendering import Template, render_turns

TURN_LIKELIHOOD = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or that of the first turn that is not
        ("sum_logprob", pa.float64()),  # of all turns, in nats; null unless all are ok
        ("scored_tokens", pa.int32()),  # of all turns; null unless all are ok
        ("turn_status", pa.list_(pa.string())),  # one for each assistant turn, as those below
        ("turn_sum_logprob", pa.list_(pa.float64())),
        ("turn_scored_tokens", pa.list_(pa.int32())),
    ]
)


class TurnLikelihood(RunsModel, Scorer):
    """How likely a model finds each assistant turn, given all before it, and the pooled score.

    Score columns of the table `turn_likelihood`: those of :data:`TURN_LIKELIHOOD`.

    Attributes:
        model: Role of a language model.
        template: `plain` or `chat`; a turn that the template renders otherwise once others follow
            has the status `template_mismatch`.
        max_tokens: Of a conversation; None takes the model's window.
        score_eos: Score the tokens that end the turns too.
    """

    table: ClassVar[str] = "turn_likelihood"
    revision: ClassVar[int] = 1

    template: Template = "plain"
    max_tokens: int | None = Field(default=None, ge=2)
    score_eos: bool = False

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score the assistant turns of each row.

        Raises:
            ModelError: The model cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        model = load_language_model(runtime.spec(self.model), runtime.device)
        talks = [
            render_turns(turns, self.template, model) for turns in rows["messages"].to_pylist()
        ]
        found = model.log_likelihood(
            [each for talk in talks for each in talk if isinstance(each, Pair)],
            max_tokens=self.max_tokens,
            score_eos=self.score_eos,
            max_batch_tokens=runtime.max_batch_tokens,
            on_batch=lambda turns, tokens: progress.advance(0, tokens),
        )
        scored = iter(found.rows)
        records = []
        for key, talk in zip(rows["content_hash"].to_pylist(), talks, strict=True):
            turns = [
                next(scored) if isinstance(each, Pair) else ResponseLikelihood(each)
                for each in talk
            ]
            records.append({"content_hash": key, **_pooled(turns)})
        progress.advance(len(records))
        return Scored(pa.Table.from_pylist(records, schema=TURN_LIKELIHOOD), found.usage)


def _pooled(turns: list[ResponseLikelihood]) -> dict[str, object]:
    bad = [turn.status for turn in turns if turn.status != OK]
    return {
        "status": bad[0] if bad else OK,
        "sum_logprob": None if bad else math.fsum(turn.sum_logprob or 0.0 for turn in turns),
        "scored_tokens": None if bad else sum(turn.scored_tokens or 0 for turn in turns),
        "turn_status": [turn.status for turn in turns],
        "turn_sum_logprob": [turn.sum_logprob for turn in turns],
        "turn_scored_tokens": [turn.scored_tokens for turn in turns],
    }
