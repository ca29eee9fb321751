"""K-center: no prompt of the pool lies far from one that is kept.

Farthest first over prompt embeddings (Gonzalez 1985; as core-set selection in Sener and Savarese,
arXiv 1708.00489): the first prompt is the one nearest to the mean of all, each next one lies
farthest from those chosen, so that the largest distance left is at most twice the smallest
possible one. It is the method that seeks out rare prompts most, and with them typing errors,
foreign languages and junk: put filters before it.

Ours: distances are Euclidean between vectors of length one, `sqrt(2 - 2 cosine)`, because the
guarantee needs a metric. Rows of a prompt have one vector, so a prompt gives its second row when
every prompt has given one.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.figures import DECIMALS, mean
from siftline.contracts.method import Budgeted, verdicts
from siftline.contracts.scorer import Scorer
from siftline.selectors.arrays import Float32s, Float64s
from siftline.selectors.budget import Budget, Unit, resolve_budget
from siftline.selectors.ranking import ranks_by_row
from siftline.selectors.unscored import beside_unscored, unscored_figures
from siftline.selectors.vectors.breadth import diversity_figures
from siftline.selectors.vectors.embeddings import embedding_scorers, has_vector, with_vectors
from siftline.selectors.vectors.farthest_first import farthest_first
from siftline.selectors.vectors.prompt_map import prompt_map
from siftline.selectors.vectors.units import (
    embedded_units,
    nearest_similarity,
    rank_rows,
    turns,
)


class KCenter(Budgeted):
    """Keeps a budget of prompts that lie far from one another, each next one the farthest.

    Reasons: `selected`, `over_budget`, and `unscored` for a row with images, sounds or files, which
    the embedder does not see; it is kept beside the budget. The gain of a chosen row is the
    distance of its prompt to those chosen before (null for the first, 0 for further rows of a
    prompt), that of the others their distance to all that is kept.

    Attributes:
        model: Role of the embedder.
        budget: What is kept: a number, or a share of the pool such as `50%`.
        unit: What the budget counts: rows, or prompts with all their rows.
        seed: Seeds the order in which equals are taken; the recipe's unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["k_center"] = "k_center"
    model: str
    budget: Budget
    unit: Unit = "row"
    seed: int = 0

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the embedding of the prompts, and the lengths of responses for the report."""
        return embedding_scorers(self.model)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Choose prompts one by one, each the farthest from those chosen before it."""
        if not len(corpus):
            return VERDICTS.empty_table()
        return beside_unscored(corpus, has_vector(corpus, "prompt"), self._choose, keep=True)

    def _choose(self, corpus: Corpus) -> pa.Table:
        """Choose among prompts that all have a vector."""
        units = embedded_units(corpus, "prompt", "prompt", self.seed)
        budget = resolve_budget(self.budget, len(units) if self.unit == "prompt" else len(corpus))
        centres = farthest_first(units.vectors, min(budget, len(units)))
        turn = turns(units, corpus.rows["id"].to_pylist(), self.seed)
        none_passed = np.empty(0, dtype=np.int64)
        rank = rank_rows(units, centres.order, self.unit, budget, turn, none_passed)
        gain = _distance(centres.similarity)[units.of_row]
        if self.unit == "row":
            gain[(turn > 0) & np.isin(units.of_row, centres.order)] = 0
        keep = rank > 0
        reasons = np.where(keep, "selected", "over_budget")
        return verdicts(corpus, keep, reasons, ranks_by_row(rank), gain)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare how far prompts are from what is kept with a random choice of as many."""
        figures = unscored_figures(decided)
        corpus, decided = with_vectors(corpus, decided, "prompt")
        if not len(corpus):
            return figures
        units = embedded_units(corpus, "prompt", "prompt", self.seed)
        kept = np.unique(units.of_row[decided["keep"].to_numpy()])
        # Units are in random order, so the first ones are a random choice.
        picks = {"selected": kept, "random of equal size": np.arange(len(kept))}
        away = {
            name: _distance(nearest_similarity(units.vectors, units.vectors[chosen]))
            for name, chosen in picks.items()
        }
        return {
            **figures,
            "prompts": len(units),
            "prompts_kept": len(kept),
            "largest_distance": {
                name: round(float(each.max()), DECIMALS) for name, each in away.items()
            },
            "mean_distance": {name: mean(each) for name, each in away.items()},
            **diversity_figures(corpus, decided, unit=self.unit, seed=self.seed),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the map of the prompts, for the report."""
        return {"map": prompt_map(*with_vectors(corpus, decided, "prompt"), seed=self.seed)}


def _distance(similarity: Float32s) -> Float64s:
    """Return Euclidean distances of unit vectors by their cosines."""
    distance: Float64s = np.sqrt(2 - 2 * np.clip(similarity.astype(float), -1, 1))
    return distance
