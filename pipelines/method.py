"""The contract of every method: what it measures row by row, and how it decides.

A method is a frozen configuration. What it needs to know about each row it names as *scorers*,
frozen configurations of their own, so that a threshold is no part of a score's identity, and two
methods that need the same score share it. `score` is local and parallel; `decide` is global and
cheap. Methods never edit data and never write files: the runner does both.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from siftline.models.specification import ModelSpec
from siftline.pipelines.config import Config
from siftline.pipelines.corpus import VERDICTS, Corpus


class Runtime(Config):
    """Where and how a run is computed. Nothing here may change a result beyond rounding.

    Attributes:
        models: The recipe's models by role.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, or several such as `cuda:0,cuda:1`.
        max_batch_tokens: Tokens in one forward pass; None takes what suits the device.
        shard_rows: Examples in one shard of a new version.
        artifact: What was trained for the scorer at hand; the runner fills it in.
        base: Folder that the files named by scorers are relative to; likewise.
    """

    models: dict[str, ModelSpec] = {}
    device: str = "auto"
    max_batch_tokens: int | None = Field(default=None, ge=1)
    shard_rows: int = Field(default=4096, ge=1)
    artifact: Path | None = None
    base: Path = Path()

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that score shards, each in a process of its own if there are several."""
        return tuple(name.strip() for name in self.device.split(","))

    def on(self, device: str) -> "Runtime":
        """Return the same on one device."""
        return self.model_copy(update={"device": device})


