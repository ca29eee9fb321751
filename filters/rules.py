"""Rules on the surface of a response: length, placeholder, repetition, refusal, copied prompt.

Every rule has a slug and a threshold of its own in the configuration; `null` turns it off. The
first rule that fails, in the order of the fields, gives the reason. The measures behind the rules
stay in the score tables, so a threshold can be changed without measuring again.

The thresholds are ours, set by reading what they drop from Alpaca, Dolly and GPTeacher
(docs/decisions.md); the phrases are ours too.
"""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.share import Share
from siftline.scorers.phrases import BOILERPLATE, PLACEHOLDERS, REFUSALS, PhraseMatches
from siftline.scorers.text_statistics import ResponseStatistics


class Rules(Method):
    """Drops examples by the surface of their response.

    Reasons: `kept`; for dropping `empty_response`, `placeholder`, `too_short`, `too_long`,
    `repetition`, `refusal`, `boilerplate`, `prompt_copied`. A response that is empty because its
    turn is a tool call is not empty. Thoughts are held to `repetition` alone: they may be long,
    speak of the model, and restate the prompt.

    Attributes:
        min_chars: Fewest characters of a response, thought aside (`too_short`). Off by default:
            one letter or digit is the right answer to many a question.
        max_chars: Most characters of a response, thought aside (`too_long`).
        max_repeated_ngrams: Largest share of word 4-grams that repeat an earlier one
            (`repetition`); responses below `repetition_min_words` are exempt.
        repetition_min_words: Shortest response, in words, in which repetition counts.
        refusals: Phrases that open a refusal; empty turns the rule off.
        boilerplate: Phrases that mark text about the model itself; empty turns the rule off.
        placeholders: Texts that stand for no answer, brackets around them or not (`placeholder`);
            empty turns the rule off.
        max_prompt_coverage: A response that repeats at least this share of the word 4-grams of the
            user's turn before it has copied it (`prompt_copied`) ...
        min_prompt_overlap: ... when at least this share of the response comes from there: code
            often restates its task in a comment, which is no copy.
    """

    revision: ClassVar[int] = 3  # 3: thoughts, calls and results

    kind: Literal["rules"] = "rules"
    min_chars: int | None = Field(default=None, ge=1)
    max_chars: int | None = Field(default=32_000, ge=1)
    max_repeated_ngrams: Share | None = 0.5
    repetition_min_words: int = Field(default=30, ge=1)
    refusals: tuple[str, ...] = REFUSALS
    boilerplate: tuple[str, ...] = BOILERPLATE
    placeholders: tuple[str, ...] = PLACEHOLDERS
    max_prompt_coverage: Share | None = Field(default=1.0, gt=0)
    min_prompt_overlap: Share = 0.5

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the counts and the phrase matches."""
        phrases = PhraseMatches(
            refusals=self.refusals, boilerplate=self.boilerplate, placeholders=self.placeholders
        )
        return (ResponseStatistics(), phrases)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Drop a row at the first rule that it fails."""
        reasons = np.full(len(corpus), "kept", dtype=object)
        for slug, fails in reversed(self._failures(corpus)):
            reasons[fails] = slug
        return verdicts(corpus, reasons == "kept", reasons)

    def _failures(self, corpus: Corpus) -> list[tuple[str, npt.NDArray[np.bool_]]]:
        """Return each rule's slug, and [rows] true where it fails, in the order of the fields."""

        def column(name: str) -> npt.NDArray[np.float64]:
            return to_float(corpus.column(name))

        chars = column("statistics.said_chars")
        repeated = column("statistics.repeated_ngrams")
        counted = column("statistics.response_words") >= self.repetition_min_words
        coverage = column("statistics.prompt_coverage")
        copied = column("statistics.prompt_overlap") >= self.min_prompt_overlap
        never = np.zeros(len(corpus), dtype=bool)
        return [
            ("empty_response", column("statistics.response_chars") == 0),
            ("placeholder", column("phrases.placeholder") > 0),
            ("too_short", never if self.min_chars is None else chars < self.min_chars),
            ("too_long", never if self.max_chars is None else chars > self.max_chars),
            (
                "repetition",
                never
                if self.max_repeated_ngrams is None
                else counted & (repeated > self.max_repeated_ngrams),
            ),
            ("refusal", column("phrases.refusal") > 0),
            ("boilerplate", column("phrases.boilerplate") > 0),
            (
                "prompt_copied",
                never
                if self.max_prompt_coverage is None
                else copied & (coverage >= self.max_prompt_coverage),
            ),
        ]
