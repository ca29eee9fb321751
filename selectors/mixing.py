"""Mixing: a budget of rows or response tokens, spread over sources, tasks or languages by weights.

Without weights the rule is that of T5, FLAN and OPT-IML (arXiv 2212.12017): shares in proportion
to min(size, cap), to the power 1 / temperature. Stated weights take the place of the rule, floors
keep small groups alive, and what a group lacks goes to the others, or is made up by repeating
its rows up to a number of epochs, as UniMax does (arXiv 2304.09151).

Ours differs from those where they sample while training: the mixture is written out, exactly, by
largest remainder, and the report says what was short and where it went.
"""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Field, model_validator

from siftline.contracts.columns import LANGUAGE, MEAN_LOGPROB, score_column, to_float
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.errors import nearest
from siftline.contracts.method import Budgeted, ChoosesByScore, verdicts
from siftline.contracts.names import NOT_STATED
from siftline.contracts.scorer import Key, Scorer
from siftline.contracts.share import Share, fraction_of
from siftline.models.language_codes import CODES
from siftline.scorers.token_counts import TokenCounts
from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.budget import Budget, resolve_budget
from siftline.selectors.choices import best_order, random_order
from siftline.selectors.mixture.groups import Rule, group, without_weight
from siftline.selectors.mixture.plan import Mixture, quotas
from siftline.selectors.mixture.report import mixture_figures
from siftline.selectors.ranking import places, rank_within
from siftline.selectors.unscored import UNSCORED, unscored_figures

REPEATS = "mix.repeats"  # score column: how often a row is written if it is kept
# Means are ranked on this grid of nats a token, which batches of another shape seldom cross.
GRID_DECIMALS = 3
# Groups that the report lists, the largest; `siftline plan` lists all.
SHOWN_GROUPS = 60


def _check_temperature(value: object) -> object:
    """Return a number, or 'inf' for YAML's .inf, which JSON cannot hold."""
    if value in ("inf", float("inf")):
        return "inf"
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0.01:
        return float(value)
    raise ValueError(f"got {value!r}; expected a number of at least 0.01, or 'inf'.")


def _read_weight(value: object) -> object:
    """Read a weight that is written as a share; any other must be a number."""
    return float(fraction_of(value)) if isinstance(value, str) else value


Weight = Annotated[float, BeforeValidator(_read_weight), Field(ge=0, le=10**15)]
Temperature = Annotated[float | Literal["inf"], BeforeValidator(_check_temperature)]


def _is_score(value: str) -> bool:
    """Return whether a text names a column of scores, `table.column`."""
    table, _, column = value.partition(".")
    return table.isidentifier() and column.isidentifier()


def _read_by(value: object) -> object:
    """Return the column of the groups; the language of a row stands for its score."""
    if value == "language":
        return LANGUAGE
    if isinstance(value, str) and (value in ("source", "task") or _is_score(value)):
        return value
    raise ValueError(
        f"got {value!r}; expected 'source', 'task', 'language', or a text score of an earlier "
        "stage as 'table.column'."
    )


By = Annotated[str, BeforeValidator(_read_by)]


