"""Diversity: a budget spread over clusters of prompts, so that rare instructions keep a place.

Prompts are embedded and clustered by spherical k-means; every cluster gets a floor, the rest is
spread in proportion to `size**tau`. Only-IF (arXiv 2410.04717) gives the evidence that breadth of
instructions decides generalisation, and that a domain needs about 0.1 % of the rows; it is a study,
not an algorithm, so the algorithm is ours (docs/decisions.md).
"""

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from siftline.models.scorers import PromptEmbedding
from siftline.pipelines.config import Config
from siftline.pipelines.corpus import Corpus
from siftline.pipelines.errors import RecipeError, nearest
from siftline.pipelines.method import Scorer, verdicts
from siftline.selectors.allocation import allocate
from siftline.selectors.budget import (
    Budget,
    Unit,
    mean_logprob,
    prompt_codes,
    resolve_budget,
    shares,
    stable_hash,
    text_column,
    to_float,
)
from siftline.selectors.kmeans import spherical_kmeans

MEAN_LOGPROB = "likelihood.mean_logprob"  # the corpus stores its sum and count


class Diversity(Config):
    """Keeps a budget of rows or prompts, spread over clusters of prompts.

    Attributes:
        model: Role of the embedder.
        budget: A number, or a share such as `50%`.
        unit: Of the budget. Prompts count once each and keep all their rows; rows are taken in
            turns, so a prompt gives its second row when every prompt of its cluster gave one.
        clusters: Their number; None takes the square root of the number of prompts, between 256
            and 4096, but never more than a quarter of the prompts, so that a small pool has
            clusters of several.
        floor: Fewest units per cluster, as a share of the budget; at least one.
        tau: 1 keeps the clusters' proportions, 0 evens them out.
        prefer: Score column, the higher the better, that decides inside a cluster;
            `likelihood.mean_logprob` is derived from the stored sum and count. None prefers what
            is nearest to the centroid, the cluster's most typical prompts.
        seed: The recipe's, unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["diversity"] = "diversity"
    model: str
    budget: Budget
    unit: Unit = "row"
    clusters: int | None = Field(default=None, ge=1)
    floor: float = Field(default=0.001, ge=0, le=1)
    tau: float = Field(default=0.5, ge=0, le=1)
    prefer: str | None = None
    seed: int = 0

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the embedding of the prompts."""
        return (PromptEmbedding(model=self.model),)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Cluster the prompts, allocate the budget, keep the best of each cluster."""
        if not len(corpus):
            return verdicts(corpus, np.empty(0, dtype=bool), np.empty(0, dtype=object))
        label, similarity = self._cluster(corpus)
        gain = self._preference(corpus, similarity)
        place = self._places(corpus, label, gain)
        units = prompt_codes(corpus) if self.unit == "prompt" else np.arange(len(corpus))
        first = np.full(units.max() + 1, len(corpus))
        np.minimum.at(first, units, place)  # a prompt's place is that of its best row
        unit_label = np.empty(len(first), dtype=np.int64)
        unit_label[units] = label
        budget = resolve_budget(self.budget, len(first))
        floor = max(1, int(self.floor * budget))
        quota = allocate(np.bincount(unit_label).tolist(), budget, self.tau, floor)
        rank = np.empty(len(first), dtype=np.int64)
        order = np.lexsort((first, unit_label))
        starts = np.r_[0, np.cumsum(np.bincount(unit_label))[:-1]]
        rank[order] = np.arange(len(order)) - starts[unit_label[order]] + 1
        keep = rank[units] <= quota[label]
        ranks = {row: int(rank[units[row]]) for row in range(len(corpus))}
        return verdicts(corpus, keep, np.where(keep, "selected", "over_budget"), ranks, gain)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare the spread over clusters of the pool, the selection and a random one."""
        label, _ = self._cluster(corpus)
        keep = decided["keep"].to_numpy()
        sources = np.array(text_column(corpus, "source"), dtype=str)
        coin = np.argsort(stable_hash(corpus.rows["id"].to_pylist(), self.seed), kind="stable")
        picks = {
            "pool": np.arange(len(corpus)),
            "selected": np.flatnonzero(keep),
            "random of equal size": coin[: int(keep.sum())],
        }
        return {
            "clusters": int(label.max()) + 1,
            "effective_clusters": {n: _effective(label[rows]) for n, rows in picks.items()},
            "clusters_covered": {n: len(np.unique(label[rows])) for n, rows in picks.items()},
            "largest_cluster_share": {
                name: round(float(np.bincount(label[rows]).max()) / len(rows), 4)
                for name, rows in picks.items()
                if len(rows)
            },
            "source_share": {name: shares(sources[rows]) for name, rows in picks.items()},
        }

    def _cluster(self, corpus: Corpus) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return [rows] the cluster of each row's prompt, and its cosine to the centroid."""
        keys = np.array(corpus.rows["prompt_id"].to_pylist())
        _, first, back = np.unique(keys, return_index=True, return_inverse=True)  # sorted by key
        column = corpus.column("prompt_embedding.vector")
        width = column.type.list_size
        vectors = column.flatten().to_numpy().reshape(-1, width)[first]
        found = spherical_kmeans(np.ascontiguousarray(vectors), self._count(len(first)), self.seed)
        return found.labels[back], found.similarity[back].astype(np.float64)

    def _count(self, prompts: int) -> int:
        if self.clusters is not None:
            return min(self.clusters, prompts)
        return min(int(np.clip(np.sqrt(prompts), 256, 4096)), max(1, prompts // 4))

    def _preference(
        self, corpus: Corpus, similarity: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        if self.prefer is None:
            return similarity
        derived = [MEAN_LOGPROB] if "likelihood" in corpus.tables else []
        if self.prefer in derived:
            return mean_logprob(corpus)
        if self.prefer not in corpus.score_columns:
            known = [*corpus.score_columns, *derived]
            raise RecipeError(
                f"diversity.prefer: no stage before it has the score '{self.prefer}'."
                f"{nearest(self.prefer, known)}"
            )
        return to_float(corpus.column(self.prefer))

    def _places(
        self, corpus: Corpus, label: npt.NDArray[np.int64], gain: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.int64]:
        """Return [rows] each row's place inside its cluster's order, rows of a prompt in turns."""
        ids = corpus.rows["id"].to_pylist()
        tie = stable_hash(ids, self.seed)
        worth = np.nan_to_num(np.round(gain, 6), nan=-np.inf)  # unscored rows come last
        prompts = prompt_codes(corpus)
        by_prompt = np.lexsort((tie, -worth, prompts))
        sizes = np.bincount(prompts)
        turn = np.empty(len(ids), dtype=np.int64)
        starts = np.r_[0, np.cumsum(sizes)[:-1]]
        turn[by_prompt] = np.arange(len(ids)) - starts[prompts[by_prompt]]
        place = np.empty(len(ids), dtype=np.int64)
        place[np.lexsort((tie, -worth, turn, label))] = np.arange(len(ids))
        return place


def _effective(labels: npt.NDArray[np.int64]) -> float:
    """Return exp of the entropy of the clusters' shares: how many clusters it amounts to."""
    if not len(labels):
        return 0.0
    share = np.bincount(labels) / len(labels)
    share = share[share > 0]
    return round(float(np.exp(-(share * np.log(share)).sum())), 2)
