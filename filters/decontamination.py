"""Decontamination: find rows that hold items of benchmarks, and say how sure that is.

A model that was trained on a benchmark's items is not measured by it. So every text of a row
(prompt, response, thoughts, calls, results of tools) is compared with every question of the
benchmarks, and with every answer that is a text of its own. Words are compared: case, white space,
punctuation and the width of characters are form. What counts, the strongest first:

- `options`: a question and all of its options stand in one text, the options in any order.
- `exact`: a whole question, or answer, stands in one text.
- `ngram`: a share of at least `min_share` of its n-grams of `ngram_words` words is there.
- `numbers`: it is there, whole or to that share, with other numbers: of its n-grams that hold one,
  more are there with another than with the same. Problems of one template are how a benchmark was
  made, and no leak of an item; so they are told apart, and reported by default.
- `paraphrase`: the last question of the user means nearly what a question of a benchmark means, by
  the cosine of two embeddings, and has most of its numbers. Only where an embedder is named, and no
  words are evidence; it is a guess that is to be read, and reported by default.

8-grams and a share of one half are those of Tülu 3 (arXiv 2411.15124). Ours differs in what is
evidence. A text of fewer than `ngram_words` words is none: "What is the capital of France?" is
everybody's. And an n-gram is none where it is common in the data themselves: when it occurs in more
than `max_common` prompts that do not hold most of its text, as the frame of a task does ("write a
function in Python that takes ..."). Rows that hold most of a text do not count there, so however
often an item has leaked, its n-grams stay evidence. The share is the smaller one of all n-grams and
of those that are evidence. What that does to the number of false
finds stands in docs/decisions/cleaning.md.

The control says how many finds of `ngram` are chance: as many texts, recombined from fifths of
the benchmarks' own (:mod:`siftline.scorers.leaks.ngram_space`), looked for in the same rows.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method, Request, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.stable_hash import stable_hash
from siftline.filters.paraphrase_figures import paraphrase_figures
from siftline.scorers.benchmark_overlap import BenchmarkOverlap
from siftline.scorers.benchmark_paraphrase import BenchmarkParaphrase
from siftline.scorers.contamination import Contamination
from siftline.scorers.leaks.benchmark_files import Benchmark
from siftline.scorers.leaks.question_vectors import COSINE_FLOOR
from siftline.scorers.leaks.suspicions import FLOOR

Action = Literal["report", "drop"]
Flags = npt.NDArray[np.bool_]

REASONS = {
    "options": "contaminated_options",
    "exact": "contaminated_exact",
    "ngram": "contaminated_ngram",
    "numbers": "same_template",
    "paraphrase": "contaminated_paraphrase",
}
# Where item and measure of a tier stand; those of the others in `contamination`.
EVIDENCE = {
    "numbers": ("contamination.template_item", "contamination.template_share"),
    "paraphrase": ("benchmark_paraphrase.item", "benchmark_paraphrase.cosine"),
}
SAMPLE = 20  # finds that the report shows to be read
MOST = 0.8  # share of a text's n-grams from which on a prompt holds most of it
_CHANCE = 0.1  # rows of the control for each find of `ngram`, from where on the run warns


class Decontamination(Method):
    """Drops or reports rows that hold items of benchmarks.

    Each tier is `drop` or `report`. The reason of a row is that of its strongest evidence:
    `contaminated_options`, `contaminated_exact`, `contaminated_ngram`, then `same_template`, then
    `contaminated_paraphrase`, or `kept`. `match` is the item, such as `gsm8k#12`, and `similarity`
    the share, or the cosine. A row that cannot be embedded has no paraphrase, and is no worse.

    Of the question "A farmer had 12 sheep and bought 7 more. How many sheep does she have now?"

    - "Please solve: a farmer had 12 sheep, and bought 7 more -- how many sheep does she have now?"
      is `exact`: only form differs.
    - "A farmer had 12 sheep and bought 7 more. How many does she own?" has 5 of 9 8-grams, `ngram`.
    - "A farmer had 31 sheep and bought 9 more. How many sheep does she have now?" is `numbers`.
    - "Capital of France?" with "Paris, Rome, Berlin, Madrid, Vienna, Oslo" is `options` where a row
      lists them in any order; without options it is no evidence of anything.
    - "12 sheep live on a farm, 7 more come. What does the flock count now?" is `paraphrase`, with
      an embedder.

    Attributes:
        benchmarks: Files or Hub datasets, with the fields of question, answer and options.
        options: What becomes of rows with a question and all of its options.
        exact: Of rows with a whole question or answer.
        ngram: Of rows with a share of its n-grams.
        numbers: Of rows with a question, or an answer, whose numbers are others.
        paraphrase: Of rows that ask nearly what a question asks, in other words.
        embedder: Role of the embedder that tells paraphrases; None looks for none.
        min_cosine: Cosine of two embeddings from which on one is a paraphrase; of `builtin:minilm`,
            since another embedder needs another number.
        ngram_words: Words in an n-gram. A text of fewer words is no evidence.
        min_share: Share of a text's n-grams from which on it is found.
        max_common: Prompts that may have an n-gram, and not most of its text, before the n-gram is
            common language; None takes every n-gram as evidence.
        seed: Of the sample that the report shows to be read; the recipe's unless stated.
    """

    revision: ClassVar[int] = 1

    kind: Literal["decontamination"] = "decontamination"
    benchmarks: tuple[Benchmark, ...] = Field(min_length=1)
    options: Action = "drop"
    exact: Action = "drop"
    ngram: Action = "drop"
    numbers: Action = "report"
    paraphrase: Action = "report"
    embedder: str | None = None
    min_cosine: float = Field(default=0.75, ge=COSINE_FLOOR, le=1)
    ngram_words: int = Field(default=8, ge=3, le=100)
    min_share: float = Field(default=0.5, ge=FLOOR, le=1)
    max_common: int | None = Field(default=10, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _names_differ(self) -> "Decontamination":
        names = [each.name for each in self.benchmarks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"benchmarks: got the name '{twice[0]}' twice; expected one for each benchmark."
            )
        return self

    @model_validator(mode="after")
    def _paraphrases_need_an_embedder(self) -> "Decontamination":
        if self.embedder is None and self.paraphrase == "drop":
            raise ValueError(
                "paraphrase: got 'drop' without an embedder, so that none would be found; expected "
                "'embedder' beside it, the role of one in 'models'."
            )
        return self

    def scorers(self) -> tuple[Scorer, ...]:
        """Return what the rows hold of the benchmarks' n-grams, and paraphrases where asked for."""
        files, n = self.benchmarks, self.ngram_words
        overlap = BenchmarkOverlap(benchmarks=files, ngram_words=n)
        if self.embedder is None:
            return (overlap,)
        return (overlap, BenchmarkParaphrase(benchmarks=files, ngram_words=n, model=self.embedder))

    def follow(self, corpus: Corpus) -> Sequence[Request]:
        """Ask for the evidence in rows that hold enough of one text."""
        overlap = corpus.tables.get("benchmark_overlap")
        if "contamination" in corpus.tables or overlap is None or not overlap.num_columns:
            return ()
        wanted = overlap["short"].to_numpy()
        for name in ("share", "control"):
            wanted = wanted | (to_float(corpus.column(f"benchmark_overlap.{name}")) >= FLOOR)
        if not wanted.any():
            return ()
        scorer = Contamination(
            benchmarks=self.benchmarks,
            ngram_words=self.ngram_words,
            common=tuple(self._common(corpus).tolist()),
        )
        return (Request(scorer, wanted),)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Give each row its strongest evidence as its reason, what drops it before other."""
        hits = self._hits(corpus)
        reasons = np.full(len(corpus), "kept", dtype=object)
        keep = np.ones(len(corpus), dtype=bool)
        tiers = np.full(len(corpus), "", dtype=object)
        for action in ("report", "drop"):
            for tier in reversed([tier for tier in hits if getattr(self, tier) == action]):
                reasons[hits[tier]] = REASONS[tier]
                tiers[hits[tier]] = tier
                keep[hits[tier]] = action == "report"
        match: pa.Array = _column(corpus, "contamination.item", pa.string())
        measure = _numbers(corpus, "contamination.share")
        for tier, (item, similarity) in EVIDENCE.items():
            match = pc.if_else(pa.array(tiers == tier), _column(corpus, item, pa.string()), match)
            measure = np.where(tiers == tier, _numbers(corpus, similarity), measure)
        found = tiers != ""
        match = pc.if_else(pa.array(found), match, pa.scalar(None, pa.string()))
        similar = np.where(found, measure, np.nan)
        return verdicts(corpus, keep, reasons, match=match, similarity=similar)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count the rows of each tier and benchmark, and those of the control."""
        hits = self._hits(corpus)
        matched = decided["match"].drop_null().to_pylist()
        names = [name.partition("#")[0] for name in matched]
        common = self._common(corpus)
        control = self._control(corpus)
        return {
            **paraphrase_figures(corpus),
            "rows_by_tier": {tier: int(found.sum()) for tier, found in hits.items()},
            "rows_by_benchmark": {each.name: names.count(each.name) for each in self.benchmarks},
            "items_found": len(set(matched)),
            "common_ngrams": len(common),
            "control": "none: the benchmarks have too few texts"
            if control is None
            else {
                "rows_with_a_recombined_text": control,
                "rows_with_a_text_by_ngrams": int(hits["ngram"].sum()),
            },
            "warnings": self._warnings(len(corpus), hits, control),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Return what the report needs to show every find, and the sample of them to be read."""
        found = decided.filter(pc.is_valid(decided["match"]))
        if not len(found):
            return {}
        ids = found["id"].to_pylist()
        order = np.argsort(stable_hash(ids, self.seed), kind="stable")
        sample = [ids[place] for place in order[:SAMPLE]]
        return {"finds": {"sample": sample, "ngram_words": self.ngram_words}}

    def _hits(self, corpus: Corpus) -> dict[str, Flags]:
        """Return [rows] true for those with evidence, by tier."""
        tier = _column(corpus, "contamination.tier", pa.string())
        share = _numbers(corpus, "contamination.share")
        found = {name: _true(pc.equal(tier, name)) for name in ("options", "exact", "ngram")}
        found["ngram"] &= share >= self.min_share
        found["numbers"] = _numbers(corpus, "contamination.template_share") >= self.min_share
        if self.embedder is None:
            return found
        near = _numbers(corpus, "benchmark_paraphrase.cosine") >= self.min_cosine
        return {**found, "paraphrase": near & ~np.any(list(found.values()), axis=0)}

    def _common(self, corpus: Corpus) -> npt.NDArray[np.int64]:
        """Return the n-grams that too many prompts have without holding most of a text."""
        if self.max_common is None:
            return np.empty(0, np.int64)
        little = pa.array(to_float(corpus.column("benchmark_overlap.share")) < MOST)
        held = corpus.column("benchmark_overlap.ngrams").filter(little)
        prompts = corpus.rows["prompt_id"].combine_chunks().filter(little).dictionary_encode()
        counts = pc.list_value_length(held).to_numpy(zero_copy_only=False).astype(np.int64)
        of_prompt = np.repeat(prompts.indices.to_numpy().astype(np.int64), counts)
        ngrams = held.flatten().to_numpy().astype(np.int64)
        many = int(ngrams.max(initial=0)) + 1
        distinct = np.unique(of_prompt * many + ngrams) % many
        return np.flatnonzero(np.bincount(distinct) > self.max_common)

    def _control(self, corpus: Corpus) -> int | None:
        """Return how many rows have a recombined text by their n-grams; None without a control."""
        if corpus.column("benchmark_overlap.control").null_count:
            return None
        return int((_numbers(corpus, "contamination.control") >= self.min_share).sum())

    def _warnings(self, rows: int, hits: dict[str, Flags], control: int | None) -> list[str]:
        """Say what is kept although it was found, and that finds may be chance."""
        told = []
        by_ngram = int(hits["ngram"].sum())
        if control and control >= _CHANCE * by_ngram:
            told.append(
                f"{by_ngram:,} rows share n-grams with a benchmark, and {control:,} with a control "
                "that no row can have taken over: as many of the former may be chance. Read the "
                "sample in the report; a larger 'min_share' or 'ngram_words' is stricter."
            )
        kept = {
            tier: int(found.sum())
            for tier, found in hits.items()
            if getattr(self, tier) == "report" and tier != "paraphrase" and found.any()
        }
        if kept:
            listed = ", ".join(f"{tier} {count:,}" for tier, count in kept.items())
            first = max(kept, key=lambda tier: kept[tier])
            told.append(
                f"Of {rows:,} rows some hold an item of a benchmark and are kept: {listed}. "
                f"'{first}: drop' leaves such rows out."
            )
        guessed = int(hits.get("paraphrase", np.zeros(1)).sum())
        if guessed and self.paraphrase == "report":
            told.append(
                f"{guessed:,} rows ask, by their embeddings, nearly what a benchmark asks, and are "
                "kept: most may ask something else. Read the sample in the report; "
                "'paraphrase: drop' leaves such rows out."
            )
        return told


def _column(corpus: Corpus, name: str, kind: pa.DataType) -> pa.Array:
    """Return a column of the evidence; nulls where no row has any."""
    return corpus.column(name) if name in corpus.score_columns else pa.nulls(len(corpus), kind)


def _numbers(corpus: Corpus, name: str) -> npt.NDArray[np.float64]:
    return to_float(_column(corpus, name, pa.float64()))


def _true(flags: pa.Array) -> Flags:
    """Return flags as an array, null as false."""
    found: Flags = flags.fill_null(False).to_numpy(zero_copy_only=False)
    return found.copy()
