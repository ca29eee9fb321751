"""Baselines: what any selector must beat at the same budget.

Published selectors often lose to random choice (arXiv 2410.09335, 2503.01807), and the longest
responses are a strong baseline too. A row's place in the random order is a hash of the seed and
its id, so it depends neither on the other rows nor on their order, and a larger budget keeps all
that a smaller one kept.
"""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.columns import text_column, to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Budgeted, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.stable_hash import stable_hash
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.selectors.budget import Budget, Unit, resolve_budget, unit_codes, unit_keys
from siftline.selectors.quotas.allocation import allocate


class Random(Budgeted):
    """Keeps a random choice.

    Attributes:
        budget: A number, or a share such as `50%`.
        unit: Of the budget: rows, or prompts with all their rows.
        seed: The recipe's, unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["random"] = "random"
    budget: Budget
    unit: Unit = "row"
    seed: int = 0

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep the units with the smallest hashes."""
        keys = unit_keys(corpus, self.unit)
        order = np.argsort(stable_hash(keys, self.seed), kind="stable")
        return _keep_units(corpus, self.unit, order[: resolve_budget(self.budget, len(keys))])


class StratifiedRandom(Budgeted):
    """Keeps a random choice in which every source, or task, has its share of the pool.

    Attributes:
        budget: A number, or a share such as `50%`.
        unit: Of the budget: rows, or prompts with all their rows.
        by: What the strata are. A prompt belongs to the stratum of its first row.
        seed: The recipe's, unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["stratified_random"] = "stratified_random"
    budget: Budget
    unit: Unit = "row"
    by: Literal["source", "task"] = "source"
    seed: int = 0

    def decide(self, corpus: Corpus) -> pa.Table:
        """Give each stratum its proportional share, by largest remainder."""
        keys = unit_keys(corpus, self.unit)
        first = np.unique(unit_codes(corpus, self.unit), return_index=True)[1]
        strata = np.array(text_column(corpus, self.by), dtype=object)[first].astype(str)
        names, labels, sizes = np.unique(strata, return_inverse=True, return_counts=True)
        budget = resolve_budget(self.budget, len(keys))
        quotas = allocate(sizes.tolist(), budget, tau=1.0, floor=0)
        order = np.argsort(stable_hash(keys, self.seed), kind="stable")
        chosen = [order[labels[order] == n][: quotas[n]] for n in range(len(names))]
        return _keep_units(corpus, self.unit, np.concatenate([order[:0], *chosen]))


class Longest(Budgeted):
    """Keeps the longest responses, in characters; a prompt counts by its longest.

    Attributes:
        budget: A number, or a share such as `50%`.
        unit: Of the budget: rows, or prompts with all their rows.
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
        order = np.lexsort((stable_hash(keys, 0), -length))
        return _keep_units(
            corpus, self.unit, order[: resolve_budget(self.budget, len(keys))], gain=length
        )


def _keep_units(
    corpus: Corpus,
    unit: Unit,
    chosen: npt.NDArray[np.int64],
    gain: npt.NDArray[np.float64] | None = None,
) -> pa.Table:
    """Return verdicts that keep all rows of some units, the first of which ranks first."""
    codes = unit_codes(corpus, unit)
    rank = np.zeros(len(unit_keys(corpus, unit)), dtype=np.int64)
    rank[chosen] = np.arange(1, len(chosen) + 1)
    keep = rank[codes] > 0
    ranks = {int(row): int(rank[codes[row]]) for row in np.flatnonzero(keep)}
    reasons = np.where(keep, "selected", "over_budget")
    return verdicts(corpus, keep, reasons, ranks, None if gain is None else gain[codes])
