"""Near-duplicates: keep one of the rows whose texts have most of their words in common.

Texts are sets of windows of words (:mod:`siftline.scorers.shingles`). Pairs that may be alike are
found by MinHash and bands (Broder 1997; Leskovec et al., Mining of Massive Datasets, chapter 3), as
all tools that clean web pages do. What is ours: no row goes by an estimate. The exact Jaccard
similarity of the two texts decides, of prompt and of response by itself, and a row goes only for
one that stays, not for a chain of others (:mod:`siftline.selectors.duplicates.clusters`).
"""

from collections import Counter
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from siftline.contracts.columns import score_column, to_float
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.method import Method, verdicts
from siftline.contracts.scorer import Key, Scorer
from siftline.scorers.earlier_duplicates import EarlierDuplicates
from siftline.scorers.minhash import MinHash, bands_of
from siftline.scorers.shingles import Over
from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.duplicates.banding import shares_a_band
from siftline.selectors.duplicates.clusters import cluster_rows
from siftline.selectors.duplicates.verification import TextPairs

LEAST_THRESHOLD = 0.5  # below it the bands miss more than a quarter of the pairs
DUPLICATE, KNOWN = "near_duplicate", "near_duplicate_of_existing"
SHOWN_CLUSTERS = 10
SHOWN_ROWS = 3


