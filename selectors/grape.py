"""GRAPE: for each prompt, the response that the target model already finds likeliest.

Zhang, Dai and Peng, NeurIPS 2025 (arXiv 2502.04194v3, section 3): candidates for one prompt are
ranked by the mean log-likelihood of their response tokens under the *untuned* target model, with
the plain template `Question: ... Answer: ...`, and the best is kept. GRAPE measures fit, not
correctness: filter before it.

Ours differs where the paper is silent or warns. Ties: the score rounded to 0.001 nats a token,
then fewer tokens, then the content hash. Guards: candidates written by the target model itself are
left out when `self_origins` names it (training on them harms: the paper's tables 4 and 5), as are
repetitive ones, which the mean likelihood favours; copies of the prompt and truncated responses
give way to any other candidate; one generator's share can be capped.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator

from siftline.contracts.columns import mean_logprob, text_column, to_float
from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.figures import mean, quartiles, shares
from siftline.contracts.method import ChoosesByScore, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.share import Share
from siftline.contracts.stable_hash import stable_hash
from siftline.scorers.likelihood import Likelihood
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.budget import prompt_codes
from siftline.selectors.choices import best_of_each
from siftline.selectors.ranking import places, rank_within, ranks_by_row
from siftline.selectors.unscored import UNSCORED, unscored_figures

# Batches of another shape move bfloat16 scores by about this much (methods, shared contract).
SCORE_GRID = 1e-3


class Grape(ChoosesByScore):
    """Keeps, for each prompt, the responses that the target model finds likeliest.

    Reasons for keeping: `likeliest`, `no_choice` (the prompt has one response), `unscored` (the
    response could not be scored, which is no verdict on it), `undecided` (among the k likeliest of
    those that were scored, but one that was not may be likelier). For dropping: `less_likely`,
    `self_generated`, `repetition`, `prompt_copy`, `truncated`, `empty_response`, `origin_share`
    (swapped out for the runner-up of another origin). A prompt whose candidates are all barred
    keeps none.

    With a candidate that could not be scored, a prompt drops what is dropped whatever its score
    is: those that k others precede, and the flawed where a sound one was scored. So it may keep
    more than k; `unscored: drop` leaves out what has no score, and the others are decided.

    Attributes:
        model: Role of the target model, untuned.
        k: Responses kept per prompt; `match_original` keeps as many as the prompt has rows from
            the sources in `original`, and at least one.
        original: Sources for `match_original`.
        unscored: `keep` or `drop` what could not be scored.
        template: How prompt and response are written for the model; `plain` is the paper's.
        max_tokens: Most tokens of prompt and response together; None takes the model's window.
        score_eos: Score the end token too.
        self_origins: Origins that are the target model itself, in any case of letters.
        max_repeated_ngrams: Largest share of repeated word 4-grams in a candidate.
        max_prompt_overlap: Largest share of a candidate's word 4-grams that the prompt has too;
            only where another candidate has fewer, since tasks such as proofreading ask for copies.
        max_origin_share: Largest share of one origin among the kept responses of prompts that
            had a choice; None for no cap.
    """

    revision: ClassVar[int] = 3  # 3: what was not scored is not dropped as truncated

    kind: Literal["grape"] = "grape"
    model: str
    k: int | Literal["match_original"] = 1
    original: tuple[str, ...] = ()
    template: Literal["plain", "chat"] = "plain"
    max_tokens: int | None = Field(default=None, ge=2)
    score_eos: bool = False
    self_origins: tuple[str, ...] = ()
    max_repeated_ngrams: Share | None = 0.5
    max_prompt_overlap: Share | None = 0.9
    max_origin_share: Share | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _original_is_named(self) -> "Grape":
        if self.k == "match_original" and not self.original:
            raise ValueError("k: match_original needs 'original', the list of original sources.")
        if isinstance(self.k, int) and self.k < 1:
            raise ValueError("k: expected at least 1.")
        return self

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the target's likelihood, and the counts that the guards need."""
        likelihood = Likelihood(
            model=self.model,
            template=self.template,
            max_tokens=self.max_tokens,
            score_eos=self.score_eos,
        )
        return (likelihood, ResponseStatistics())

    def source_names(self) -> tuple[str, ...]:
        """Return the original sources."""
        return self.original

    def decide(self, corpus: Corpus) -> pa.Table:
        """Rank each prompt's candidates by mean log-likelihood, and keep the best."""
        if not len(corpus):
            return VERDICTS.empty_table()
        prompts = prompt_codes(corpus)
        candidates = np.bincount(prompts)[prompts]
        score = mean_logprob(corpus)
        reasons = np.full(len(corpus), "less_likely", dtype=object)
        barred = self._guards(corpus, prompts, np.isfinite(score), reasons)
        unscored = ~barred & ~np.isfinite(score)
        _mark(reasons, unscored, UNSCORED)
        waiting = unscored & (self.unscored == "keep")
        unknown = np.bincount(prompts[waiting], minlength=prompts.max() + 1)[prompts]
        ranked = ~barred & ~unscored
        rank = np.zeros(len(corpus), dtype=np.int64)
        rank[ranked] = rank_within(prompts[ranked], _places(corpus, score)[ranked])
        quota = self._quota(corpus, prompts)
        keep = (rank > 0) & (rank <= quota)
        reasons[keep] = np.where(rank + unknown <= quota, "likeliest", "undecided")[keep]
        if self.max_origin_share is not None:
            choice = (candidates > 1) & (unknown == 0)
            self._cap_origins(corpus, prompts, score, rank, keep, choice, reasons)
        alone = (candidates == 1) & ranked
        reasons[alone] = "no_choice"
        return verdicts(corpus, keep | alone | waiting, reasons, ranks_by_row(rank), score)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Compare the choice with a random and the longest candidate of each prompt."""
        prompts = prompt_codes(corpus)
        score = mean_logprob(corpus)
        chars = to_float(corpus.column("statistics.response_chars"))
        keep = decided["keep"].to_numpy()
        choice = (np.bincount(prompts)[prompts] > 1) & np.isfinite(score)
        coin = stable_hash(corpus.rows["id"].to_pylist(), seed=0).astype(np.float64)
        picks = {
            "selected": np.flatnonzero(keep & choice),
            "random candidate": best_of_each(prompts, coin, choice),
            "longest candidate": best_of_each(prompts, chars, choice),
        }
        origins = np.array(text_column(corpus, "origin"), dtype=object)
        return {
            "prompts": len(np.unique(prompts)),
            "prompts_with_a_choice": len(np.unique(prompts[choice])),
            "prompts_with_undecided_rows": len(np.unique(prompts[_are(decided, "undecided")])),
            **unscored_figures(decided),
            "mean_log_likelihood": {name: mean(score[rows]) for name, rows in picks.items()},
            "response_chars_quartiles": {
                "candidates": quartiles(chars[choice]),
                **{name: quartiles(chars[rows]) for name, rows in picks.items()},
            },
            "margin_quartiles": quartiles(_margins(prompts, score, choice)),
            "origin_share_of_candidates": shares(origins[choice]),
            "origin_share_of_selected": shares(origins[picks["selected"]]),
        }

    def _guards(
        self, corpus: Corpus, prompts: Ints, scored: Bools, reasons: npt.NDArray[Any]
    ) -> Bools:
        """Mark candidates that may not be ranked, with their reasons."""
        selves = {origin.casefold() for origin in self.self_origins}
        origins = text_column(corpus, "origin")
        barred = np.array([origin.casefold() in selves for origin in origins], dtype=bool)
        _mark(reasons, barred, "self_generated")
        if self.max_repeated_ngrams is not None:
            repeated = to_float(corpus.column("statistics.repeated_ngrams"))
            barred |= _mark(reasons, ~barred & (repeated > self.max_repeated_ngrams), "repetition")
        status = np.array(corpus.column("likelihood.status").to_pylist(), dtype=object)
        barred |= _mark(reasons, ~barred & (status == "empty_response"), "empty_response")
        if self.max_prompt_overlap is not None:
            copied = to_float(corpus.column("statistics.prompt_overlap")) > self.max_prompt_overlap
            barred |= _mark(reasons, _outdone(copied, prompts, barred, scored), "prompt_copy")
        # A prompt that fills the window is marked too, whose response was not scored.
        cut = scored & (to_float(corpus.column("likelihood.truncated")) > 0)
        return barred | _mark(reasons, _outdone(cut, prompts, barred, scored), "truncated")

    def _quota(self, corpus: Corpus, prompts: Ints) -> Ints:
        """Return [rows] how many responses the row's prompt may keep."""
        if isinstance(self.k, int):
            return np.full(len(corpus), self.k)
        original = np.isin(np.array(text_column(corpus, "source")), self.original)
        counts = np.bincount(prompts[original], minlength=prompts.max() + 1)
        quota: Ints = np.maximum(counts, 1)[prompts]
        return quota

    def _cap_origins(
        self,
        corpus: Corpus,
        prompts: Ints,
        score: Float64s,
        rank: Ints,
        keep: Bools,
        choice: Bools,
        reasons: npt.NDArray[Any],
    ) -> None:
        """Swap the closest calls of an origin above its cap for the runner-up, in place.

        The runner-up is the prompt's best candidate of another origin that is not kept. When none
        is left to swap, the share stays above the cap; the diagnosis shows it.
        """
        origins = np.array(text_column(corpus, "origin"), dtype=object)
        # The small number keeps 0.29 of 100 at 29, which floating point would make 28.
        cap = int((self.max_origin_share or 1) * np.count_nonzero(keep & choice) + 1e-9)
        kept = origins[keep & choice]
        counts = {name: int((kept == name).sum()) for name in set(origins) - {""}}
        tie = _tie(corpus)
        for origin in sorted(counts, key=lambda name: (-counts[name], name)):
            for loser, winner in _swaps(origin, origins, prompts, score, rank, keep & choice, tie):
                if counts[origin] <= cap:
                    break
                if counts.get(origins[winner], 0) >= cap:
                    continue  # it would only move the excess; '' is no origin and has no cap
                keep[loser], keep[winner] = False, True
                reasons[loser], reasons[winner] = "origin_share", "likeliest"
                counts[origin] -= 1
                if origins[winner]:
                    counts[origins[winner]] += 1


