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
import pyarrow as pa
from pydantic import Field, model_validator

from siftline.contracts.columns import score_column
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.figures import mean
from siftline.contracts.method import Budgeted, ChoosesByScore, verdicts
from siftline.contracts.scorer import Scorer
from siftline.selectors.budget import Budget, Unit, resolve_budget
from siftline.selectors.choices import best_order, random_order
from siftline.selectors.ranking import places, rank_in, ranks_by_row
from siftline.selectors.unscored import among_scored, scored_units, unscored_figures
from siftline.selectors.vectors.breadth import diversity_figures
from siftline.selectors.vectors.embeddings import (
    On,
    embedding_scorers,
    has_vector,
    with_vectors,
)
from siftline.selectors.vectors.novelty import novel
from siftline.selectors.vectors.prompt_map import prompt_map
from siftline.selectors.vectors.units import best_of_units, embedded_units


class Deita(Budgeted, ChoosesByScore):
    """Keeps the rows of the highest score that are unlike all rows kept before them.

    Reasons: `selected`, `not_novel`, `over_budget` (the budget was reached before its turn),
    `unscored` (no verdict, for it has no score; or no vector, since it holds images, sounds or
    files). The gain is the score. Fewer are kept than the budget when the pool has no more that are
    novel. With `on: prompt` the rows of a prompt have one vector, so at most one is kept.

    Attributes:
        model: Role of the embedder.
        score: Column of an earlier stage, the higher the better; `likelihood.mean_logprob` is
            derived from the stored sum and count. A prompt has the score of its best row.
        budget: What is kept: a number, or a share of the pool such as `50%`.
        unit: What the budget counts: rows, or prompts with all their rows.
        unscored: `keep` keeps rows without a score beside the budget, which counts the others;
            `drop` leaves them out.
        threshold: Largest cosine to a kept row.
        on: Whether prompts or conversations are compared.
        seed: Seeds the order among equal scores; the recipe's unless stated.
    """

    revision: ClassVar[int] = 2  # 2: rows without a score are kept

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
        return embedding_scorers(self.model, self.on)

    def score_columns(self) -> dict[str, str]:
        """Return the score that an earlier stage has measured."""
        return {"deita.score": self.score}

    def decide(self, corpus: Corpus) -> pa.Table:
        """Go through the units by score, and keep what is novel.

        Raises:
            RecipeError: No earlier stage has measured the score.
        """
        if not len(corpus):
            return VERDICTS.empty_table()
        score = score_column(corpus, self.score, "deita.score")
        scored = scored_units(corpus, self.unit, score) & has_vector(corpus, self.on)
        return among_scored(self, corpus, scored, self._choose)

    def _choose(self, corpus: Corpus) -> pa.Table:
        """Go through units that all have a score."""
        score_of_row = score_column(corpus, self.score, "deita.score")
        units = embedded_units(corpus, self.unit, self.on, self.seed)
        order = best_order(best_of_units(units, score_of_row))
        budget = resolve_budget(self.budget, len(units))
        kept, _, seen = novel(units.vectors, order, self.threshold, budget)
        reasons = np.full(len(units), "over_budget", dtype=object)
        reasons[order[:seen]] = "not_novel"
        reasons[kept] = "selected"
        rank = rank_in(kept, len(units))[units.of_row]
        return verdicts(corpus, rank > 0, reasons[units.of_row], ranks_by_row(rank), score_of_row)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare the scores with those of the pool, of a random choice, and of the best alone."""
        score = score_column(corpus, self.score, "deita.score")
        scored = np.isfinite(score)
        selected = np.flatnonzero(decided["keep"].to_numpy() & scored)
        order = random_order(corpus.rows["id"].to_pylist(), self.seed)
        best = best_order(score, places(order))
        picks = {
            "pool": np.flatnonzero(scored),
            "selected": selected,
            "random of equal size": order[scored[order]][: len(selected)],
            "best of equal size": best[: len(selected)],
        }
        return {
            "mean_score": {name: mean(score[rows]) for name, rows in picks.items()},
            **unscored_figures(decided),
            **self._breadth(*with_vectors(corpus, decided, self.on)),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the map of what was compared, for the report."""
        corpus, decided = with_vectors(corpus, decided, self.on)
        return {"map": prompt_map(corpus, decided, seed=self.seed, on=self.on)}

    def _breadth(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        if not len(corpus):
            return {}
        return diversity_figures(corpus, decided, unit=self.unit, on=self.on, seed=self.seed)