class NearDuplicates(Method):
    """Keeps the preferred one of rows whose texts are nearly the same.

    Reasons: `kept`; `represents` for a row that stays for others; `near_duplicate`, whose match is
    the row that stays, with the exact similarity of the two: of `both` sides, that of the side that
    is less alike; `near_duplicate_of_existing`, whose match is a row of an existing dataset.

    For example, of `List three fruits.` with `Apples, pears and plums, as you like.` and the same
    with `Apples, pears and plums as you like` one goes: in words they are equal.

    Tools, images, calls and what is trained on are no text: rows that differ in them are never
    duplicates.

    Attributes:
        threshold: Least similarity, from 0.5 on, of two rows of which one goes.
        over: `both` compares prompt and response, each by itself, so that several responses to one
            prompt stay; `prompt` or `response` compares these alone.
        ngram: Words in a shingle.
        prefer: Score column, the higher the better, that decides which row of a cluster stays.
        source_priority: Sources from the most preferred one on, where the scores are equal or
            missing; sources that are not named come last. After that, the smallest id stays.
        against: Earlier datasets, relative to the recipe: folders of curated datasets or of Parquet
            files, Parquet, or JSON lines (:mod:`siftline.scorers.earlier_rows`). What is like a row
            of theirs goes first, and stands for nothing.
        action: `report` keeps the duplicates, with their reason and match.
    """

    revision: ClassVar[int] = 2

    kind: Literal["near_duplicates"] = "near_duplicates"
    threshold: float = Field(default=0.8, ge=LEAST_THRESHOLD, le=1)
    over: Over = "both"
    ngram: int = Field(default=5, ge=1)
    prefer: str | None = None
    source_priority: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    action: Literal["drop", "report"] = "drop"

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the bands of each row, and what earlier datasets hold of it."""
        bands = MinHash(over=self.over, ngram=self.ngram)
        if not self.against:
            return (bands,)
        return (bands, EarlierDuplicates(over=self.over, ngram=self.ngram, paths=self.against))

    def score_columns(self) -> dict[str, str]:
        """Return the score that an earlier stage has measured."""
        return {} if self.prefer is None else {"near_duplicates.prefer": self.prefer}

    def source_names(self) -> tuple[str, ...]:
        """Return the sources that are preferred."""
        return self.source_priority

    def derive(self, corpus: Corpus) -> dict[str, pa.Table]:
        """Return which row stays for each, and with how many others each was compared.

        Score columns of the table `near_duplicates`:
            stays: the id of the row that stays for this one, and the similarity to it.
            compared: with how many rows it was compared.
            alike: how many of these are at least as similar as the threshold.
            given_up: whether some of them were left out, in buckets of very many unlike rows.
        """
        bands = bands_of(corpus.column("minhash.bands"))
        rows = np.flatnonzero(~self._is_known(corpus))
        rows = rows[shares_a_band(bands[rows])]
        rows = rows[self._preference(corpus, rows)]
        shingles = corpus.column("minhash.shingles").to_numpy()[rows]
        texts = TextPairs(corpus, rows, shingles, self.over, self.ngram)
        found = cluster_rows(bands[rows], texts.similarities, self.threshold)
        goes = found.stays != np.arange(len(rows))
        twin = np.full(len(corpus), -1)
        twin[rows[goes]] = rows[found.stays[goes]]
        ids = corpus.rows["id"].combine_chunks()
        match = ids.take(pa.array(twin, mask=twin < 0))
        similarity = pa.array(
            _spread(found.similarity, rows, len(corpus), np.nan), from_pandas=True
        )
        counts = {
            name: _spread(values, rows, len(corpus), 0)
            for name, values in (("compared", found.compared), ("alike", found.alike))
        }
        columns = {name: pa.array(values, pa.int32()) for name, values in counts.items()}
        stays = pa.StructArray.from_arrays([match, similarity], ["id", "similarity"])
        given_up = pa.array(_spread(found.given_up, rows, len(corpus), False))
        return {"near_duplicates": pa.table({"stays": stays, **columns, "given_up": given_up})}

    def derive_key(self) -> Key:
        """Return that a row's twin is a matter of the row, not of its content alone."""
        return "id"

    def decide(self, corpus: Corpus) -> pa.Table:
        """Let each row go for which another one stays."""
        if not len(corpus):
            return VERDICTS.empty_table()
        stays = corpus.column("near_duplicates.stays")
        match, similarity = pc.struct_field(stays, "id"), pc.struct_field(stays, "similarity")
        goes = pc.is_valid(match).to_numpy(zero_copy_only=False)
        represents = pc.is_in(corpus.rows["id"], value_set=match.drop_null()).to_numpy()
        reasons = np.where(goes, DUPLICATE, np.where(represents, "represents", "kept"))
        known = self._is_known(corpus)
        if known.any():
            reasons = np.where(known, KNOWN, reasons)
            theirs = corpus.scores("earlier_duplicates").combine_chunks()
            match = pc.if_else(pa.array(known), theirs["match"], match).combine_chunks()
            similarity = pc.if_else(pa.array(known), theirs["similarity"], similarity)
        keep = ~(goes | known) | (self.action == "report")
        nearness = to_float(similarity)
        return verdicts(corpus, keep, reasons, match=match, similarity=nearness)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count clusters by size, and the pairs that were compared, for the report."""
        known = decided.filter(pc.equal(decided["reason"], KNOWN))
        decided = decided.filter(pc.not_equal(decided["reason"], KNOWN))
        others = Counter(decided["match"].drop_null().to_pylist())
        sizes = Counter(count + 1 for count in others.values())
        compared = pc.sum(corpus.column("near_duplicates.compared")).as_py() // 2
        alike = pc.sum(corpus.column("near_duplicates.alike")).as_py() // 2
        biggest = sorted(others.items(), key=lambda each: (-each[1], each[0]))[:SHOWN_CLUSTERS]
        similarity = decided["similarity"].drop_null().to_numpy()
        given_up = pc.sum(corpus.column("near_duplicates.given_up")).as_py()
        return {
            "clusters": len(others),
            "clusters_by_rows": {str(size): sizes[size] for size in sorted(sizes)},
            "biggest_clusters": {row_id: count + 1 for row_id, count in biggest},
            "duplicates_by_similarity": _by_similarity(similarity),
            "pairs_compared": compared,
            "pairs_alike": alike,
            "pairs_refused": compared - alike,
            **(
                {
                    "rows_like_existing_ones": len(known),
                    "existing_by_similarity": _by_similarity(known["similarity"].to_numpy()),
                }
                if self.against
                else {}
            ),
            **({"rows_not_compared_with_all": given_up} if given_up else {}),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Name a few duplicates that are reported, the smallest ids, and texts of earlier ones."""
        shown = {
            reason: found.sort_by("id").slice(0, SHOWN_ROWS)
            for reason in (DUPLICATE, KNOWN)
            if len(found := decided.filter(pc.equal(decided["reason"], reason)))
        }
        pictures: dict[str, Any] = {}
        if self.action == "report" and shown:
            pictures["reported"] = {name: rows["id"].to_pylist() for name, rows in shown.items()}
        if KNOWN in shown:
            place = pc.index_in(shown[KNOWN]["id"], value_set=corpus.rows["id"].combine_chunks())
            texts = corpus.column("earlier_duplicates.texts").take(place.combine_chunks())
            names = shown[KNOWN]["match"].to_pylist()
            pictures["matched"] = dict(zip(names, texts.to_pylist(), strict=True))
        return pictures

    def _is_known(self, corpus: Corpus) -> Bools:
        """Return [rows] true for the rows that are like one of an earlier dataset."""
        if not self.against:
            return np.zeros(len(corpus), dtype=bool)
        similarity = to_float(corpus.column("earlier_duplicates.similarity"))
        return np.nan_to_num(similarity) >= self.threshold

    def _preference(self, corpus: Corpus, rows: Ints) -> Ints:
        """Return the places of some rows in the order of preference."""
        if self.prefer is None:
            score = np.zeros(len(rows))
        else:
            score = score_column(corpus, self.prefer, "near_duplicates.prefer")[rows]
        taken = corpus.rows.select(["id", "source"]).take(pa.array(rows))
        known = pa.array(self.source_priority, pa.string())
        priority = pc.fill_null(pc.index_in(taken["source"], value_set=known), len(known))
        table = pa.table(
            {
                "score": pa.array(-score, from_pandas=True),  # null, which sorts last, where NaN
                "priority": priority,
                "id": taken["id"],
            }
        )
        keys = [(name, "ascending") for name in table.column_names]
        order: Ints = pc.sort_indices(table, sort_keys=keys).to_numpy().astype(np.int64)
        return order


def _spread(values: Any, rows: Ints, size: int, other: Any) -> Any:
    """Return [size] an array with values at some rows, and another one elsewhere."""
    spread = np.full(size, other, dtype=values.dtype)
    spread[rows] = values
    return spread


def _by_similarity(similarity: Float64s) -> dict[str, int]:
    """Return counts of similarities by steps of 0.05; 1 by itself."""
    steps, counts = np.unique(np.floor(similarity * 20 + 1e-9) / 20, return_counts=True)
    return {f"{step:.2f}": int(count) for step, count in zip(steps, counts, strict=True)}
