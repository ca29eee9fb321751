"""Phrases that give a response away: a refusal, text about the model itself, a placeholder.

The phrases are ours.
"""

from collections.abc import Sequence, Set
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts import progress
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.last_turns import last_turns
from siftline.scorers.phrase_search import may_hold, plain_text
from siftline.scorers.text_statistics import BARE, bare, said_of

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
_COLUMNS = ("refusal", "boilerplate", "placeholder")


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
    by_column: ClassVar[bool] = True

    refusals: tuple[str, ...] = REFUSALS
    boilerplate: tuple[str, ...] = BOILERPLATE
    placeholders: tuple[str, ...] = PLACEHOLDERS

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Look for the phrases in each response that may have one."""
        sought = _Sought(
            refusals=tuple(plain_text(phrase) for phrase in self.refusals),
            boilerplate=tuple(plain_text(phrase) for phrase in self.boilerplate),
            placeholders=frozenset(bare(phrase) for phrase in self.placeholders),
        )
        columns = {name: np.zeros(len(rows), dtype=bool) for name in _COLUMNS}
        by_row = np.flatnonzero(sought.possible(rows))
        messages = rows["messages"].take(pa.array(by_row)).to_pylist()
        for row, turns in zip(by_row.tolist(), messages, strict=True):
            for name, found in zip(_COLUMNS, sought.found(turns), strict=True):
                columns[name][row] = found
        progress.advance(len(rows))
        arrays = {name: pa.array(values, pa.bool_()) for name, values in columns.items()}
        return Scored(pa.table({"content_hash": rows["content_hash"], **arrays}))


class _Sought(NamedTuple):
    """What is looked for, in the spelling of folded texts."""

    refusals: tuple[str, ...]
    boilerplate: tuple[str, ...]
    placeholders: Set[str]

    def possible(self, rows: pa.Table) -> npt.NDArray[np.bool_]:
        """Return [rows] true where something may be found, by a look at all responses at once."""
        last = last_turns(rows)
        texts = last.contents()
        held = may_hold(texts, (*self.refusals, *self.boilerplate)).to_numpy(zero_copy_only=False)
        longest = max(map(len, self.placeholders), default=-1)
        chars = pc.utf8_length(pc.utf8_trim(texts, characters=BARE)).to_numpy()
        possible: npt.NDArray[np.bool_] = ~last.plain | held | (chars <= longest)
        return possible

    def found(self, messages: Sequence[Message]) -> tuple[bool, bool, bool]:
        """Return whether a response opens with a refusal, has boilerplate, is a placeholder."""
        said = said_of(messages[-1])
        plain = plain_text(said)
        return (
            any(-1 < plain.find(each) <= _OPENING_CHARS for each in self.refusals),
            self._adds(plain, messages[:-1]),
            bare(said) in self.placeholders,
        )

    def _adds(self, said: str, earlier: Sequence[Message]) -> bool:
        """Return whether a response has boilerplate that no turn before it has."""
        present = [phrase for phrase in self.boilerplate if phrase in said]
        texts = [plain_text(turn["content"]) for turn in earlier] if present else []
        return any(not any(phrase in text for text in texts) for phrase in present)
