"""Loss trajectories: the likelihoods of the same rows under the checkpoints of one model.

Rows are tokenised once, since the checkpoints of a training run share their tokenizer, and one
model gets the weights of one checkpoint after the other.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import (
    NOT_FINITE,
    OK,
    PROMPT_TOO_LONG,
    Encoded,
    Pair,
    ResponseLikelihood,
)
from siftline.models.talks import talks_of
from siftline.models.training.checkpoints import score_each
from siftline.models.training.proxy import Proxy, checkpoints_in
from siftline.models.training.rows import learned_pairs
from siftline.scorers.tables import vector_column

Coded: TypeAlias = Sequence[Encoded | ResponseLikelihood]


class Trajectory(RunsModel, Scorer):
    """The loss of each response at every checkpoint of a proxy, in the table `trajectory`.

    Score columns: `status` (ok, or why there is none), `losses` (float32[T], mean negative
    log-likelihood in nats of the tokens of all assistant turns and their end tokens, but for turns
    of weight 0), `tokens` (how many that are), `response_tokens` (those of the same turns before
    any cut, without end tokens), `truncated`, `first_loss`, `last_loss`. All but the status are
    null unless ok: a loss that is not a number is never taken for 0.

    Attributes:
        model: Role of the proxy's model.
        proxy: How it is trained.
        trained_on: Digest of the rows that it is trained on.
    """

    table: ClassVar[str] = "trajectory"
    revision: ClassVar[int] = 3  # 3: how many tokens the turns have before any cut
    local: ClassVar[bool] = True

    proxy: Proxy
    trained_on: str

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score the assistant turns of each row under every checkpoint.

        Raises:
            ModelError: A checkpoint is missing or cannot be run.
        """
        assert runtime.artifact is not None
        spec = runtime.spec(self.model)
        folders = checkpoints_in(runtime.artifact)
        specs = [spec.model_copy(update={"name": str(folder)}) for folder in folders]
        talks = talks_of(rows)
        conversations: list[list[Pair | str]] = []  # the rendered turns of each row

        def encode(first: Any) -> Coded:
            training = self.proxy.training
            conversations.extend(learned_pairs(talks, training.template, first))
            pairs = [turn for turns in conversations for turn in turns if isinstance(turn, Pair)]
            window = min(training.max_tokens, first.window)
            coded: Coded = first.encode(pairs, max_tokens=window, score_eos=True)
            return coded

        scored = score_each(
            specs,
            encode,
            runtime.device,
            runtime.max_batch_tokens,
            lambda turns, tokens: progress.advance(0, tokens),
        )
        records: list[list[Loss]] = [[] for _ in talks]
        usage = Usage()
        for number, checkpoint in enumerate(scored, start=1):
            usage = usage.plus(checkpoint.usage)
            likelihoods = iter(checkpoint.rows)
            for record, turns in zip(records, conversations, strict=True):
                measured = [next(likelihoods) if isinstance(t, Pair) else t for t in turns]
                record.append(_pooled(measured))
            # A row is done with its last checkpoint; until then parts of the rows count.
            done = number * len(rows) // len(folders) - (number - 1) * len(rows) // len(folders)
            progress.advance(done)
        return Scored(trajectory_table(self.key, rows[self.key], records), usage)


class Loss(NamedTuple):
    """The loss of a row at one checkpoint.

    Attributes:
        status: `ok`, or why there is none.
        value: Mean negative log-likelihood in nats, NaN unless ok.
        tokens: Over how many tokens it is the mean.
        response_tokens: Of the turns before any cut, without end tokens.
        truncated: Some of the response was cut, or left out, to fit the window.
    """

    status: str
    value: float = math.nan
    tokens: int | None = None
    response_tokens: int | None = None
    truncated: bool | None = None


def _pooled(turns: Sequence[ResponseLikelihood | str]) -> Loss:
    """Return the mean loss over the turns that can be scored.

    What does not fit the window is cut off, as the released code of S2L does, be it whole turns;
    otherwise the last turn must be among the scored. They are the same turns at all checkpoints:
    a loss that is not a number spoils the row.
    """
    statuses = [turn if isinstance(turn, str) else turn.status for turn in turns]
    scored = [turn for turn in turns if not isinstance(turn, str) and turn.status == OK]
    cut = statuses[-1] == PROMPT_TOO_LONG and bool(scored)
    if statuses[-1] != OK and not cut:
        return Loss(statuses[-1])
    if NOT_FINITE in statuses:
        return Loss(NOT_FINITE)
    tokens = sum(turn.scored_tokens or 0 for turn in scored)
    whole = sum(turn.response_tokens or 0 for turn in turns if not isinstance(turn, str))
    total = math.fsum(turn.sum_logprob or 0.0 for turn in scored)
    return Loss(OK, -total / tokens, tokens, whole, cut or bool(scored[-1].truncated))


def trajectory_table(
    key: str, keys: pa.ChunkedArray, records: Sequence[Sequence[Loss]]
) -> pa.Table:
    """Put the losses of all checkpoints into one row each; one that is missing spoils the row.

    Args:
        key: Name of the key column.
        keys: Of the rows.
        records: [rows][checkpoints], as many checkpoints for each row.
    """
    statuses = [next((e.status for e in record if e.status != OK), OK) for record in records]
    bad = np.array([status != OK for status in statuses])
    last = [record[-1] for record in records]
    losses = np.array([[each.value for each in record] for record in records], dtype=np.float32)
    return pa.table(
        {
            key: keys,
            "status": pa.array(statuses, pa.string()),
            "losses": vector_column(losses, missing=bad),
            "tokens": pa.array([each.tokens for each in last], pa.int32(), mask=bad),
            "response_tokens": pa.array(
                [each.response_tokens for each in last], pa.int32(), mask=bad
            ),
            "truncated": pa.array([each.truncated for each in last], pa.bool_(), mask=bad),
            "first_loss": pa.array(losses[:, 0], pa.float32(), mask=bad),
            "last_loss": pa.array(losses[:, -1], pa.float32(), mask=bad),
        }
    )