def _swaps(
    origin: str,
    origins: npt.NDArray[Any],
    prompts: Ints,
    score: Float64s,
    rank: Ints,
    keep: Bools,
    tie: Ints,
) -> list[tuple[int, int]]:
    """Return pairs of a kept row of an origin and its runner-up, the smallest margin first."""
    best: dict[int, int] = {}
    for row in np.flatnonzero((rank > 0) & ~keep & (origins != origin)):
        other = best.get(int(prompts[row]))
        if other is None or rank[row] < rank[other]:
            best[int(prompts[row])] = int(row)
    pairs = []
    kept = np.flatnonzero(keep & (origins == origin))
    for row in kept[np.argsort(-rank[kept], kind="stable")]:  # a prompt gives up its worst first
        runner_up = best.pop(int(prompts[row]), None)
        if runner_up is not None:
            margin = round(score[row] - score[runner_up], 3)
            pairs.append((margin, int(tie[row]), int(row), runner_up))
    return [(row, runner_up) for _, _, row, runner_up in sorted(pairs)]


def _places(corpus: Corpus, score: Float64s) -> Ints:
    """Return [rows] the place of each by likelihood, then the tie-breaks."""
    tokens = to_float(corpus.column("likelihood.response_tokens"))
    grid = np.round(np.nan_to_num(score, nan=-np.inf) / SCORE_GRID)
    return places(np.lexsort((_tie(corpus), tokens, -grid)))


