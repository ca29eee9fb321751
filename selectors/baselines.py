"""Baselines: what any selector must beat at the same budget.

Published selectors often lose to random choice (arXiv 2410.09335, 2503.01807), and the longest
responses are a strong baseline too. A row's place in the random order is a hash of the seed and
its id, so it depends neither on the other rows nor on their order, and a larger budget keeps all
that a smaller one kept.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from siftline.contracts.columns import text_column, to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Budgeted, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.stable_hash import stable_hash
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.selectors.arrays import Float64s, Ints
from siftline.selectors.budget import Budget, Unit, resolve_budget, unit_codes, unit_keys
from siftline.selectors.choices import best_order, random_order, stratified
from siftline.selectors.ranking import rank_in, ranks_by_row


class Random(Budgeted):
    """Keeps a random choice.

    Reasons: `selected`, `over_budget`.

    Attributes:
        budget: What is kept: a number, or a share of the pool such as `50%`.
        unit: What the budget counts: rows, or prompts with all their rows.
        seed: Seeds the random order; the recipe's unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["random"] = "random"
    budget: Budget
    unit: Unit = "row"
    seed: int = 0

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep the units with the smallest hashes."""
        keys = unit_keys(corpus, self.unit)
        order = random_order(keys, self.seed)
        return _keep_units(corpus, self.unit, order[: resolve_budget(self.budget, len(keys))])


class StratifiedRandom(Budgeted):
    """Keeps a random choice in which every source, or task, has its share of the pool.

    Reasons: `selected`, `over_budget`.

    Attributes:
        budget: What is kept: a number, or a share of the pool such as `50%`.
        unit: What the budget counts: rows, or prompts with all their rows.
        by: Whether the strata are sources or tasks. A prompt of several belongs to the first of
            them by name.
        seed: Seeds the random order; the recipe's unless stated.
    """

    revision: ClassVar[int] = 2  # 2: a prompt of several strata, whatever the order of its rows

    kind: Literal["stratified_random"] = "stratified_random"
    budget: Budget
    unit: Unit = "row"
    by: Literal["source", "task"] = "source"
    seed: int = 0

    def decide(self, corpus: Corpus) -> pa.Table:
        """Give each stratum its proportional share, by largest remainder."""
        keys = unit_keys(corpus, self.unit)
        of_row = np.unique(np.array(text_column(corpus, self.by), dtype=str), return_inverse=True)[
            1
        ]
        labels = np.full(len(keys), len(corpus))
        np.minimum.at(labels, unit_codes(corpus, self.unit), of_row)
        labels = np.unique(labels, return_inverse=True)[1]
        budget = resolve_budget(self.budget, len(keys))
        chosen = stratified(random_order(keys, self.seed), labels, budget)
        return _keep_units(corpus, self.unit, chosen)


class Longest(Budgeted):
    """Keeps the longest responses, in characters; a prompt counts by its longest.

    Reasons: `selected`, `over_budget`.

    Attributes:
        budget: What is kept: a number, or a share of the pool such as `50%`.
        unit: What the budget counts: rows, or prompts with all their rows.
    """

    revision: ClassVar[int] = 1

    kind: Literal["longest"] = "longest"
    budget: Budget
    unit: Unit = "row"

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the counts of characters."""
        return (ResponseStatistics(),)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep the units with the longest response; ties by hash."""
        keys = unit_keys(corpus, self.unit)
        chars = to_float(corpus.column("statistics.response_chars"))
        length = np.zeros(len(keys))
        np.maximum.at(length, unit_codes(corpus, self.unit), chars)
        order = best_order(length, stable_hash(keys, 0))
        chosen = order[: resolve_budget(self.budget, len(keys))]
        return _keep_units(corpus, self.unit, chosen, gain=length)


def _keep_units(corpus: Corpus, unit: Unit, chosen: Ints, gain: Float64s | None = None) -> pa.Table:
    """Return verdicts that keep all rows of some units, the first of which ranks first."""
    codes = unit_codes(corpus, unit)
    rank = rank_in(chosen, len(unit_keys(corpus, unit)))[codes]
    reasons = np.where(rank > 0, "selected", "over_budget")
    of_row = None if gain is None else gain[codes]
    return verdicts(corpus, rank > 0, reasons, ranks_by_row(rank), of_row)