class Mix(Budgeted, ChoosesByScore):
    """Keeps a mixture of sources, of tasks or languages, or of either within sources.

    Reasons for keeping: `selected`, `repeated` (written more than once). For dropping:
    `over_budget`, `no_weight` (the group's weight is 0). `unscored`: the tokenizer failed on the
    row, or it lacks the score that `prefer` names, which is no verdict on it.

    Score column of the table `mix`: `repeats`, how often a row is written if it is kept.

    Attributes:
        budget: What is written: a number, or a share such as `50%` of the rows with a score. None
            takes as much as the weights allow, so that no group is short.
        unit: What budget, cap and sizes count: rows or response tokens. Rows are kept exactly;
            tokens never exceed the budget, and miss it by less than one row.
        by: What the groups are: `source`, `task`, `language` (for `language.language`, of the
            method of that name), or any text score of an earlier stage as `table.column`. Rows
            without one are the group `not stated`.
        weights: Share of the whole by the name of the group; groups without one divide what these
            leave by the rule above. If all groups have one, any scale will do. A weight of 0 drops
            a group.
        source_weights: Unless `by` is `source`, share of the whole by the name of the source;
            sources without one divide what these leave by the rule. Each source's share is then
            spread over its tasks, or languages, by their weights or the rule. None makes one level
            of these, whatever source they are from.
        cap: Most that a group's size counts in the rule, in the unit; no bound on what it gives. 0
            is no cap.
        temperature: The rule's; above 1 it evens groups out, `inf` gives each the same.
        floor: Least share of the budget for each group that has a weight, as far as it has rows. A
            group whose own share is larger does not feel it.
        max_epochs: How often a row may be written to fill its group's share; 1 never repeats one.
        prefer: Score column, the higher the better, that decides which rows a group gives; None
            leaves it to the seed. Which rows repeat once more than others is left to the seed.
        unscored: `keep` keeps rows without a score beside the budget, which counts the others;
            `drop` leaves them out.
        model: Role of a model of this machine, whose tokenizer counts; `unit: token` needs it.
        seed: Seeds the random order of the rows; the recipe's unless stated.
    """

    revision: ClassVar[int] = 3  # 3: what lacks the score to prefer by is no part of the budget

    kind: Literal["mix"] = "mix"
    budget: Budget | None = None
    unit: Literal["row", "token"] = "row"
    by: By = "source"
    weights: dict[str, Weight] = {}
    source_weights: dict[str, Weight] | None = None
    cap: int = Field(default=0, ge=0, le=10**15)
    temperature: Temperature = 1.0
    floor: Share = 0.0
    max_epochs: int = Field(default=1, ge=1, le=1000)
    prefer: str | None = None
    model: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _fits_together(self) -> "Mix":
        if self.unit == "token" and self.model is None:
            raise ValueError(
                "unit: got 'token' without 'model'; expected the role of a model whose tokenizer "
                "counts the tokens."
            )
        if self.source_weights is not None and self.by == "source":
            raise ValueError(
                "source_weights: they stand above the tasks of 'by: task'; with 'by: source' "
                "write them as 'weights'."
            )
        for name in self.weights if self.by == LANGUAGE else ():
            if name not in {*CODES, NOT_STATED}:
                raise ValueError(
                    f"weights: got '{name}'; expected the code of a language, such as 'en', or "
                    f"'{NOT_STATED}'.{nearest(name, CODES)}"
                )
        return self

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the token counts, if a model's tokenizer is named."""
        return () if self.model is None else (TokenCounts(model=self.model),)

    def source_names(self) -> tuple[str, ...]:
        """Return the sources that have weights."""
        return tuple(self.weights if self.by == "source" else self.source_weights or {})

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return how often each row is written if it is kept."""
        mixture = self._mixture(corpus)
        counted = mixture.take(mixture.coin)
        repeats = np.ones(len(corpus), dtype=np.int32)
        whole = counted.whole[mixture.labels]
        repeats[mixture.rows[whole]] = counted.times[whole]
        return {"mix": pa.table({"repeats": repeats})}

    def score_columns(self) -> dict[str, str]:
        """Return the scores that earlier stages have measured."""
        scores = {} if self.prefer is None else {"mix.prefer": self.prefer}
        return scores | ({} if self.by in ("source", "task") else {"mix.by": self.by})

    def text_columns(self) -> tuple[str, ...]:
        """Return what the groups are told by."""
        return ("mix.by",)

    def derive_key(self) -> Key:
        """Return that repetitions belong to rows, whatever they say."""
        return "id"

    def decide(self, corpus: Corpus) -> pa.Table:
        """Spend each group's part of the budget on its rows.

        Raises:
            RecipeError: A weight names what was never read, the weights leave nothing for a group
                without one, or no stage before has the score to prefer.
        """
        if not len(corpus):
            return VERDICTS.empty_table()
        mixture = self._mixture(corpus)
        place = self._place(corpus, mixture)
        times = self._times(corpus, mixture, place)
        unscored = self._unscored(corpus, mixture)
        reasons = np.select(
            [unscored, times > 1, times == 1, without_weight(corpus, self._rule())],
            [UNSCORED, "repeated", "selected", "no_weight"],
            "over_budget",
        )
        rank = rank_within(mixture.labels, place)
        ranks = dict(zip(mixture.rows.tolist(), rank.tolist(), strict=True))
        return verdicts(corpus, times > 0, reasons, ranks, self._gain(corpus))

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Report what each group has, was asked for and gives, beside a random choice."""
        return unscored_figures(decided) | self._figures(corpus, SHOWN_GROUPS)

    def previewed(self) -> tuple[Scorer, ...]:
        """Return the token counts."""
        return self.scorers()

    def preview(self, corpus: Corpus) -> dict[str, Any]:
        """Return the table of the mixture with all groups.

        Which rows a group prefers is not known yet, nor does it matter to how much each gives. What
        an earlier stage has yet to tell of each row leaves the groups unknown.
        """
        if not {*self.score_columns().values()} - {self.prefer} <= {*corpus.score_columns}:
            return {"warnings": [f"The groups by '{self.by}' are not known before a run."]}
        return self.model_copy(update={"prefer": None})._figures(corpus, limit=None)

    def _figures(self, corpus: Corpus, limit: int | None) -> dict[str, Any]:
        """Return the table of the mixture.

        Args:
            corpus: What reaches the stage, with its scores.
            limit: Groups that are listed, the largest; None for all.
        """
        mixture = self._mixture(corpus)
        times = self._times(corpus, mixture, self._place(corpus, mixture))
        return mixture_figures(corpus, mixture, times, limit)

    def _mixture(self, corpus: Corpus) -> Mixture:
        rows, cost = self._costs(corpus)
        grouped = group(corpus, rows, cost, self._rule())
        groups = grouped.groups
        if self.budget is None:
            groups = groups.without_empty()
            wanted = groups.within_weights(self.max_epochs, self.floor)
        elif isinstance(self.budget, int):
            wanted = self.budget
        else:
            wanted = resolve_budget(self.budget, int(cost.sum()))
        ids = corpus.rows["id"].take(pa.array(rows)).to_pylist()
        whole, epochs = self.unit == "row", self.max_epochs
        return Mixture(
            names=grouped.names,
            groups=groups,
            rows=rows,
            labels=grouped.labels,
            cost=cost,
            coin=places(random_order(ids, self.seed)),
            wanted=wanted,
            quotas=quotas(groups, wanted, floor=self.floor, epochs=epochs, whole=whole),
            epochs=epochs,
        )

    def _rule(self) -> Rule:
        temperature = float(self.temperature)
        return Rule(self.by, self.weights, self.source_weights, self.cap, temperature)

    def _costs(self, corpus: Corpus) -> tuple[Ints, Ints]:
        """Return the numbers of the rows that can be chosen among, and what each costs.

        They have the score to prefer by, and tokens if these are counted.
        """
        cost = np.ones(len(corpus))
        if self.unit == "token":
            cost = to_float(corpus.column("token_counts.response_tokens"))
        known = np.isfinite(cost)
        if self.prefer is not None:
            known &= np.isfinite(self._gain(corpus))
        rows = np.flatnonzero(known)
        return rows, cost[rows].astype(np.int64)

    def _unscored(self, corpus: Corpus, mixture: Mixture) -> Bools:
        """Return [rows] true for those that are not chosen among, though their group is wanted."""
        unscored = ~without_weight(corpus, self._rule())
        unscored[mixture.rows] = False
        return unscored

    def _times(self, corpus: Corpus, mixture: Mixture, place: Ints) -> Ints:
        """Return [rows] how often each is written, if groups give their rows in an order."""
        times = np.where(self._unscored(corpus, mixture) & (self.unscored == "keep"), 1, 0)
        times[mixture.rows] = mixture.take(place).times
        return times

    def _place(self, corpus: Corpus, mixture: Mixture) -> Ints:
        """Return [counted rows] the order in which groups give rows."""
        worth = self._gain(corpus)[mixture.rows]
        if self.prefer == MEAN_LOGPROB:
            worth = np.round(worth, GRID_DECIMALS)
        return places(best_order(worth, mixture.coin))

    def _gain(self, corpus: Corpus) -> Float64s:
        if self.prefer is None:
            return np.full(len(corpus), np.nan)
        return score_column(corpus, self.prefer, "mix.prefer")
