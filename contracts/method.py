"""The contract of a method: what it asks to be measured, and how it decides.

A method is a frozen configuration. What it needs to know about each row it names as *scorers*
(:mod:`siftline.contracts.scorer`). `score` is local and parallel; `decide` is global and cheap.
Methods never edit data and never write files: the runner does both.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.config import Config
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.examples import MESSAGES
from siftline.contracts.scorer import Key, Scorer, in_order
from siftline.contracts.trainer import Training
from siftline.contracts.verbs import check_verbs

REVISED = pa.schema([("id", pa.string()), ("response", pa.string()), ("origin", pa.string())])
MASKED = pa.schema(
    [
        ("id", pa.string()),
        ("messages", MESSAGES),
        ("tools", pa.string()),
        ("media", pa.string()),
        ("metadata", pa.string()),
        ("replaces", pa.bool_()),  # false: the row stays, or is dropped, and readers see this
    ]
)


class Request(NamedTuple):
    """What a method wants to know next.

    Attributes:
        scorer: The measurement. With a training, its fields name the rows that are learned from
            (:func:`siftline.contracts.trainer.rows_digest`).
        rows: [rows] True for the rows to be measured.
        training: What must be trained before.
    """

    scorer: Scorer
    rows: npt.NDArray[np.bool_]
    training: Training | None = None


class Method(Config):
    """A filter or a selector: a frozen configuration that decides on rows.

    Only `decide` must be written; every other verb has a default that does nothing. A subclass may
    have no public name that is neither a field, nor a class variable, nor one of the verbs below:
    a misspelt verb would otherwise never be called.

    Attributes:
        kind: Its name in a recipe, a literal with a default.
        revision: Bumped when the algorithm changes.
    """

    revision: ClassVar[int]

    kind: str

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Refuse a public name that is no verb, and a verb with other arguments.

        Raises:
            TypeError: There is one; the nearest verb, or what it takes, is named.
        """
        super().__pydantic_init_subclass__(**options)
        check_verbs(cls, set(cls.model_fields), strict=True)

    def scorers(self) -> tuple[Scorer, ...]:
        """Return what must be measured on every row before `decide`."""
        return ()

    def follow(self, corpus: Corpus) -> Sequence[Request]:
        """Return what the scores so far call for, on some rows; asked again until it is nothing.

        Args:
            corpus: With what was measured for this method only.
        """
        return ()

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return score tables, by name, that are computed from others, such as clusters.

        The corpus has the scores that the method has asked for, and those of `score_columns`.
        """
        return {}

    def derive_key(self) -> Key:
        """Return what the derived tables are a function of; those of the content are lost with it.

        When a later stage replaces a row's response, they are null for that row.
        """
        return "content_hash"

    @abstractmethod
    def decide(self, corpus: Corpus) -> pa.Table:
        """Return one verdict per row of the corpus, in its order, as `VERDICTS`."""

    def revise(self, corpus: Corpus, decided: pa.Table) -> pa.Table:
        """Return the new responses of some kept rows, as :data:`REVISED`."""
        return REVISED.empty_table()

    def mask(self, corpus: Corpus, decided: pa.Table) -> Iterator[pa.Table]:
        """Yield rows without their personal data, as :data:`MASKED`, those of one shard at a time.

        A row that `replaces` is what every later stage, export and reader sees; of the others only
        what the report shows. Nothing keeps the response that such a row had.
        """
        return iter(())

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return figures for the report as plain data: the method beside its baselines.

        `warnings` is a list of sentences that the terminal shows too.
        """
        return {}

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return what the report draws, as plain data (:mod:`siftline.reports.pictures`)."""
        return {}

    def roles(self) -> tuple[str, ...]:
        """Return the roles of models that it may run, beside those of its `scorers`."""
        return ()

    def local_roles(self) -> tuple[str, ...]:
        """Return those of `roles` that cannot be played on a server."""
        return ()

    def source_names(self) -> tuple[str, ...]:
        """Return the sources that it names, each of which an input must have."""
        return ()

    def score_columns(self) -> dict[str, str]:
        """Return the scores of earlier stages that it reads, `table.column`, by the field's name.

        They are checked before it measures, and measured again where a response was replaced.
        """
        return {}

    def text_columns(self) -> tuple[str, ...]:
        """Return the fields of `score_columns` whose scores are texts; those of others are numbers.

        A score of another type is refused before it measures.
        """
        return ()

    def pool(self, corpus: Corpus) -> npt.NDArray[np.bool_]:
        """Return [rows] true for the rows that a budget may be spent on."""
        return np.ones(len(corpus), dtype=bool)

    def previewed(self) -> tuple[Scorer, ...]:
        """Return the scorers that `preview` reads; they must run without a model's weights."""
        return ()

    def preview(self, corpus: Corpus) -> dict[str, Any]:
        """Return figures for `siftline plan`, as if every row of the corpus reached the stage."""
        return {}


