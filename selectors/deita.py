"""DEITA: the best rows first, and none that is like one already kept.

Liu et al., ICLR 2024 (arXiv 2312.15685): rows are sorted by a score (complexity times quality in
the paper), and each is kept if its largest cosine to the rows kept so far is at most 0.9, until the
budget is reached.

Ours differs: the score is any column that an earlier stage has measured. A row is compared with
kept rows only; the released code also turns away what is like a row of the same batch that was
itself turned away. Vectors are those of prompts by a sentence embedder, or of conversations
(`on: conversation`); the paper's are of the last token of a language model, for which 0.9 was
chosen. With vectors of causal models set another threshold: theirs lie close together.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator

from siftline.contracts.columns import score_column
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Budgeted, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.stable_hash import stable_hash
from siftline.scorers.conversation_embedding import ConversationEmbedding
from siftline.scorers.prompt_embedding import PromptEmbedding
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.selectors.budget import Budget, Unit, resolve_budget
from siftline.selectors.vectors.breadth import diversity_figures
from siftline.selectors.vectors.clusters import On
from siftline.selectors.vectors.novelty import novel
from siftline.selectors.vectors.prompt_map import prompt_map
from siftline.selectors.vectors.units import best_of_units, embedded_units, order_by, ranks


class Deita(Budgeted):
    """Keeps the rows of the highest score that are unlike all rows kept before them.

    Reasons: `selected`, `not_novel`, `over_budget` (the budget was reached before its turn),
    `no_score`. The gain is the score. Fewer are kept than the budget when the pool has no more that
    are novel. With `on: prompt` the rows of a prompt have one vector, so at most one is kept.

    Attributes:
        model: Role of the embedder.
        score: Column of an earlier stage, the higher the better; `likelihood.mean_logprob` is
            derived from the stored sum and count. A prompt has the score of its best row.
        budget: A number, or a share such as `50%`.
        unit: Of the budget: rows, or prompts with all their rows.
        threshold: Largest cosine to a kept row.
        on: What is compared.
        seed: Of the order among equal scores; the recipe's, unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["deita"] = "deita"
    model: str
    score: str
    budget: Budget
    unit: Unit = "row"
    threshold: float = Field(default=0.9, gt=-1, le=1)
    on: On = "prompt"
    seed: int = 0

    @model_validator(mode="after")
    def _prompts_have_one_vector(self) -> "Deita":
        if self.unit == "prompt" and self.on == "conversation":
            raise ValueError(
                "on: got 'conversation', of which a prompt may have several; expected 'prompt', or "
                "unit: row."
            )
        return self

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the embedding of prompts or conversations, and lengths for the report."""
        if self.on == "prompt":
            return (PromptEmbedding(model=self.model), ResponseStatistics())
        return (ConversationEmbedding(model=self.model), ResponseStatistics())

    def decide(self, corpus: Corpus) -> pa.Table:
        """Go through the units by score, and keep what is novel.

        Raises:
            RecipeError: No earlier stage has measured the score.
        """
        if not len(corpus):
            return verdicts(corpus, np.empty(0, dtype=bool), np.empty(0, dtype=object))
        of_row = score_column(corpus, self.score, "deita.score")
        units = embedded_units(corpus, self.unit, f"{self.on}_embedding", self.seed)
        score = best_of_units(units, of_row)
        order = order_by(score)[: int(np.isfinite(score).sum())]
        found = novel(units.vectors, order, self.threshold, resolve_budget(self.budget, len(units)))
        reasons = np.full(len(units), "no_score", dtype=object)
        reasons[order] = "over_budget"
        reasons[order[: found.seen]] = "not_novel"
        reasons[found.kept] = "selected"
        rank = np.zeros(len(units), dtype=np.int64)
        rank[found.kept] = np.arange(1, len(found.kept) + 1)
        rank = rank[units.of_row]
        return verdicts(corpus, rank > 0, reasons[units.of_row], ranks(rank), of_row)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare the scores with those of the pool, of a random choice, and of the best alone."""
        score = score_column(corpus, self.score, "deita.score")
        kept = decided["keep"].to_numpy()
        scored = np.flatnonzero(np.isfinite(score))
        coin = stable_hash(corpus.rows["id"].to_pylist(), self.seed)[scored]
        size = int((kept & np.isfinite(score)).sum())
        picks = {
            "pool": scored,
            "selected": np.flatnonzero(kept & np.isfinite(score)),
            "random of equal size": scored[np.argsort(coin, kind="stable")[:size]],
            "best of equal size": scored[np.lexsort((coin, -score[scored]))[:size]],
        }
        return {
            "mean_score": {name: _mean(score[rows]) for name, rows in picks.items()},
            **diversity_figures(corpus, decided, unit=self.unit, on=self.on, seed=self.seed),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the map of what was compared, for the report."""
        return {"map": prompt_map(corpus, decided, seed=self.seed, on=self.on)}


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None
