"""Semantic duplicates: of prompts with nearly the same embedding, one is kept.

Prompts are duplicates when the cosine of their embeddings is above a threshold. They are gone
through in an order, and each is dropped when it is a duplicate of one that was kept before it; so
every dropped prompt has a kept one that it is like. The default of 0.95 is ours and careful: with
`builtin:minilm`, all pairs of 4,615 Alpaca prompts above it are paraphrases, and so are those above
0.93; from there down some are other tasks about the same thing (docs/decisions.md).

Up to `exact_up_to` prompts all pairs are compared. Beyond, as in SemDeDup (arXiv 2303.09540),
prompts are put into k-means cells of about 8,192, and only pairs in one cell are compared: pairs
that a border parts are missed. Ours differs from SemDeDup, which goes from the outside of a cell
to its centroid and drops what is near to any row before it, dropped or not.

Prompts of agents are compared where they share what the embedding does not hold: the tools that are
offered, the calls and the results (:mod:`siftline.scorers.prompt_context`). Steps of one task ask
the same and are not the same, and what is right depends on the tools.

Rows of one prompt, candidates for it, are no duplicates of one another: methods that need several
responses to a prompt find them all.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from siftline.contracts.columns import score_column
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.figures import DECIMALS
from siftline.contracts.method import Method, verdicts
from siftline.contracts.scorer import Scorer
from siftline.scorers.prompt_context import PromptContext
from siftline.selectors.arrays import Float32s, Float64s, Ints
from siftline.selectors.budget import Unit, prompt_codes
from siftline.selectors.choices import best_order
from siftline.selectors.unscored import beside_unscored, unscored_figures
from siftline.selectors.vectors.breadth import diversity_figures
from siftline.selectors.vectors.clusters import nearest_centroid
from siftline.selectors.vectors.embeddings import (
    On,
    embedding_scorers,
    has_vector,
    with_vectors,
)
from siftline.selectors.vectors.novelty import NovelInCells, novel_in_cells
from siftline.selectors.vectors.prompt_map import prompt_map
from siftline.selectors.vectors.spherical_kmeans import spherical_kmeans
from siftline.selectors.vectors.units import VectorUnits, best_of_units, embedded_units

# Size of a cell, on average, and how many vectors for each cell its centroids are made from.
CELL_ROWS = 8192
SAMPLE_PER_CELL = 256
# Pairs just below and just above the threshold that the diagnosis shows.
SHOWN = 5


class SemanticDuplicates(Method):
    """Keeps the first of the prompts whose embeddings are nearly the same.

    Reasons: `kept`, `semantic_duplicate`, and `unscored` for a row with images, sounds or files,
    which the embedder does not see; it is kept. The gain is the largest cosine to what was kept
    before, for kept rows too (null where nothing was, or nothing in its cell).

    Attributes:
        model: Role of the embedder.
        threshold: Cosine above which two are duplicates.
        on: `conversation` compares whole conversations, row by row; those of one prompt are still
            no duplicates.
        prefer: Score column, the higher the better, that decides which one is kept: the row's, or
            that of the prompt's best row; `likelihood.mean_logprob` is derived from the stored sum
            and count. None, and equal scores, prefer the smallest hash of the key.
        exact_up_to: Prompts, or conversations, up to which all pairs are compared.
        seed: Seeds hashes and cells; the recipe's unless stated.
    """

    revision: ClassVar[int] = 3  # 2: cells start on a sample; 3: other tools, calls or results

    kind: Literal["semantic_duplicates"] = "semantic_duplicates"
    model: str
    threshold: float = Field(default=0.95, gt=0, le=1)
    on: On = "prompt"
    prefer: str | None = None
    exact_up_to: int = Field(default=100_000, ge=1)
    seed: int = 0

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the embedding of prompts or conversations, and lengths for the report."""
        needed = embedding_scorers(self.model, self.on)
        return (*needed, PromptContext()) if self.on == "prompt" else needed

    def score_columns(self) -> dict[str, str]:
        """Return the score that an earlier stage has measured."""
        return {} if self.prefer is None else {"semantic_duplicates.prefer": self.prefer}

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep each prompt, or conversation, that is no duplicate of one kept before it.

        Raises:
            RecipeError: No earlier stage has measured the preferred score.
        """
        if not len(corpus):
            return VERDICTS.empty_table()
        return beside_unscored(corpus, has_vector(corpus, self.on), self._choose, keep=True)

    def _choose(self, corpus: Corpus) -> pa.Table:
        """Go through units that all have a vector."""
        units = self._units(corpus)
        novel = self._sift(corpus, units)
        keep = novel.keep[units.of_row]
        gain = np.where(novel.similarity > -1, novel.similarity, np.nan)[units.of_row]
        reasons = np.where(keep, "kept", "semantic_duplicate")
        return verdicts(corpus, keep, reasons, gain=gain.astype(np.float64))

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count duplicates by how near they are, and show the pairs next to the threshold."""
        figures = unscored_figures(decided)
        corpus, decided = with_vectors(corpus, decided, self.on)
        if not len(corpus):
            return figures
        units = self._units(corpus)
        keep = decided["keep"].to_numpy()[units.first_row]
        gain = decided["gain"].to_numpy()[units.first_row]
        ids = corpus.rows["id"].to_pylist()
        above, below = _next_to(self.threshold, gain)
        cells = self._cells(len(units))
        return {
            **figures,
            "compared": "all pairs" if cells == 1 else f"pairs in one of {cells} cells",
            f"{self.on}s": len(units),
            f"{self.on}s_dropped": int((~keep).sum()),
            **self._shared(corpus),
            "dropped_by_similarity": _by_similarity(gain[~keep]),
            **{
                name: {ids[units.first_row[n]]: round(float(gain[n]), DECIMALS) for n in numbers}
                for name, numbers in {
                    "next_above_threshold": above,
                    "next_below_threshold": below,
                }.items()
            },
            **diversity_figures(corpus, decided, on=self.on, seed=self.seed),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return the map of what was compared, for the report."""
        corpus, decided = with_vectors(corpus, decided, self.on)
        return {"map": prompt_map(corpus, decided, seed=self.seed, on=self.on)}

    def _units(self, corpus: Corpus) -> VectorUnits:
        unit: Unit = "prompt" if self.on == "prompt" else "row"
        return embedded_units(corpus, unit, self.on, self.seed)

    def _sift(self, corpus: Corpus, units: VectorUnits) -> NovelInCells:
        """Go through the units of each cell, the preferred ones first."""
        score = np.full(len(units), np.nan)
        if self.prefer is not None:
            score_of_row = score_column(corpus, self.prefer, "semantic_duplicates.prefer")
            score = best_of_units(units, score_of_row)
        groups = None if self.on == "prompt" else prompt_codes(corpus)[units.first_row]
        cells = _cells_of(units.vectors, self._cells(len(units)), self.seed)
        if self.on == "prompt":
            context = self._contexts(corpus)[units.first_row]
            cells = np.unique(cells * (context.max() + 1) + context, return_inverse=True)[1]
        return novel_in_cells(units.vectors, cells, best_order(score), self.threshold, groups)

    def _shared(self, corpus: Corpus) -> dict[str, int]:
        """Return how many sets of tools, calls and results part the prompts, for the report."""
        sets = len(np.unique(self._contexts(corpus))) if self.on == "prompt" else 1
        return {"compared_within_sets_of_tools_calls_and_results": sets} if sets > 1 else {}

    def _contexts(self, corpus: Corpus) -> Ints:
        """Return [rows] the number of each one's tools, calls and results, 0 for none."""
        column = corpus.column("prompt_context.hash").dictionary_encode()
        codes: Ints = column.indices.fill_null(-1).to_numpy().astype(np.int64) + 1
        return codes

    def _cells(self, units: int) -> int:
        return 1 if units <= self.exact_up_to else -(-units // CELL_ROWS)


def _cells_of(vectors: Float32s, cells: int, seed: int) -> Ints:
    """Return [rows] the cell of each vector; the centroids are those of the first, a sample."""
    if cells == 1:
        return np.zeros(len(vectors), dtype=np.int64)
    sample = np.ascontiguousarray(vectors[: cells * SAMPLE_PER_CELL])
    return nearest_centroid(vectors, spherical_kmeans(sample, cells, seed).centroids)


def _next_to(threshold: float, gain: Float64s) -> tuple[Ints, Ints]:
    """Return the units whose similarities are the next above and below the threshold."""
    order = np.argsort(gain, kind="stable")[: int(np.isfinite(gain).sum())]
    edge = int(np.searchsorted(gain[order], threshold, side="right"))
    return order[edge : edge + SHOWN], order[max(0, edge - SHOWN) : edge][::-1]


def _by_similarity(similarity: Float64s) -> dict[str, int]:
    """Return counts of similarities by steps of 0.01."""
    steps, counts = np.unique(np.floor(similarity * 100 + 1e-4) / 100, return_counts=True)
    return {f"{step:.2f}": int(count) for step, count in zip(steps, counts, strict=True)}
