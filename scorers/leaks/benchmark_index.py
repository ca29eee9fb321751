"""An inverted index over the n-grams of benchmarks: every item is compared, and none is guessed at.

What is compared of an item are its *texts*: its question, and its answer where that is a text of
its own. A text of fewer words than an n-gram has none, and so is no evidence of anything. An n-gram
that many texts hold is the manner of the benchmark ("which of the following statements ...") and
left out. Texts are compared to the letter, and as *templates*, in which all numbers are one word.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.scorers.leaks.benchmark_files import Item
from siftline.scorers.leaks.folded_hashes import (
    HashedWords,
    Hashes,
    Numbers,
    hashed_words,
    ngram_hashes,
    pieces_of,
)
from siftline.scorers.leaks.ngram_space import NgramSpace
from siftline.scorers.leaks.short_questions import ShortQuestions

# Texts that may share an n-gram before it is their common manner. Families of one question with
# other numbers are one text here.
MANNER_TEXTS = 10


class BenchmarkText(NamedTuple):
    """A text that is compared.

    Attributes:
        item: Number of its item.
        part: `question` or `answer`.
        text: As the benchmark has it.
    """

    item: int
    part: str
    text: str


class Found(NamedTuple):
    """What some conversations hold of benchmarks, as distinct pairs in order.

    Attributes:
        rows: [pairs] Number of the conversation.
        ngrams: [pairs] Number of the n-gram that it holds.
        short_rows: [short pairs] Number of the conversation.
        short: [short pairs] Number, in `BenchmarkIndex.short`, of the question that it holds.
    """

    rows: Numbers
    ngrams: Numbers
    short_rows: Numbers
    short: Numbers


class BenchmarkIndex:
    """The n-grams of the texts of benchmarks.

    Attributes:
        items: Of all benchmarks.
        texts: Of these items, question and answer in turn.
        plain: Their n-grams, to the letter.
        templates: Their n-grams where all numbers are one word.
        template_of: [n-grams of `plain`] The number of each one's template in `templates`.
        has_number: [n-grams of `plain`] Whether it differs from its template.
        short: Multiple-choice questions that are shorter than an n-gram.
    """

    def __init__(self, items: Sequence[Item], n: int) -> None:
        self.items, self._n = items, n
        self.texts = tuple(
            BenchmarkText(number, part, text)
            for number, item in enumerate(items)
            for part, text in (("question", item.question), ("answer", item.answer))
        )
        column = pa.array([each.text for each in self.texts], pa.large_string())
        grams = ngram_hashes(hashed_words(column), n)
        templates = ngram_hashes(hashed_words(column, template=True), n)
        kept = ~_is_manner(templates, len(self.texts))
        grams = HashedWords(grams.hashes[kept], grams.texts[kept])
        templates = HashedWords(templates.hashes[kept], templates.texts[kept])
        chance = [each.text for each in self.texts]
        self.plain = NgramSpace(grams, chance)
        self.templates = NgramSpace(templates, chance)
        first = np.unique(grams.hashes, return_index=True)[1]
        self.template_of = np.searchsorted(self.templates.hashes, templates.hashes[first])
        self.has_number = grams.hashes[first] != templates.hashes[first]
        self.short = ShortQuestions(items, n)

    def found_in(self, texts: pa.Array, rows: Numbers, *, template: bool) -> Found:
        """Return what conversations hold.

        Args:
            texts: [texts] Of conversations.
            rows: [texts] The conversation of each.
            template: In `templates`, or in `plain`.
        """
        space = self.templates if template else self.plain
        pairs, short_pairs = [], []
        for first, piece in pieces_of(texts):
            words = hashed_words(piece, template=template)
            of_row = rows[first : first + len(piece)]
            pairs.append(space.held(ngram_hashes(words, self._n), of_row))
            if template:
                short_pairs.append(self.short.held(words, of_row))
        return Found(*_distinct(pairs, len(space)), *_distinct(short_pairs, len(self.short.items)))


def _is_manner(templates: HashedWords, texts: int) -> npt.NDArray[np.bool_]:
    """Return [n-grams in texts] true for those that too many different texts hold."""
    different = first_of_equal(templates, texts)[templates.texts]
    codes, numbers = np.unique(templates.hashes, return_inverse=True)
    pairs = np.unique(numbers[different] * texts + templates.texts[different])
    counts = np.bincount(pairs // max(1, texts), minlength=len(codes))
    manner: npt.NDArray[np.bool_] = (counts > MANNER_TEXTS)[numbers]
    return manner


def first_of_equal(grams: HashedWords, texts: int) -> npt.NDArray[np.bool_]:
    """Return [texts] true for the first of those whose n-grams are the same, and for no others."""
    sums: Hashes = np.zeros(texts, dtype=np.uint64)
    np.add.at(sums, grams.texts, grams.hashes)
    there = np.flatnonzero(np.bincount(grams.texts, minlength=texts))
    first = np.zeros(texts, dtype=bool)
    first[there[np.unique(sums[there], return_index=True)[1]]] = True
    return first


def _distinct(pairs: Sequence[tuple[Numbers, Numbers]], count: int) -> tuple[Numbers, Numbers]:
    """Return pairs without repetitions, by their first and then their second number."""
    empty = np.empty(0, np.int64)
    codes = [rows * max(1, count) + numbers for rows, numbers in pairs]
    distinct = np.unique(np.concatenate([empty, *codes]))
    return distinct // max(1, count), distinct % max(1, count)
