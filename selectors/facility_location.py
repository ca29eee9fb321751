"""Facility location: every prompt of the pool is like one that is kept.

Maximises f(S) = sum over rows i of max(0, the largest cosine of i's prompt to one in S), by lazy
greedy (siftline.selectors.vectors.lazy_greedy), on prompt embeddings. It is the second half of
Superfiltering.D (arXiv 2402.00530): a cheap score first, then facility location for breadth.

Ours differs from the released code: the similarity is a clipped cosine, where the code makes one
from Euclidean distances in a dense matrix; and large pools are sampled. Up to 4,096 prompts the
choice is that of the plain greedy algorithm; beyond, the sum runs over a random sample of at least
ten prompts for each choice so far, 4,096 at least, all prompts stay candidates, and each choice is
made better on a larger sample.

An earlier curated dataset can be extended instead of chosen anew: its rows count as chosen, and
what is chosen covers what they leave open.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.errors import InputError, RecipeError
from siftline.contracts.figures import DECIMALS
from siftline.contracts.method import Budgeted, verdicts
from siftline.contracts.scorer import Scorer
from siftline.scorers.membership import Membership
from siftline.selectors.arrays import Bools, Float32s
from siftline.selectors.budget import Budget, Unit, resolve_budget
from siftline.selectors.ranking import ranks_by_row
from siftline.selectors.unscored import beside_unscored, unscored_figures
from siftline.selectors.vectors.breadth import diversity_figures
from siftline.selectors.vectors.embeddings import embedding_scorers, has_vector, with_vectors
from siftline.selectors.vectors.lazy_greedy import lazy_greedy, sample_size
from siftline.selectors.vectors.prompt_map import prompt_map
from siftline.selectors.vectors.units import (
    VectorUnits,
    embedded_units,
    nearest_similarity,
    rank_rows,
    turns,
)

# Prompts of the pool, a random sample, that the diagnosis compares with what is kept.
DIAGNOSED = 10_000


class FacilityLocation(Budgeted):
    """Keeps a budget of prompts such that the pool is as near to them as possible.

    Reasons: `selected`, `initial_subset` (chosen already), `over_budget`, and `unscored` for a row
    with images, sounds or files, which the embedder does not see; it is kept beside the budget. The
    gain of a chosen row
    is what its prompt has added to the objective, in rows of full similarity (prompts, when they
    are the unit), and 0 for further rows of a prompt; the others have none.

    Attributes:
        model: Role of the embedder.
        budget: What is kept: a number, or a share of the pool such as `50%`; the initial subset
            counts towards it.
        unit: What the budget counts: rows, or prompts with all their rows. In the objective a
            prompt counts by its rows, or once.
        initial_subset: A Parquet file with the column `id`, or a folder of `*.parquet`, of rows
            that are kept; see :class:`siftline.scorers.membership.Membership`.
        seed: Seeds the sample and the order in which equals are taken; the recipe's unless stated.
    """

    revision: ClassVar[int] = 2  # 2: choices are made better on a larger sample

    kind: Literal["facility_location"] = "facility_location"
    model: str
    budget: Budget
    unit: Unit = "row"
    initial_subset: str | None = None
    seed: int = 0

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the embedding, lengths for the report, and which rows the initial subset holds."""
        needed = embedding_scorers(self.model)
        if self.initial_subset is None:
            return needed
        return (*needed, Membership(file=self.initial_subset))

    def decide(self, corpus: Corpus) -> pa.Table:
        """Choose prompts one by one, each the one that adds most to the objective.

        Raises:
            InputError: The initial subset holds no row of the corpus.
            RecipeError: It holds more than the budget.
        """
        if not len(corpus):
            return VERDICTS.empty_table()
        return beside_unscored(corpus, has_vector(corpus, "prompt"), self._choose, keep=True)

    def _choose(self, corpus: Corpus) -> pa.Table:
        """Choose among prompts that all have a vector."""
        units = embedded_units(corpus, "prompt", "prompt", self.seed)
        member = self._members(corpus, units)
        held = np.unique(units.of_row[member])
        room = self._room(corpus, units, member)
        count = min(room, len(units) - len(held))
        choices = lazy_greedy(units.vectors, count, self._weight(units), held)
        turn = turns(units, corpus.rows["id"].to_pylist(), self.seed, leading=member)
        rank = rank_rows(units, choices.order, self.unit, room, turn, np.flatnonzero(member))
        added = np.zeros(len(units))
        added[choices.order] = choices.gain
        gain = np.where(rank > 0, added[units.of_row], np.nan)
        if self.unit == "row":
            gain[(rank > 0) & (turn > 0)] = 0
        reasons = np.where(member, "initial_subset", np.where(rank > 0, "selected", "over_budget"))
        return verdicts(corpus, member | (rank > 0), reasons, ranks_by_row(rank), gain)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare how well the pool is covered with a random choice of as many prompts."""
        figures = unscored_figures(decided)
        corpus, decided = with_vectors(corpus, decided, "prompt")
        if not len(corpus):
            return figures
        units = embedded_units(corpus, "prompt", "prompt", self.seed)
        kept = np.unique(units.of_row[decided["keep"].to_numpy()])
        # Units are in random order; but the first ones are the sample that the choice was made on,
        # so the random choice is drawn anew, and what is compared is taken from the end.
        order = np.random.default_rng(self.seed).permutation(len(units))
        shown = slice(max(0, len(units) - DIAGNOSED), len(units))
        weight = self._weight(units)[shown]
        picks = {"selected": kept, "random of equal size": order[: len(kept)]}
        coverage = {
            name: self._coverage(units.vectors[shown], units.vectors[chosen], weight)
            for name, chosen in picks.items()
        }
        members = int((np.array(decided["reason"].to_pylist()) == "initial_subset").sum())
        return {
            **figures,
            "prompts": len(units),
            "prompts_kept": len(kept),
            "rows_of_the_initial_subset": members,
            "prompts_in_the_largest_sample": sample_size(len(kept) - 1, len(units)),
            "mean_similarity_to_what_is_kept": coverage,
            **diversity_figures(corpus, decided, unit=self.unit, seed=self.seed),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the map of the prompts, for the report."""
        return {"map": prompt_map(*with_vectors(corpus, decided, "prompt"), seed=self.seed)}

    def _members(self, corpus: Corpus, units: VectorUnits) -> Bools:
        """Return [rows] true for rows that are chosen already, with all rows of their prompts."""
        if self.initial_subset is None:
            return np.zeros(len(corpus), dtype=bool)
        column = corpus.column("initial_subset.member")
        member: Bools = column.to_numpy(zero_copy_only=False).astype(bool)
        if not member.any():
            raise InputError(
                f"'{self.initial_subset}' holds none of the {len(corpus)} rows that reach this "
                f"stage; expected their ids, such as '{corpus.rows['id'][0]}'. Leave out "
                "'initial_subset' to choose anew."
            )
        if self.unit == "prompt":
            member = np.isin(units.of_row, units.of_row[member])
        return member

    def _room(self, corpus: Corpus, units: VectorUnits, member: Bools) -> int:
        """Return what the initial subset leaves of the budget."""
        if self.unit == "prompt":
            total, held = len(units), len(np.unique(units.of_row[member]))
        else:
            total, held = len(corpus), int(member.sum())
        budget = resolve_budget(self.budget, total)
        if held > budget:
            raise RecipeError(
                f"facility_location.budget: got {budget}, but {held} {self.unit}s of the pool are "
                "in the initial subset, which is kept; expected a larger budget, or a smaller "
                "subset."
            )
        return budget - held

    def _weight(self, units: VectorUnits) -> Float32s:
        rows = units.rows if self.unit == "row" else np.ones(len(units))
        return rows.astype(np.float32)

    def _coverage(self, vectors: Float32s, chosen: Float32s, weight: Float32s) -> float:
        nearest = np.maximum(nearest_similarity(vectors, chosen), 0)
        return round(float(np.average(nearest, weights=weight)), DECIMALS)
