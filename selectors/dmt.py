"""DMT: train on the specialised data first, then on the general data with a little of the special.

Dong et al., ACL 2024 (arXiv 2310.05492): stage 1 is fine-tuning on all specialised data (code,
mathematics), stage 2 on general data plus a fraction k of the specialised, 1/256 in the paper. k
trades the two: in their sweep both gain up to 1/256, and from 1/4 on general ability falls.

Nothing is dropped: the result is two splits. The paper does not say how the fraction is drawn; ours
is random by a seed, spread over the specialised sources in proportion to their rows, each at least
one while the number allows. k counts rows, as in the paper; the report has characters and, with a
tokenizer, tokens, whose shares may be far from those of rows. General data often holds hidden code
and mathematics; the report counts general rows that share a prompt with specialised ones, no more.
"""

import math
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from siftline.contracts.columns import text_column, to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method, verdicts
from siftline.contracts.names import check_known, ingested_pairs
from siftline.contracts.scorer import Key, Scorer
from siftline.contracts.share import ExactShare, fraction_of
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.scorers.token_counts import TokenCounts
from siftline.selectors.arrays import Bools
from siftline.selectors.choices import random_order, stratified
from siftline.selectors.mixing import REPEATS
from siftline.selectors.mixture.groups import by_source_and_task


class Dmt(Method):
    """Keeps every row, and parts them into two splits to be trained on one after the other.

    Reasons: `specialised`, `replayed` (specialised, and in both splits), `general`.

    Score columns of the table `splits`: `stage1` and `stage2`, true where a row is in the split.

    Attributes:
        specialised: Sources or tasks, whose rows are the specialised ones.
        fraction: Share of the specialised rows that stage 2 repeats, rounded up, at least one row;
            0 repeats none.
        model: Role of a model of this machine, whose tokenizer counts tokens for the report.
        seed: Seeds the rows that are repeated; the recipe's unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["dmt"] = "dmt"
    specialised: tuple[str, ...] = Field(min_length=1)
    fraction: ExactShare = "1/256"
    model: str | None = None
    seed: int = 0

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the lengths of responses in characters, and in tokens if a model is named."""
        tokens = () if self.model is None else (TokenCounts(model=self.model),)
        return (ResponseStatistics(), *tokens)

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return the split, or the two, of each row."""
        special = self._specialised(corpus)
        replayed = self._replayed(corpus, special)
        return {"splits": pa.table({"stage1": special, "stage2": ~special | replayed})}

    def derive_key(self) -> Key:
        """Return that splits belong to rows, whatever they say."""
        return "id"

    def decide(self, corpus: Corpus) -> pa.Table:
        """Keep every row.

        Raises:
            RecipeError: `specialised` names what was never read.
        """
        special = self._specialised(corpus)
        replayed = self._replayed(corpus, special)
        reasons = np.select([replayed, special], ["replayed", "specialised"], "general")
        return verdicts(corpus, np.ones(len(corpus), dtype=bool), reasons)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count what each split holds, and what the two have in common."""
        special = self._specialised(corpus)
        replayed = self._replayed(corpus, special)
        second = ~special | replayed
        parts = {"stage1": special, "stage2": second, "replayed": replayed, "general": ~special}
        figures = {name: self._sizes(corpus, rows) for name, rows in parts.items()}
        return {
            "fraction": self.fraction,
            "sizes": figures,
            "replayed_share_of_stage2": {
                name: round(size / whole, 6)
                for name, size in figures["replayed"].items()
                if (whole := figures["stage2"][name])
            },
            "by_source_and_task": _pairs(corpus, parts),
            "general_rows_with_a_specialised_prompt": _in_common(
                corpus, "prompt_id", ~special, special
            ),
            "replayed_rows_that_are_general_too": _in_common(
                corpus, "content_hash", replayed, ~special
            ),
            "warnings": _warnings(special),
        }

    def previewed(self) -> tuple[Scorer, ...]:
        """Return the lengths of responses, which need no weights."""
        return self.scorers()

    def preview(self, corpus: Corpus) -> dict[str, Any]:
        """Return what each split would hold."""
        return self.diagnose(corpus, self.decide(corpus))

    def _specialised(self, corpus: Corpus) -> Bools:
        """Return [rows] true for those of a specialised source or task."""
        known = {name for pair in ingested_pairs(corpus) for name in pair if name}
        check_known("dmt.specialised", self.specialised, known)
        named = pa.array(self.specialised, pa.string())
        columns = (corpus.rows["source"], corpus.rows["task"])
        special: Bools = pc.or_(*[pc.is_in(each, value_set=named) for each in columns]).to_numpy()
        return special

    def _replayed(self, corpus: Corpus, special: Bools) -> Bools:
        """Return [rows] true for the specialised ones that stage 2 repeats."""
        rows = np.flatnonzero(special)
        share = fraction_of(self.fraction)
        count = min(len(rows), max(1, math.ceil(share * len(rows)))) if share else 0
        sources = np.array(text_column(corpus, "source"), dtype=object)[rows].astype(str)
        strata = np.unique(sources, return_inverse=True)[1]
        ids = corpus.rows["id"].take(pa.array(rows)).to_pylist()
        replayed = np.zeros(len(corpus), dtype=bool)
        replayed[rows[stratified(random_order(ids, self.seed), strata, count, floor=1)]] = True
        return replayed

    def _sizes(self, corpus: Corpus, rows: Bools) -> dict[str, int]:
        """Return how much some rows are: rows, characters, and tokens if they were counted.

        Rows that a mixture repeats count as often as they are written.
        """
        times = np.ones(len(corpus))
        if REPEATS in corpus.score_columns:
            times = to_float(corpus.column(REPEATS))
        columns = {"response_chars": "statistics.response_chars"}
        if self.model is not None:
            columns["response_tokens"] = "token_counts.response_tokens"
        amounts = {name: to_float(corpus.column(column)) for name, column in columns.items()}
        every = {"rows": np.ones(len(corpus)), **amounts}
        return {name: int(np.nansum((times * each)[rows])) for name, each in every.items()}


def _pairs(corpus: Corpus, parts: dict[str, Bools]) -> dict[str, dict[str, int]]:
    """Return the rows of each part by source and task."""
    keys, codes = by_source_and_task(corpus)
    counts = {name: np.bincount(codes, rows, minlength=len(keys)) for name, rows in parts.items()}
    return {
        key: {name: int(count[n]) for name, count in counts.items()} for n, key in enumerate(keys)
    }


def _in_common(corpus: Corpus, column: str, rows: Bools, others: Bools) -> int:
    """Return how many of some rows have a value that others have too."""
    values = corpus.rows[column].combine_chunks()
    known = values.filter(pa.array(others))
    return int(pc.sum(pc.is_in(values.filter(pa.array(rows)), value_set=known)).as_py() or 0)


def _warnings(special: Bools) -> list[str]:
    if special.all() or not special.any():
        split = "stage1" if not special.any() else "the general part of stage2"
        return [f"No row is left for {split}; the two stages are one."]
    return []
