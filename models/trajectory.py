"""Loss trajectories: the likelihoods of the same rows under the checkpoints of one model.

Rows are tokenised once, since the checkpoints of a training run share their tokenizer; one
checkpoint is in memory at a time.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from siftline.models.likelihood import (
    NOT_FINITE,
    OK,
    Encoded,
    Likelihoods,
    OnBatch,
    Pair,
    ResponseLikelihood,
)
from siftline.models.loading import open_language_model
from siftline.models.proxy import Proxy, checkpoints_in
from siftline.models.scorers import model_of
from siftline.models.specification import ModelSpec
from siftline.models.turns import render_turns
from siftline.pipelines import progress
from siftline.pipelines.config import Config
from siftline.pipelines.errors import ModelError
from siftline.pipelines.method import Runtime, Scored, Usage

Coded: TypeAlias = Sequence[Encoded | ResponseLikelihood]


def score_checkpoints(
    checkpoints: Sequence[ModelSpec],
    pairs: Sequence[Pair],
    *,
    device: str = "auto",
    max_tokens: int | None = None,
    score_eos: bool = False,
    max_batch_tokens: int | None = None,
    on_batch: OnBatch | None = None,
) -> Iterator[Likelihoods]:
    """Yield the likelihoods of pairs under one checkpoint after the other.

    Args:
        checkpoints: Local models with one tokenizer.
        pairs: Prompts and responses.
        device: As for :func:`siftline.models.loading.load_language_model`.
        max_tokens: Of prompt and response together; None takes the whole window.
        score_eos: Score the token that ends the response too, where it fits.
        max_batch_tokens: Tokens in one forward pass; None takes what suits the device.
        on_batch: Called as by
            :meth:`siftline.models.likelihood.LanguageModel.log_likelihood`, for each checkpoint.

    Raises:
        ModelError: A checkpoint cannot be loaded, or has another tokenizer than the first.
    """

    def encode(first: Any) -> Coded:
        found: Coded = first.encode(pairs, max_tokens=max_tokens, score_eos=score_eos)
        return found

    yield from _score_each(checkpoints, encode, device, max_batch_tokens, on_batch)


def _score_each(
    checkpoints: Sequence[ModelSpec],
    encode: Callable[[Any], Coded],
    device: str,
    max_batch_tokens: int | None,
    on_batch: OnBatch | None,
) -> Iterator[Likelihoods]:
    """Yield the likelihoods under one checkpoint after the other of what the first one encodes."""
    coded, first = None, None
    for spec in checkpoints:
        model = open_language_model(spec, device)
        identity = _identity(model.tokenizer)
        if coded is None:
            first, coded = identity, encode(model)
        elif identity != first:
            raise ModelError(
                f"'{spec.name}' has another tokenizer than '{checkpoints[0].name}'; expected "
                "checkpoints of one training run."
            )
        found = model.score(coded, max_batch_tokens=max_batch_tokens, on_batch=on_batch)
        del model  # before the next one is loaded
        yield found


def _identity(tokenizer: Any) -> object:
    """Return what must be equal for two tokenizers to make the same tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend.to_str() if backend is not None else tokenizer.get_vocab()