class Usage(NamedTuple):
    """What a score has cost.

    Attributes:
        model_calls: Forward passes, each of one batch.
        tokens: Tokens that went through a model, padding not counted.
    """

    model_calls: int = 0
    tokens: int = 0

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum of two usages."""
        return Usage(self.model_calls + other.model_calls, self.tokens + other.tokens)


class Scored(NamedTuple):
    """The result of a scorer on a table of rows.

    Attributes:
        table: The key column first, then the scores; as many rows as went in, in their order.
        usage: What it has cost.
    """

    table: pa.Table
    usage: Usage = Usage()


class Scorer(Protocol):
    """A measurement of each row by itself: a frozen configuration whose result is cached by row.

    Optional properties: `needs`, the scorers whose results it reads. They are fields of it, and so
    part of its identity; for each of them its rows have one column more, named by that scorer's
    table: a struct of its score columns. `files`, what it reads beside the rows, relative to
    `Runtime.base`; their content is part of its identity.

    Attributes:
        table: The name of the score table.
        revision: Bumped when the algorithm changes, so that old scores are not reused.
        key: What the score is a function of.
        role: The role of the model that it runs, or None.
    """

    table: ClassVar[str]
    revision: ClassVar[int]

    @property
    def key(self) -> Literal["content_hash", "prompt_id", "id"]:
        """What the score is a function of: the whole row, its prompt, or its name (a file's)."""
        ...

    @property
    def role(self) -> str | None:
        """The role of the model that it runs, or None."""
        ...

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Score rows of the examples' schema, unique by `key`.

        A row that cannot be scored gets a status, never a default value; a failure of the
        machinery (a model that cannot be loaded, a server that is gone) is raised.
        """
        ...

    def model_dump(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the fields, which are part of the scores' identity (pydantic)."""
        ...


class Trainer(Protocol):
    """How a model is trained for a method: a frozen configuration.

    Attributes:
        revision: Bumped when the algorithm changes.
    """

    revision: ClassVar[int]

    @property
    def role(self) -> str:
        """The role of the model that is trained."""
        ...

    def fit(self, corpus: Corpus, runtime: Runtime, folder: Path) -> Usage:
        """Train on a corpus.

        The result depends on the set of rows, not on their order.

        Args:
            corpus: The rows to learn from.
            runtime: Where and how.
            folder: What was learned is written there. It may hold what a call that was interrupted
                has left, which is of the same configuration and rows.
        """
        ...

    def model_dump(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the fields, which are part of what is trained (pydantic)."""
        ...


class Training(NamedTuple):
    """A model to be trained before a scorer can run.

    Attributes:
        trainer: How.
        rows: [rows] True for the rows to learn from.
    """

    trainer: Trainer
    rows: npt.NDArray[np.bool_]


class Request(NamedTuple):
    """What a method wants to know next.

    Attributes:
        scorer: The measurement. With a training, its fields name the rows that are learned from
            (:func:`rows_digest`).
        rows: [rows] True for the rows to be measured.
        training: What must be trained before.
    """

    scorer: Scorer
    rows: npt.NDArray[np.bool_]
    training: Training | None = None


class Method(Protocol):
    """A filter or a selector: a frozen configuration that decides on rows.

    Optional verbs: `follow(corpus)` returns the :class:`Request` that the scores so far call for,
    and is asked again until it returns none; `derive(corpus)` returns score tables that are
    computed from others, by name; `revise(corpus, verdicts)` returns new responses, as
    :data:`REVISED`; `diagnose(corpus, verdicts)` returns figures for the report, and
    `picture(corpus, verdicts)` what it draws (:mod:`siftline.reports.pictures`); `roles()` names
    the models of followers, and `local_roles()` those that cannot be on a server.

    Attributes:
        kind: Its name in a recipe.
        revision: Bumped when the algorithm changes.
    """

    revision: ClassVar[int]

    @property
    def kind(self) -> str:
        """The method's name in a recipe."""
        ...

    def scorers(self) -> tuple[Scorer, ...]:
        """Return what must be measured before `decide`."""
        ...

    def decide(self, corpus: Corpus) -> pa.Table:
        """Return one verdict per row of the corpus, in its order, as :data:`VERDICTS`."""
        ...

    def model_dump(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the fields (pydantic)."""
        ...


REVISED = pa.schema([("id", pa.string()), ("response", pa.string()), ("origin", pa.string())])


def rows_digest(corpus: Corpus, rows: npt.NDArray[np.bool_]) -> str:
    """Return 16 hex digits for a set of rows, whatever their order."""
    digest = hashlib.sha256()
    for key in sorted(corpus.rows["content_hash"].filter(pa.array(rows)).to_pylist()):
        digest.update(key.encode())
    return digest.hexdigest()[:16]


def needs_of(scorer: Scorer) -> tuple[Scorer, ...]:
    """Return the scorers whose results a scorer reads."""
    found: tuple[Scorer, ...] = getattr(scorer, "needs", ())
    return found


def files_of(scorer: Scorer) -> tuple[str, ...]:
    """Return the files that a scorer reads beside the rows."""
    found: tuple[str, ...] = getattr(scorer, "files", ())
    return found


def in_order(scorers: Sequence[Scorer]) -> list[Scorer]:
    """Return scorers and all that they need, each once, after what it needs."""
    found: list[Scorer] = []
    for scorer in scorers:
        for each in [*in_order(needs_of(scorer)), scorer]:
            if each not in found:
                found.append(each)
    return found


def roles_of(method: Method) -> set[str]:
    """Return the roles of all models that a method may run."""
    found = set(getattr(method, "roles", tuple)())
    scorers = in_order(method.scorers())
    return found | {scorer.role for scorer in scorers if scorer.role is not None}


def verdicts(
    corpus: Corpus,
    keep: npt.NDArray[np.bool_],
    reason: npt.NDArray[Any],
    rank: Mapping[int, int] | None = None,
    gain: npt.NDArray[np.float64] | None = None,
) -> pa.Table:
    """Build a verdict table for a corpus.

    Args:
        corpus: Whose rows are judged.
        keep: [rows] True to keep.
        reason: [rows] A slug each.
        rank: Rank by row number, for the rows that are ranked.
        gain: [rows] NaN where there is none.
    """
    ranks = rank or {}
    return pa.table(
        {
            "id": corpus.rows["id"],
            "keep": pa.array(keep, pa.bool_()),
            "reason": pa.array([str(slug) for slug in reason], pa.string()),
            "rank": pa.array([ranks.get(row) for row in range(len(corpus))], pa.int32()),
            "gain": pa.array(
                np.full(len(corpus), np.nan) if gain is None else gain,
                pa.float64(),
                from_pandas=True,
            ),
        },
        schema=VERDICTS,
    )
