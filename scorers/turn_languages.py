"""The language of each turn, by a fast detector, and by lingua where that one is not certain.

What is said to the model and by it is looked at without code, addresses, formulas and numbers
(:mod:`siftline.scorers.language_words`), and without thoughts. Equal texts are looked at once.

The certainty is the fast detector's probability where lingua is not asked. Where it is, both count:
each language gets the geometric mean of its two probabilities, these are made to sum to 1, and the
largest is the certainty. So a text on which the two differ gets little. A language that lingua does
not know has half of the fast one's probability, and all of it where lingua declines, as it does for
a script that it does not know. Of a text of fewer than five letters, such as `Ja`, the smaller of
the two probabilities is the certainty. What nobody is certain of is for the reader to leave
undetermined (:mod:`siftline.scorers.languages`). The rule is ours (docs/decisions/cleaning.md).
"""

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from siftline.contracts import progress
from siftline.contracts.errors import nearest
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.language_codes import LINGUA_CODES
from siftline.models.language_detection import (
    Guesses,
    detectors_built_on,
    fast_guesses,
    lingua_guesses,
)
from siftline.models.thoughts import MARKERS, after_thought
from siftline.scorers.flat_turns import flat_turns
from siftline.scorers.language_words import words_of

# Characters of the words that are looked at. Beyond, neither detector gains, and both cost more.
_FAST_CHARS, _LINGUA_CHARS = 1000, 200
_SMALL = 0.005  # what a probability of 0 counts as
_TINY = 5  # letters: a text of fewer is in a language if both detectors are certain of it

TURN = pa.struct(
    [
        ("turn", pa.int32()),  # number in the conversation, from 0
        ("user", pa.bool_()),  # who speaks: the user, or else the assistant
        ("language", pa.string()),  # the likeliest one; null where there are no words
        ("certainty", pa.float64()),  # of it, from 0 to 1; null likewise
        ("fast", pa.string()),
        ("fast_certainty", pa.float64()),
        ("lingua", pa.string()),  # null where it was not asked, or declines
        ("lingua_certainty", pa.float64()),
    ]
)
TURN_LANGUAGES = pa.schema(
    [
        ("content_hash", pa.string()),
        ("turns", pa.list_(TURN)),  # of user and assistant, in order
        ("asked", pa.int32()),  # turns that lingua was asked about ...
        ("agreed", pa.int32()),  # ... named the fast one's language ...
        ("overruled", pa.int32()),  # ... or prevailed against it
    ]
)


class Found(NamedTuple):
    """What the detectors say of a text, as in :data:`TURN`: nothing where it has no words."""

    language: str | None = None
    certainty: float | None = None
    fast: str | None = None
    fast_certainty: float | None = None
    lingua: str | None = None
    lingua_certainty: float | None = None
    asked: bool = False


