"""Diversity: a budget spread over clusters of prompts, so that rare instructions keep a place.

Prompts (system and all user turns) are embedded and clustered by spherical k-means; every cluster
gets a floor, the rest is spread in proportion to `prompts**tau`, and a specialist's budget first
over its domain and what is foreign to it. Only-IF (arXiv 2410.04717) gives the evidence: breadth of
instructions decides generalisation, a domain needs about 0.1 % of the rows, and a specialist is
better with 3 to 10 % of foreign rows than with none. It is a study, not an algorithm, so the
algorithm is ours (docs/decisions.md).

The embedder is any model of sentence-transformers, or a causal model's mean hidden states: where
prompts are in many languages or are code, name one in the recipe that was trained on such texts.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from siftline.contracts.columns import score_column
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.method import Budgeted, ChoosesByScore, verdicts
from siftline.contracts.scorer import Key, Scorer
from siftline.contracts.share import Share
from siftline.contracts.stable_hash import stable_hash
from siftline.selectors.arrays import Bools, Float32s, Float64s, Ints
from siftline.selectors.budget import Budget, Unit, resolve_budget
from siftline.selectors.choices import best_order
from siftline.selectors.quotas.clusters import CellUnits, choose, quotas
from siftline.selectors.quotas.domains import (
    Domains,
    Parts,
    Sides,
    domain_figures,
    domain_warnings,
    one_side,
    part_budget,
    sides_of,
)
from siftline.selectors.ranking import places, rank_within
from siftline.selectors.unscored import among_scored, scored_units, unscored_figures
from siftline.selectors.vectors.breadth import diversity_figures
from siftline.selectors.vectors.clusters import Prompts, cluster_prompts, prompts_of
from siftline.selectors.vectors.embeddings import embedding_scorers, has_vector, with_vectors
from siftline.selectors.vectors.novelty import novel_in_cells
from siftline.selectors.vectors.prompt_map import MapKind, check_map, prompt_map

# Scores are ranked on this grid of decimals.
DECIMALS = 6


class Diversity(Budgeted, ChoosesByScore):
    """Keeps a budget of rows or prompts, spread over clusters of prompts.

    Reasons: `selected`, `over_budget`, and `near_duplicate` for what `max_similarity` passes over;
    it stands for a kept row too, where the budget could not be met without it. `unscored`: a row
    without the score that `prefer` names, or with images, sounds or files, which the embedder does
    not see.

    Score columns of the table `diversity`: `cluster`, `similarity` (cosine to its centroid).

    Attributes:
        model: Role of the embedder.
        budget: What is kept: a number, or a share of the pool such as `50%`.
        unit: What the budget counts. Prompts count once each and keep all their rows; rows are
            taken in turns, so a prompt gives its second row when every prompt of its cluster gave
            one. A cluster's weight is its number of prompts in both cases.
        clusters: Number of clusters; None takes the square root of the number of prompts, between
            256 and 4096, but never more than a quarter of the prompts, so that a small pool has
            clusters of several.
        max_cluster_share: Share of the prompts, such as 0.2, above which a cluster is clustered
            again, and so are its parts; None splits none.
        floor: Fewest units per cluster, as a share of the budget; at least one.
        tau: 1 keeps the clusters' proportions, 0 evens them out.
        domains: For a specialist: the domain's share of the budget, and what the domain is. The
            domain and each foreign source divide their parts by their own clusters; what a side
            lacks goes to the others, and the report says so.
        prefer: Score column, the higher the better, that decides inside a cluster;
            `likelihood.mean_logprob` is derived from the stored sum and count. None prefers what
            is nearest to the centroid, the cluster's most typical prompts.
        unscored: `keep` keeps rows without a score beside the budget, which counts the others;
            `drop` leaves them out.
        max_similarity: Largest cosine between prompts of one cluster (with `domains`, of one side
            of it); DEITA's 0.9 is for another embedder. One that is nearer to a prompt before it
            is passed over, and comes back only where the budget, or the side's part of it, cannot
            be met otherwise. None compares nothing.
        map: How the report draws the prompts: `pca`, `umap` (the extra `umap`), or None.
        seed: Seeds the clusters and the order among equals; the recipe's unless stated.
    """

    # 2: clusters weigh by their prompts, not by their rows; means ranked on a grid of 0.001.
    # 3: k-means of large pools starts on a sample.
    # 4: rows without the score to prefer by are kept.
    revision: ClassVar[int] = 4

    kind: Literal["diversity"] = "diversity"
    model: str
    budget: Budget
    unit: Unit = "row"
    clusters: int | None = Field(default=None, ge=1)
    max_cluster_share: Share | None = Field(default=None, gt=0, lt=1)
    floor: Share = 0.001
    tau: float = Field(default=0.5, ge=0, le=1)
    domains: Domains | None = None
    prefer: str | None = None
    max_similarity: float | None = Field(default=None, gt=0, le=1)
    map: MapKind | None = "pca"
    seed: int = 0

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the embedding of the prompts, and the lengths of responses for the report."""
        return embedding_scorers(self.model)

    def source_names(self) -> tuple[str, ...]:
        """Return the sources of the domain."""
        if self.domains is None or self.domains.by != "source":
            return ()
        return self.domains.inside

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return the cluster of each row's prompt.

        Raises:
            ModelError: The map needs UMAP, which is not installed.
        """
        check_map(self.map)
        seen = has_vector(corpus, "prompt")
        if not seen.any():
            return {"diversity": self._clustered(seen, np.empty(0, int), np.empty(0, np.float32))}
        prompts = prompts_of(corpus.filter(seen))
        clusters = cluster_prompts(
            prompts.vectors, self.seed, self.clusters, self.max_cluster_share
        )
        of_row = prompts.of_row
        table = self._clustered(seen, clusters.labels[of_row], clusters.similarity[of_row])
        return {"diversity": table}

    def _clustered(self, seen: Bools, labels: Ints, similarity: Float32s) -> pa.Table:
        """Return the table of clusters, null for the rows that are in none."""
        place = pa.array(np.cumsum(seen) - 1, mask=~seen)
        columns = {
            "cluster": pa.array(labels, pa.int32()).take(place),
            "similarity": pa.array(similarity, pa.float32()).take(place),
        }
        return pa.table(columns)

    def score_columns(self) -> dict[str, str]:
        """Return the score that an earlier stage has measured."""
        return {} if self.prefer is None else {"diversity.prefer": self.prefer}

    def derive_key(self) -> Key:
        """Return that clusters are those of prompts."""
        return "prompt_id"

    def decide(self, corpus: Corpus) -> pa.Table:
        """Allocate the budget to the clusters, and keep the best of each.

        Raises:
            RecipeError: No stage before has the score to prefer, or nothing of a domain was read.
        """
        if not len(corpus):
            return VERDICTS.empty_table()
        score = self._preference(corpus, self._clusters(corpus))
        scored = scored_units(corpus, self.unit, score) & has_vector(corpus, "prompt")
        return among_scored(self, corpus, scored, self._choose)

    def _choose(self, corpus: Corpus) -> pa.Table:
        """Allocate the budget to rows that can all be preferred."""
        prompts = prompts_of(corpus)
        sides = self._sides(corpus, prompts)
        clusters = self._clusters(corpus)
        gain = self._preference(corpus, clusters)
        place = self._places(corpus, prompts, gain)
        units = self._units(prompts, sides, clusters["cluster"].to_numpy(), place)
        budgets = self._parts(sides, units.prompt).given
        chosen = choose(units, quotas(units, budgets, self.floor, self.tau))
        of_row = self._unit_of_row(prompts)
        ranks = dict(enumerate(chosen.rank[of_row].tolist()))
        return verdicts(corpus, chosen.keep[of_row], chosen.reason[of_row], ranks, gain)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare the breadth of the pool, the selection and a random one."""
        figures = unscored_figures(decided)
        corpus, decided = with_vectors(corpus, decided, "prompt")
        if not len(corpus):
            return figures
        clusters = self._clusters(corpus)["cluster"].to_numpy()
        figures |= diversity_figures(
            corpus, decided, unit=self.unit, seed=self.seed, clusters=clusters
        )
        if self.domains is None:
            return figures
        prompts = prompts_of(corpus)
        sides = self._sides(corpus, prompts)
        parts = self._parts(sides, self._prompt_of_unit(prompts))
        return {
            **figures,
            "domains": domain_figures(sides, parts),
            "warnings": domain_warnings(sides, parts),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the map of the prompts, for the report."""
        if self.map is None:
            return {}
        corpus, decided = with_vectors(corpus, decided, "prompt")
        return {"map": prompt_map(corpus, decided, self.map, self.seed)}

    def _clusters(self, corpus: Corpus) -> pa.Table:
        """Return what `derive` has computed, or compute it where nobody has called it."""
        derived = corpus.tables.get("diversity")
        return self.derive(corpus)["diversity"] if derived is None else derived

    def _sides(self, corpus: Corpus, prompts: Prompts) -> Sides:
        if self.domains is None:
            return one_side(len(prompts.keys))
        return sides_of(corpus, prompts.of_row, self.domains)

    def _parts(self, sides: Sides, prompt_of_unit: Ints) -> Parts:
        """Return what each side is to give."""
        sizes = np.bincount(sides.of_prompt[prompt_of_unit], minlength=len(sides.names))
        budget = resolve_budget(self.budget, int(sizes.sum()))
        return part_budget(sizes, budget, 1.0 if self.domains is None else self.domains.share)

    def _unit_of_row(self, prompts: Prompts) -> Ints:
        return np.arange(len(prompts.of_row)) if self.unit == "row" else prompts.of_row

    def _prompt_of_unit(self, prompts: Prompts) -> Ints:
        return prompts.of_row if self.unit == "row" else np.arange(len(prompts.keys))

    def _units(self, prompts: Prompts, sides: Sides, cluster: Ints, place: Ints) -> CellUnits:
        """Return the units in the cells that clusters and sides make.

        Args:
            prompts: The prompts.
            sides: The sides of the prompts.
            cluster: [rows] Number of each row's cluster.
            place: [rows] Place of each row in the order of choice.
        """
        labels = np.empty(len(prompts.keys), dtype=np.int64)
        labels[prompts.of_row] = cluster
        clusters = int(labels.max()) + 1
        codes, cell = np.unique(sides.of_prompt * clusters + labels, return_inverse=True)
        first = np.full(len(labels), len(place))
        np.minimum.at(first, prompts.of_row, place)  # a prompt's place is that of its best row
        near = np.zeros(len(labels), dtype=bool)
        if self.max_similarity is not None:
            order = np.argsort(first)
            near = ~novel_in_cells(prompts.vectors, cell, order, self.max_similarity).keep
        by_row = self.unit == "row"
        return CellUnits(
            prompt=self._prompt_of_unit(prompts),
            place=place if by_row else first,
            prompt_cell=cell,
            prompt_near=near,
            side=codes // clusters,
        )

    def _preference(self, corpus: Corpus, clusters: pa.Table) -> Float64s:
        if self.prefer is None:
            similarity: Float64s = clusters["similarity"].to_numpy().astype(np.float64)
            return similarity
        return score_column(corpus, self.prefer, "diversity.prefer")

    def _places(self, corpus: Corpus, prompts: Prompts, gain: Float64s) -> Ints:
        """Return [rows] each row's place in the order of choice, the rows of a prompt in turns."""
        tie = stable_hash(corpus.rows["id"].to_pylist(), self.seed)
        worth = np.nan_to_num(np.round(gain, DECIMALS), nan=-np.inf)  # unscored rows come last
        by_worth = places(best_order(worth, tie))
        return places(np.lexsort((by_worth, rank_within(prompts.of_row, by_worth))))
