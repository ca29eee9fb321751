"""The likelihood of every assistant turn of a conversation, and of all of them together.

The turns of one conversation cost one forward pass: earlier ones are read off the last
(:mod:`siftline.models.engine.packing`).
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import OK, Pair, ResponseLikelihood
from siftline.models.loading import load_language_model
from siftline.models.rendering import NOT_LEARNED, learned_turns, render_turns
from siftline.models.talks import talks_of
from siftline.scorers.likelihood import LikelihoodFields, likelihoods
from siftline.scorers.tables import table_of

TURN_LIKELIHOOD = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or that of the first learned turn that is not
        ("sum_logprob", pa.float64()),  # of all learned turns, in nats; null unless all are ok
        ("scored_tokens", pa.int32()),  # of the same turns; null unless all are ok
        ("turn_status", pa.list_(pa.string())),  # one for each assistant turn, as those below
        ("turn_sum_logprob", pa.list_(pa.float64())),
        ("turn_scored_tokens", pa.list_(pa.int32())),
    ]
)


class TurnLikelihood(LikelihoodFields, Scorer):
    """How likely a model finds each assistant turn, given all before it, and the pooled score.

    Score columns of the table `turn_likelihood`: those of :data:`TURN_LIKELIHOOD`. A turn that the
    chat template renders otherwise once others follow has the status `template_mismatch`. Turns of
    weight 0 have scores of their own, and no part in those of the row.
    """

    table: ClassVar[str] = "turn_likelihood"
    revision: ClassVar[int] = 2  # 2: a turn that calls tools has a status

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score the assistant turns of each row.

        Raises:
            ModelError: The model cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        model = load_language_model(runtime.spec(self.model), runtime.device)
        talks = talks_of(rows)
        conversations: list[list[Pair | str]] = [
            [talk]
            if isinstance(talk, str)
            else render_turns(talk.messages, self.template, model, talk.tools)
            for talk in talks
        ]
        learned = [
            [True] if isinstance(talk, str) else learned_turns(talk.messages) for talk in talks
        ]
        scored = likelihoods(
            self,
            model,
            [turn for turns in conversations for turn in turns],
            runtime,
            lambda turns, tokens: progress.advance(0, tokens),
        )
        remaining = iter(scored.rows)
        keys = rows["content_hash"].to_pylist()
        records = [
            (key, *_record([next(remaining) for _ in counts], counts))
            for key, counts in zip(keys, learned, strict=True)
        ]
        progress.advance(len(records))
        return Scored(table_of(records, TURN_LIKELIHOOD), scored.usage)


def _record(turns: Sequence[ResponseLikelihood], learned: Sequence[bool]) -> tuple[Any, ...]:
    """Return the columns of one row after the key.

    Args:
        turns: The scores of its assistant turns.
        learned: Which of them count.
    """
    pooled = [turn for turn, counts in zip(turns, learned, strict=True) if counts]
    failures = [turn.status for turn in pooled if turn.status != OK]
    failures += [] if pooled else [NOT_LEARNED]
    return (
        failures[0] if failures else OK,
        None if failures else math.fsum(turn.sum_logprob or 0.0 for turn in pooled),
        None if failures else sum(turn.scored_tokens or 0 for turn in pooled),
        [turn.status for turn in turns],
        [turn.sum_logprob for turn in turns],
        [turn.scored_tokens for turn in turns],
    )