class TurnLanguages(Scorer):
    """The language of each turn of user and assistant.

    Score columns of the table `turn_languages`: those of :data:`TURN_LANGUAGES`.

    Attributes:
        ask_below: Lingua is asked about texts of which the fast detector is less certain.
        short: Lingua is asked about texts of fewer letters, whatever the certainty.
        languages: Codes of the languages that lingua chooses among; None for all that it knows,
            whose models take 10 s to load, and 1 GB.
    """

    table: ClassVar[str] = "turn_languages"
    revision: ClassVar[int] = 1

    ask_below: float = Field(default=0.6, ge=0, le=1)
    short: int = Field(default=25, ge=0)
    languages: tuple[str, ...] | None = Field(default=None, min_length=2)

    @field_validator("languages")
    @classmethod
    def _lingua_knows(cls, languages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for code in languages or ():
            if code not in LINGUA_CODES:
                raise ValueError(
                    f"got '{code}'; expected a language that lingua knows, by its code, such as "
                    f"'en'.{nearest(code, LINGUA_CODES)}"
                )
        return None if languages is None else tuple(sorted(set(languages)))

    @property
    def built_on(self) -> Mapping[str, str]:
        """The versions of both detectors, and the digest of the fast one's model."""
        return detectors_built_on()

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Tell the language of each turn.

        Raises:
            ModelError: A detector is not installed, or cannot be loaded.
        """
        turns = flat_turns(rows)
        turns = turns.filter(pc.is_in(turns["role"], value_set=pa.array(["user", "assistant"])))
        texts = pc.dictionary_encode(_said(turns["content"].combine_chunks()))
        found = self._detect(words_of(texts.dictionary))
        of_turn = [found[code] for code in texts.indices.to_pylist()]
        progress.advance(len(rows))
        return Scored(_table(rows["content_hash"], turns, of_turn))

    def _detect(self, words: pa.Array) -> list[Found]:
        """Return [texts] what is found."""
        texts = words.to_pylist()
        spoken = [number for number, text in enumerate(texts) if text]
        fast = fast_guesses([texts[number][:_FAST_CHARS] for number in spoken])
        found = [Found()] * len(texts)
        unsure = []
        for number, guesses in zip(spoken, fast, strict=True):
            language, certainty = next(iter(guesses.items()))
            found[number] = Found(language, certainty, language, certainty)
            letters = len(texts[number]) - texts[number].count(" ")
            if certainty < self.ask_below or letters < self.short:
                unsure.append((number, guesses, letters < _TINY))
        asked = lingua_guesses([texts[n][:_LINGUA_CHARS] for n, *_ in unsure], self.languages)
        known = LINGUA_CODES if self.languages is None else self.languages
        for (number, guesses, tiny), others in zip(unsure, asked, strict=True):
            found[number] = together(guesses, others, known, tiny=tiny)
        return found


def _said(contents: pa.Array) -> pa.Array:
    """Return contents without thoughts; nothing of those that do not come to their end."""
    marked = functools.reduce(
        pc.or_, (pc.match_substring(contents, marker) for marker in sorted(MARKERS))
    )
    if not pc.any(marked).as_py():
        return contents
    said = [after_thought(text) or "" for text in contents.filter(marked).to_pylist()]
    return pc.replace_with_mask(contents, marked, pa.array(said, pa.string()))


def together(
    fast: Guesses, lingua: Guesses, known: Collection[str], *, tiny: bool = False
) -> Found:
    """Return what two detectors say together.

    Args:
        fast: Of the fast detector.
        lingua: Of lingua; empty where it declines.
        known: The languages that lingua chooses among.
        tiny: Whether the text has so few letters that the less certain detector counts.
    """
    first = next(iter(fast))
    best, certainty = first, fast[first]
    second = next(iter(lingua), None)
    if second is not None and first not in known:
        certainty /= 2
    elif second is not None:
        both = {code: _mean(fast.get(code, 0), lingua.get(code, 0)) for code in fast | lingua}
        best = min(both, key=lambda code: (-both[code], code))
        certainty = both[best] / sum(both.values())
        certainty = min(fast.get(best, 0), lingua.get(best, 0)) if tiny else certainty
    return Found(
        best,
        round(certainty, 4),
        first,
        fast[first],
        second,
        None if second is None else lingua[second],
        True,
    )


def _mean(first: float, second: float) -> float:
    """Return the geometric mean of two probabilities, 0 among them being merely small."""
    return math.sqrt((first + _SMALL) * (second + _SMALL))


def _table(keys: pa.ChunkedArray, turns: pa.Table, found: Sequence[Found]) -> pa.Table:
    """Return the scores of rows.

    Args:
        keys: [rows] Their hashes.
        turns: Those that were looked at.
        found: [turns] What is found.
    """
    row = turns["row"].to_numpy()
    columns = list(zip(*found, strict=True)) or [()] * len(Found._fields)
    named = dict(zip(Found._fields, columns, strict=True))
    arrays = {
        "turn": turns["turn"].combine_chunks().cast(pa.int32()),
        "user": pc.equal(turns["role"], "user").combine_chunks(),
    }
    fields = list(TURN)
    for field in fields[len(arrays) :]:
        arrays[field.name] = pa.array(named[field.name], field.type)
    structs = pa.StructArray.from_arrays(list(arrays.values()), fields=fields)
    ends = np.cumsum(np.bincount(row, minlength=len(keys)))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    asked = np.array(named["asked"], dtype=bool)
    fast, lingua, language = (
        np.array(named[name], dtype=object) for name in ("fast", "lingua", "language")
    )
    counted = {
        "asked": asked,
        "agreed": asked & (lingua == fast),
        "overruled": asked & (language != fast),
    }
    counts = {
        name: pa.array(np.bincount(row[which], minlength=len(keys)), pa.int32())
        for name, which in counted.items()
    }
    lists = pa.ListArray.from_arrays(offsets, structs)
    return pa.table({"content_hash": keys, "turns": lists, **counts}, schema=TURN_LANGUAGES)