def _tie(corpus: Corpus) -> Ints:
    """Return [rows] the place of each by content hash, then id, whatever the rows' order."""
    hashes, ids = corpus.rows["content_hash"].to_pylist(), corpus.rows["id"].to_pylist()
    return places(np.lexsort((ids, hashes)))


def _outdone(flawed: Bools, prompts: Ints, barred: Bools, scored: Bools) -> Bools:
    """Return [rows] true where a flawed candidate's prompt has one that was scored without it."""
    sound = np.zeros(prompts.max() + 1, dtype=bool)
    sound[prompts[~barred & ~flawed & scored]] = True
    outdone: Bools = ~barred & flawed & sound[prompts]
    return outdone


def _are(decided: pa.Table, reason: str) -> Bools:
    """Return [rows] true for the rows of a reason."""
    rows: Bools = np.array(decided["reason"].to_pylist(), dtype=object) == reason
    return rows


def _mark(reasons: npt.NDArray[Any], rows: Bools, slug: str) -> Bools:
    """Give some rows a reason, in place, and return them."""
    reasons[rows] = slug
    return rows


def _margins(prompts: Ints, score: Float64s, rows: Bools) -> Float64s:
    """Return, for each prompt with two scores or more, how far the best is above the second."""
    candidates = np.flatnonzero(rows)
    order = candidates[np.lexsort((-score[candidates], prompts[candidates]))]
    seconds = np.flatnonzero(rank_within(prompts[order], np.arange(len(order))) == 2)
    margins: Float64s = score[order[seconds - 1]] - score[order[seconds]]
    return margins