class Budgeted(Method):
    """A method that keeps a number of units.

    Attributes:
        budget: A whole number, or a share of the units that are there; None for no limit.
        unit: What is counted.
    """

    budget: int | float | str | None
    unit: Literal["row", "prompt", "token"]


class ChoosesByScore(Method):
    """A method whose choice needs a score that some rows may not have.

    Attributes:
        unscored: What becomes of these: `keep` keeps them all, beside what a budget buys of the
            others, since a failure is no verdict; `drop` leaves them out.
    """

    unscored: Literal["keep", "drop"] = "keep"


def roles_of(method: Method) -> set[str]:
    """Return the roles of all models that a method may run."""
    scorers = in_order(method.scorers())
    return {*method.roles(), *[scorer.role for scorer in scorers if scorer.role is not None]}


def local_roles_of(method: Method) -> set[str]:
    """Return the roles of models that must be on this machine."""
    scorers = [scorer for scorer in in_order(method.scorers()) if scorer.local]
    return {*method.local_roles(), *[each.role for each in scorers if each.role is not None]}


def verdicts(
    corpus: Corpus,
    keep: npt.NDArray[np.bool_],
    reason: npt.NDArray[Any],
    rank: Mapping[int, int] | None = None,
    gain: npt.NDArray[np.float64] | None = None,
    match: pa.Array | None = None,
    similarity: npt.NDArray[np.float64] | None = None,
) -> pa.Table:
    """Build a verdict table for a corpus.

    Args:
        corpus: Whose rows are judged.
        keep: [rows] True to keep.
        reason: [rows] A slug each.
        rank: Rank by row number, for the rows that are ranked.
        gain: [rows] NaN where there is none.
        match: [rows] The id of what a row was matched with, null where there is nothing.
        similarity: [rows] To it, from 0 to 1; NaN where there is none.
    """
    rows = len(corpus)
    return pa.table(
        {
            "id": corpus.rows["id"],
            "keep": pa.array(keep, pa.bool_()),
            "reason": pa.array(reason, pa.string()),
            "rank": _ranks(rank or {}, rows),
            "gain": _or_nulls(gain, rows),
            "match": pa.nulls(rows, pa.string()) if match is None else match,
            "similarity": _or_nulls(similarity, rows),
        },
        schema=VERDICTS,
    )


def _ranks(rank: Mapping[int, int], rows: int) -> pa.Array:
    """Return [rows] ranks as Arrow holds them, null where there is none."""
    ranks = np.zeros(rows, dtype=np.int32)
    ranked = np.fromiter(rank.keys(), np.int64, len(rank))
    ranks[ranked] = np.fromiter(rank.values(), np.int64, len(rank))
    unranked = np.ones(rows, dtype=bool)
    unranked[ranked] = False
    return pa.array(ranks, pa.int32(), mask=unranked)


def _or_nulls(values: npt.NDArray[np.float64] | None, rows: int) -> pa.Array:
    """Return numbers as Arrow holds them, null where they are NaN or not given."""
    if values is None:
        return pa.nulls(rows, pa.float64())
    return pa.array(values, pa.float64(), from_pandas=True)
