"""Rules on the surface of a response: length, placeholder, repetition, refusal, copied prompt.

What each rule catches, by an example: `empty_response` a response of white space; `placeholder`
`<nooutput>`; `too_short`, `too_long`, `too_few_words` and `too_many_words` `Yes.` or a novel, by
the limits that are stated; `repetition` `and then we go and then we go ...`; `refusal` `I'm sorry,
but I cannot help.`; `boilerplate` `As an AI language model, ...`; `prompt_copied` the question
again; `special_characters` `=====>>> *** <<<=====`; `repeated_characters` `ha ha ha ha ha ha ha`.

Every rule has a slug and a threshold of its own in the configuration; `null` turns it off. The
first rule that fails, in the order of the fields, gives the reason. The measures behind the rules
stay in the score tables, so a threshold can be changed without measuring again.

The thresholds are ours, set by reading what they drop from Alpaca, Dolly and GPTeacher
(docs/decisions.md); the phrases are ours too.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method, verdicts
from siftline.contracts.scorer import Scorer
from siftline.contracts.share import Share
from siftline.filters.faults import picture_faults
from siftline.scorers.character_statistics import CharacterStatistics
from siftline.scorers.phrases import BOILERPLATE, PLACEHOLDERS, REFUSALS, PhraseMatches
from siftline.scorers.text_statistics import ResponseStatistics

Rule = Literal[
    "empty_response",
    "placeholder",
    "too_short",
    "too_long",
    "repetition",
    "refusal",
    "boilerplate",
    "prompt_copied",
    "too_few_words",
    "too_many_words",
    "special_characters",
    "repeated_characters",
]


class Rules(Method):
    """Drops examples by the surface of their response.

    Reasons: `kept`; for dropping `empty_response`, `placeholder`, `too_short`, `too_long`,
    `repetition`, `refusal`, `boilerplate`, `prompt_copied`, `too_few_words`, `too_many_words`,
    `special_characters`, `repeated_characters`; a rule under `report` keeps the row, and its slug
    is the reason where no other rule drops it. A response that is empty because its
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
        min_words: Fewest words of a response, its thought and calls among them (`too_few_words`).
            This and what follows is off by default.
        max_words: Most words of it (`too_many_words`).
        max_special_chars: Largest share of characters that are no letter, no digit and no white
            space (`special_characters`).
        max_repeated_chars: Largest share of runs of `repeated_chars_ngram` characters that repeat
            an earlier one (`repeated_characters`).
        repeated_chars_ngram: Characters in such a run.
        report: Slugs of rules that drop nothing.
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
    min_words: int | None = Field(default=None, ge=1)
    max_words: int | None = Field(default=None, ge=1)
    max_special_chars: Share | None = None
    max_repeated_chars: Share | None = None
    repeated_chars_ngram: int = Field(default=10, ge=2)
    report: tuple[Rule, ...] = ()

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the counts and the phrase matches."""
        phrases = PhraseMatches(
            refusals=self.refusals, boilerplate=self.boilerplate, placeholders=self.placeholders
        )
        if self.max_special_chars is None and self.max_repeated_chars is None:
            return (ResponseStatistics(), phrases)
        characters = CharacterStatistics(ngram=self.repeated_chars_ngram)
        return (ResponseStatistics(), phrases, characters)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Drop a row at the first rule that it fails, unless that is reported only."""
        reasons = np.full(len(corpus), "kept", dtype=object)
        keep = np.ones(len(corpus), dtype=bool)
        failures = self._failures(corpus)
        for reports in (True, False):
            for slug, fails in reversed(failures):
                if (slug in self.report) == reports:
                    reasons[fails] = slug
                    keep[fails] = reports
        return verdicts(corpus, keep, reasons)

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Name a few rows of each rule that is reported, the smallest ids."""
        return picture_faults(decided)

    def _failures(self, corpus: Corpus) -> list[tuple[str, npt.NDArray[np.bool_]]]:
        """Return each rule's slug, and [rows] true where it fails, in the order of the fields."""

        def column(name: str) -> npt.NDArray[np.float64]:
            return to_float(corpus.column(name))

        def below(name: str, limit: float | None) -> npt.NDArray[np.bool_]:
            return never if limit is None else column(name) < limit

        def above(name: str, limit: float | None) -> npt.NDArray[np.bool_]:
            return never if limit is None else column(name) > limit

        never = np.zeros(len(corpus), dtype=bool)
        counted = column("statistics.response_words") >= self.repetition_min_words
        overlaps = column("statistics.prompt_overlap") >= self.min_prompt_overlap
        most = self.max_prompt_coverage
        copied = never if most is None else column("statistics.prompt_coverage") >= most
        return [
            ("empty_response", column("statistics.response_chars") == 0),
            ("placeholder", column("phrases.placeholder") > 0),
            ("too_short", below("statistics.said_chars", self.min_chars)),
            ("too_long", above("statistics.said_chars", self.max_chars)),
            ("repetition", counted & above("statistics.repeated_ngrams", self.max_repeated_ngrams)),
            ("refusal", column("phrases.refusal") > 0),
            ("boilerplate", column("phrases.boilerplate") > 0),
            ("prompt_copied", overlaps & copied),
            ("too_few_words", below("statistics.response_words", self.min_words)),
            ("too_many_words", above("statistics.response_words", self.max_words)),
            ("special_characters", above("characters.special", self.max_special_chars)),
            ("repeated_characters", above("characters.repeated", self.max_repeated_chars)),
        ]
