"""RDS+: the rows of the pool that are most like a target, taken in turns by the target's rows.

Ivison et al., 2025 (arXiv 2503.01807): conversations are embedded by the base model
(siftline.scorers.conversation_embedding); each row of a small target set is a query, and queries
take turns, each taking the nearest row of the pool that is still there, until the budget is
reached. It needs no training, and in the paper it is the best of the compared selectors on average.

Ours differs from the released code: a query whose nearest row is gone takes the next one, where the
code loses its turn; nothing is kept of the cosines but each query's best few, where the code keeps
them all. With several targets the sources take turns, each by its rows' largest cosine to any of
its queries, as the code does for several tasks.

The rows of the target are dropped: they are what one tunes towards, and measures with. A row of
the pool that asks what a target's row asks is not: decontaminate before; the report counts them.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from siftline.contracts.columns import text_column
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.errors import RecipeError, nearest
from siftline.contracts.figures import mean
from siftline.contracts.method import Budgeted, verdicts
from siftline.contracts.scorer import Scorer
from siftline.scorers.conversation_embedding import ConversationEmbedding
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.budget import Budget, Unit, resolve_budget
from siftline.selectors.ranking import rank_in, ranks_by_row
from siftline.selectors.unscored import beside_unscored, unscored_figures
from siftline.selectors.vectors.breadth import diversity_figures
from siftline.selectors.vectors.embeddings import has_vector, with_vectors
from siftline.selectors.vectors.prompt_map import prompt_map
from siftline.selectors.vectors.round_robin import TakenInTurns, round_robin, turns_by_score
from siftline.selectors.vectors.units import (
    DECIMALS,
    VectorUnits,
    embedded_units,
    nearest_similarity,
)


class RdsPlus(Budgeted):
    """Keeps the rows that are nearest to those of target sources, which take turns.

    Reasons: `selected`, `over_budget`, `target` (a row of a target, which is dropped), `unscored`
    (with images, sounds or files, which the model does not see; it is kept). The gain of
    a chosen row is its cosine to the query that took it, or to the nearest query of the source that
    did; of a prompt it is that of the row that was taken.

    Attributes:
        model: Role of the base model, a causal one.
        targets: Sources whose rows are the queries.
        budget: What is kept: a number, or a share such as `50%` of the pool without the targets.
        unit: What the budget counts: rows, or prompts with all their rows outside the targets.
        tasks: With several targets, the sources take turns; otherwise all queries do, so that a
            target counts by its rows.
        max_tokens: Most tokens of a conversation; what is longer is cut.
        seed: Seeds the order of the queries, and of equals; the recipe's unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["rds_plus"] = "rds_plus"
    model: str
    targets: tuple[str, ...] = Field(min_length=1)
    budget: Budget
    unit: Unit = "row"
    tasks: bool = True
    max_tokens: int = Field(default=2048, ge=1)
    seed: int = 0

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the embedding of the conversations, and lengths for the report."""
        embedding = ConversationEmbedding(model=self.model, max_tokens=self.max_tokens)
        return (embedding, ResponseStatistics())

    def source_names(self) -> tuple[str, ...]:
        """Return the targets, which must be among the inputs."""
        return self.targets

    def pool(self, corpus: Corpus) -> Bools:
        """Return [rows] true for all that is not from the targets."""
        return ~np.isin(np.array(text_column(corpus, "source")), self.targets)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Let the queries take rows in turns, until the budget is reached.

        Raises:
            RecipeError: A target has no rows.
        """
        if not len(corpus):
            return VERDICTS.empty_table()
        seen = has_vector(corpus, "conversation")
        decided = beside_unscored(corpus, seen, self._choose, keep=True)
        target = pa.array(~self.pool(corpus))  # dropped, whether a query can be made of it or not
        decided = decided.set_column(1, "keep", pc.and_not(decided["keep"], target))
        return decided.set_column(2, "reason", pc.if_else(target, "target", decided["reason"]))

    def _choose(self, corpus: Corpus) -> pa.Table:
        """Choose among rows that all have a vector."""
        rows = embedded_units(corpus, "row", "conversation", self.seed)
        source = self._sources(corpus)[rows.first_row]
        target = np.isin(source, self.targets)
        pool = np.flatnonzero(~target)
        unit = self._units(corpus, rows)[pool]
        budget = resolve_budget(self.budget, len(np.unique(unit)))
        taken = self._take(rows, source, pool, unit, budget)
        rank, gain = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), np.nan)
        rank_of, gain_of = _by_unit(unit, taken)
        rank[pool], gain[pool] = rank_of[unit], gain_of[unit]
        reasons = np.where(target, "target", np.where(rank > 0, "selected", "over_budget"))
        back = rows.of_row
        return verdicts(corpus, rank[back] > 0, reasons[back], ranks_by_row(rank[back]), gain[back])

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare how near the choice is to the targets with a random one, and where it is from."""
        figures = unscored_figures(decided)
        corpus, decided = with_vectors(corpus, decided, "conversation")
        if not len(corpus):
            return figures
        rows = embedded_units(corpus, "row", "conversation", self.seed)
        sources = self._sources(corpus)
        target = np.isin(sources, self.targets)
        pool = np.flatnonzero(~target[rows.first_row])  # in random order
        similarity = nearest_similarity(
            rows.vectors[pool], rows.vectors[target[rows.first_row]]
        ).astype(np.float64)
        kept = decided["keep"].to_numpy()
        chosen = kept[rows.first_row[pool]]
        prompts = np.array(corpus.rows["prompt_id"].to_pylist())
        asked = ~target & np.isin(prompts, prompts[target])
        return {
            **figures,
            "queries": {name: int((sources == name).sum()) for name in self.targets},
            "mean_similarity_to_the_nearest_query": {
                "pool": mean(similarity),
                "selected": mean(similarity[chosen]),
                "random of equal size": mean(similarity[: int(chosen.sum())]),
            },
            **self._breadth(corpus.filter(~target), decided.filter(pa.array(~target))),
            "rows_of_the_pool_with_a_target_prompt": int(asked.sum()),
            "warnings": _warnings(int(asked.sum()), int((asked & kept).sum())),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the map of the conversations, those of the target among the dropped."""
        corpus, decided = with_vectors(corpus, decided, "conversation")
        return {"map": prompt_map(corpus, decided, seed=self.seed, on="conversation")}

    def _breadth(self, pool: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the figures of breadth of the pool without the targets."""
        if not len(pool):
            return {}
        return diversity_figures(pool, decided, unit=self.unit, on="conversation", seed=self.seed)

    def _sources(self, corpus: Corpus) -> npt.NDArray[np.str_]:
        """Return [rows] the source of each, having checked that every target is one."""
        sources = np.array(text_column(corpus, "source"), dtype=str)
        known = set(sources.tolist())
        for name in self.targets:
            if name not in known:
                raise RecipeError(
                    f"rds_plus.targets: no row of the source '{name}' reaches this stage; expected "
                    f"a source of the recipe's inputs.{nearest(name, known)}"
                )
        return sources

    def _units(self, corpus: Corpus, rows: VectorUnits) -> Ints:
        """Return [rows] the number of each row's unit, rows in their random order."""
        if self.unit == "row":
            return np.arange(len(rows))
        prompts = np.array(corpus.rows["prompt_id"].to_pylist())[rows.first_row]
        codes: Ints = np.unique(prompts, return_inverse=True)[1]
        return codes

    def _take(
        self, rows: VectorUnits, source: npt.NDArray[np.str_], pool: Ints, unit: Ints, budget: int
    ) -> TakenInTurns:
        candidates = rows.vectors[pool]
        if self.tasks and len(self.targets) > 1:
            scores = [
                nearest_similarity(candidates, rows.vectors[source == name])
                for name in self.targets
            ]
            return turns_by_score(
                np.round(np.stack(scores), DECIMALS).astype(np.float32), unit, budget
            )
        queries = rows.vectors[np.isin(source, self.targets)]
        return round_robin(queries, candidates, unit, budget)


def _by_unit(unit: Ints, taken: TakenInTurns) -> tuple[Ints, Float64s]:
    """Return [units] the rank of each that was taken, 0 for the others, and its gain."""
    size = int(unit.max(initial=-1)) + 1
    order = unit[taken.order]
    gain = np.full(size, np.nan)
    gain[order] = taken.similarity
    return rank_in(order, size), gain


def _warnings(asked: int, kept: int) -> list[str]:
    if not asked:
        return []
    return [
        f"{asked} rows of the pool have a prompt of the target, {kept} of them were chosen: after "
        "training on them, the target measures nothing."
    ]
