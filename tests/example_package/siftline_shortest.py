"""A method of another package: keep the shortest responses, counted by a scorer of its own.

It is an example for authors of methods. `pip install` of this folder adds the kind `shortest` to
recipes:

    stages:
      - {kind: shortest, budget: 10%}
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Budgeted, verdicts
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.contracts.stable_hash import stable_hash
from siftline.selectors.budget import Budget, resolve_budget


class Lines(Scorer):
    """The lines of each response, in the table `lines`, column `count`."""

    table: ClassVar[str] = "lines"
    revision: ClassVar[int] = 1

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Count the lines of each response."""
        counts = [turns[-1]["content"].count("\n") + 1 for turns in rows["messages"].to_pylist()]
        return Scored(pa.table({"content_hash": rows["content_hash"], "count": counts}))


class Shortest(Budgeted):
    """Keeps the rows whose responses have the fewest lines.

    Reasons: `selected`, `over_budget`. The gain is the number of lines, negative.

    Attributes:
        budget: A number of rows, or a share such as `50%`.
        unit: Of the budget: rows.
        seed: Of the order among equals; the recipe's, unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["shortest"] = "shortest"
    budget: Budget
    unit: Literal["row"] = "row"
    seed: int = 0

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the lines of responses."""
        return (Lines(),)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep the rows with the fewest lines."""
        if not len(corpus):
            return verdicts(corpus, np.empty(0, dtype=bool), np.empty(0, dtype=object))
        lines = to_float(corpus.column("lines.count"))
        coin = stable_hash(corpus.rows["id"].to_pylist(), self.seed)
        order = np.lexsort((coin, lines))[: resolve_budget(self.budget, len(corpus))]
        keep = np.zeros(len(corpus), dtype=bool)
        keep[order] = True
        ranks = {int(row): rank for rank, row in enumerate(order, start=1)}
        return verdicts(corpus, keep, np.where(keep, "selected", "over_budget"), ranks, -lines)
