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

from siftline.pipelines.config import Config
from siftline.pipelines.corpus import Corpus
from siftline.pipelines.method import Runtime, Scored, Scorer, verdicts
from siftline.pipelines.text_statistics import ResponseStatistics, bare

# A refusal opens a response. Anywhere else the words may be a quotation or an explanation.
REFUSALS = (
    "i am sorry, but",
    "i am sorry, i can",
    "i am sorry but",
    "i apologize, but",
    "i apologise, but",
    "sorry, but i can",
    "sorry, i can",
    "unfortunately, i am unable",
    "unfortunately, i cannot",
    "unfortunately, i can not",
    "i am unable to",
    "i am not able to",
    "i cannot assist",
    "i cannot help",
    "i cannot provide",
    "i cannot fulfill",
    "i cannot answer",
    "i cannot complete",
    "i can not assist",
    "i can not help",
    "i will not be able to",
    "i must decline",
)
BOILERPLATE = (
    "as an ai language model",
    "as a large language model",
    "as an ai assistant",
    "as an ai developed by",
    "as an ai, i ",
    "as an artificial intelligence,",
    "as an artificial intelligence language model",
    "i am an ai language model",
    "i am just an ai",
    "my knowledge cutoff",
    "my training data",
)
# What stands for no answer at all; Alpaca's generator wrote the first.
PLACEHOLDERS = ("nooutput", "no output", "n/a")
_OPENING_CHARS = 20

_CONTRACTIONS = (
    ("\u2019", "'"),
    ("i'm ", "i am "),
    ("can't", "cannot"),
    ("won't", "will not"),
)


def _plain(text: str) -> str:
    """Fold case, white space, apostrophes and contractions, so that phrases need one spelling."""
    folded = " ".join(text.casefold().split())
    for old, new in _CONTRACTIONS:
        folded = folded.replace(old, new)
    return folded


class PhraseMatches(Config):
    """Whether a response opens with a refusal, contains boilerplate, or is a placeholder.

    Score columns of the table `phrases`: `refusal`, `boilerplate` and `placeholder`, booleans.

    Attributes:
        refusals: Phrases that may begin within the first 20 characters.
        boilerplate: Looked for everywhere; a phrase that a turn before it has too does not count,
            since then the task is about such a text.
        placeholders: The whole of a response but for brackets and full stops around it.
    """

    table: ClassVar[str] = "phrases"
    revision: ClassVar[int] = 2
    key: ClassVar[Literal["content_hash", "prompt_id"]] = "content_hash"

    refusals: tuple[str, ...] = REFUSALS
    boilerplate: tuple[str, ...] = BOILERPLATE
    placeholders: tuple[str, ...] = PLACEHOLDERS

    @property
    def role(self) -> str | None:
        """No model is needed."""
        return None

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Look for the phrases in each response."""
        refusals = tuple(_plain(phrase) for phrase in self.refusals)
        boilerplate = tuple(_plain(phrase) for phrase in self.boilerplate)
        placeholders = {bare(phrase) for phrase in self.placeholders}
        plain = [
            [_plain(message["content"]) for message in messages]
            for messages in rows["messages"].to_pylist()
        ]
        return Scored(
            pa.table(
                {
                    "content_hash": rows["content_hash"],
                    "refusal": pa.array(
                        [_opens(turns[-1], refusals) for turns in plain], pa.bool_()
                    ),
                    "boilerplate": pa.array(
                        [_adds(turns, boilerplate) for turns in plain], pa.bool_()
                    ),
                    "placeholder": pa.array(
                        [bare(turns[-1]) in placeholders for turns in plain], pa.bool_()
                    ),
                }
            )
        )


def _adds(turns: list[str], phrases: tuple[str, ...]) -> bool:
    """Return whether the last turn has a phrase that none before it has."""
    return any(
        phrase in turns[-1] and not any(phrase in turn for turn in turns[:-1]) for phrase in phrases
    )


def _opens(text: str, phrases: tuple[str, ...]) -> bool:
    return any(-1 < text.find(phrase) <= _OPENING_CHARS for phrase in phrases)


class Rules(Config):
    """Drops examples by the surface of their response.

    Reasons: `empty_response`, `placeholder`, `too_short`, `too_long`, `repetition`, `refusal`,
    `boilerplate`, `prompt_copied`. A response that is empty because its turn is a tool call is
    not empty.

    Attributes:
        min_chars: Fewest characters of a response (`too_short`). Off by default: one letter or
            digit is the right answer to many a question.
        max_chars: Most characters of a response (`too_long`).
        max_repeated_ngrams: Largest share of word 4-grams that repeat an earlier one
            (`repetition`); responses below `repetition_min_words` are exempt.
        repetition_min_words: Shortest response, in words, in which repetition counts.
        refusals: Phrases that open a refusal; empty turns the rule off.
        boilerplate: Phrases that mark text about the model itself; empty turns the rule off.
        placeholders: Texts that stand for no answer, brackets around them or not (`placeholder`);
            empty turns the rule off.
        max_prompt_coverage: A response that repeats at least this share of the word 4-grams of the
            turn before it has copied it (`prompt_copied`) ...
        min_prompt_overlap: ... when at least this share of the response comes from there: code
            often restates its task in a comment, which is no copy.
    """

    revision: ClassVar[int] = 2  # 2: placeholders; what goes on where a prompt breaks off

    kind: Literal["rules"] = "rules"
    min_chars: int | None = Field(default=None, ge=1)
    max_chars: int | None = Field(default=32_000, ge=1)
    max_repeated_ngrams: float | None = Field(default=0.5, ge=0, le=1)
    repetition_min_words: int = Field(default=30, ge=1)
    refusals: tuple[str, ...] = REFUSALS
    boilerplate: tuple[str, ...] = BOILERPLATE
    placeholders: tuple[str, ...] = PLACEHOLDERS
    max_prompt_coverage: float | None = Field(default=1.0, gt=0, le=1)
    min_prompt_overlap: float = Field(default=0.5, ge=0, le=1)

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
        def column(name: str) -> npt.NDArray[np.float64]:
            values: npt.NDArray[np.float64] = corpus.column(name).to_numpy(zero_copy_only=False)
            return values.astype(np.float64)

        chars = column("statistics.response_chars")
        repeated = column("statistics.repeated_ngrams")
        counted = column("statistics.response_words") >= self.repetition_min_words
        coverage = column("statistics.prompt_coverage")
        copied = column("statistics.prompt_overlap") >= self.min_prompt_overlap
        never = np.zeros(len(corpus), dtype=bool)
        return [
            ("empty_response", chars == 0),
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