class Trajectory(Config):
    """The loss of each response at every checkpoint of a proxy, in the table `trajectory`.

    Score columns: `status` (ok, or why there is none), `losses` (float32[T], mean negative
    log-likelihood in nats of the tokens of all assistant turns and their end tokens), `tokens` (how
    many that are), `truncated`, `first_loss`, `last_loss`. All but the status are null unless ok:
    a loss that is not a number is never taken for 0.

    Attributes:
        model: Role of the proxy's model.
        proxy: How it is trained.
        trained_on: Digest of the rows that it is trained on.
    """

    table: ClassVar[str] = "trajectory"
    revision: ClassVar[int] = 1
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "content_hash"

    model: str
    proxy: Proxy
    trained_on: str

    @property
    def role(self) -> str | None:
        """The role of the proxy's model."""
        return self.model

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score the assistant turns of each row under every checkpoint.

        Raises:
            ModelError: A checkpoint is missing or cannot be run.
        """
        assert runtime.artifact is not None
        spec = model_of(self.model, runtime)
        folders = checkpoints_in(runtime.artifact)
        specs = [spec.model_copy(update={"name": str(folder)}) for folder in folders]
        messages = rows["messages"].to_pylist()
        talks: list[list[Pair | str]] = []

        def encode(first: Any) -> Coded:
            training = self.proxy.training
            talks.extend(render_turns(turns, training.template, first) for turns in messages)
            pairs = [each for talk in talks for each in talk if isinstance(each, Pair)]
            window = min(training.max_tokens, first.window)
            found: Coded = first.encode(pairs, max_tokens=window, score_eos=True)
            return found

        scored = _score_each(
            specs,
            encode,
            runtime.device,
            runtime.max_batch_tokens,
            lambda turns, tokens: progress.advance(0, tokens),
        )
        records: list[list[Loss]] = [[] for _ in messages]
        usage = Usage()
        for number, found in enumerate(scored, start=1):
            usage = usage.plus(found.usage)
            turns = iter(found.rows)
            for record, talk in zip(records, talks, strict=True):
                told = [next(turns) if isinstance(each, Pair) else each for each in talk]
                record.append(_pooled(told))
            # A row is done with its last checkpoint; until then parts of the rows count.
            done = number * len(rows) // len(folders) - (number - 1) * len(rows) // len(folders)
            progress.advance(done)
        return Scored(trajectory_table(self.key, rows[self.key], records), usage)


class Loss(NamedTuple):
    """What one checkpoint says of a row: the mean loss of so many tokens, NaN unless ok."""

    status: str
    value: float = math.nan
    tokens: int | None = None
    truncated: bool | None = None


def _pooled(turns: Sequence[ResponseLikelihood | str]) -> Loss:
    """Return the mean loss over the turns that can be scored; the last one must be among them.

    They are the same turns at all checkpoints: a loss that is not a number spoils the row.
    """
    last = turns[-1]
    if isinstance(last, str) or last.status != OK:
        return Loss(last if isinstance(last, str) else last.status)
    told = [turn for turn in turns if not isinstance(turn, str)]
    if any(turn.status == NOT_FINITE for turn in told):
        return Loss(NOT_FINITE)
    known = [turn for turn in told if turn.status == OK]
    tokens = sum(turn.scored_tokens or 0 for turn in known)
    total = math.fsum(turn.sum_logprob or 0.0 for turn in known)
    return Loss(OK, -total / tokens, tokens, bool(last.truncated))


def trajectory_table(
    key: str, keys: pa.ChunkedArray, records: Sequence[Sequence[Loss]]
) -> pa.Table:
    """Put the losses of all checkpoints into one row each; one that is missing spoils the row.

    Args:
        key: Name of the key column.
        keys: Of the rows.
        records: [rows][checkpoints], as many checkpoints for each row.
    """
    width = len(records[0])
    statuses = [next((e.status for e in record if e.status != OK), OK) for record in records]
    bad = np.array([status != OK for status in statuses])
    losses = np.array([[each.value for each in record] for record in records], dtype=np.float32)
    flat = pa.array(losses.ravel(), pa.float32())
    return pa.table(
        {
            key: keys,
            "status": pa.array(statuses, pa.string()),
            "losses": pa.FixedSizeListArray.from_arrays(flat, width, mask=pa.array(bad)),
            "tokens": pa.array([record[-1].tokens for record in records], pa.int32(), mask=bad),
            "truncated": pa.array([r[-1].truncated for r in records], pa.bool_(), mask=bad),
            "first_loss": pa.array(losses[:, 0], pa.float32(), mask=bad),
            "last_loss": pa.array(losses[:, -1], pa.float32(), mask=bad),
        }
    )
