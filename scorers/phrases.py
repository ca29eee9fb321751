"""Phrases that give a response away: a refusal, text about the model itself, a placeholder.

The phrases are ours.
"""

from typing import ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.text_statistics import bare, said_of

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


class PhraseMatches(Scorer):
    """Whether a response opens with a refusal, contains boilerplate, or is a placeholder.

    Of a response with a thought, in its text or apart from it, what follows the thought is read.

    Score columns of the table `phrases`: `refusal`, `boilerplate` and `placeholder`, booleans.

    Attributes:
        refusals: Phrases that may begin within the first 20 characters.
        boilerplate: Looked for everywhere; a phrase that a turn before it has too does not count,
            since then the task is about such a text.
        placeholders: The whole of a response but for brackets and full stops around it.
    """

    table: ClassVar[str] = "phrases"
    revision: ClassVar[int] = 3  # 3: what follows a thought

    refusals: tuple[str, ...] = REFUSALS
    boilerplate: tuple[str, ...] = BOILERPLATE
    placeholders: tuple[str, ...] = PLACEHOLDERS

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Look for the phrases in each response."""
        refusals = tuple(_plain(phrase) for phrase in self.refusals)
        boilerplate = tuple(_plain(phrase) for phrase in self.boilerplate)
        placeholders = {bare(phrase) for phrase in self.placeholders}
        plain = [
            [*(_plain(turn["content"]) for turn in messages[:-1]), _plain(said_of(messages[-1]))]
            for messages in rows["messages"].to_pylist()
        ]
        columns = {
            "refusal": [_opens(turns[-1], refusals) for turns in plain],
            "boilerplate": [_adds(turns, boilerplate) for turns in plain],
            "placeholder": [bare(turns[-1]) in placeholders for turns in plain],
        }
        progress.advance(len(rows))
        arrays = {name: pa.array(values, pa.bool_()) for name, values in columns.items()}
        return Scored(pa.table({"content_hash": rows["content_hash"], **arrays}))


def _adds(turns: list[str], phrases: tuple[str, ...]) -> bool:
    """Return whether the last turn has a phrase that none before it has."""
    return any(
        phrase in turns[-1] and not any(phrase in turn for turn in turns[:-1]) for phrase in phrases
    )


def _opens(text: str, phrases: tuple[str, ...]) -> bool:
    return any(-1 < text.find(phrase) <= _OPENING_CHARS for phrase in phrases)
