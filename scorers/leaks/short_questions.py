"""Multiple-choice questions that are shorter than an n-gram: their options may be evidence."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from siftline.scorers.leaks.benchmark_files import Item
from siftline.scorers.leaks.folded_hashes import (
    HashedWords,
    Hashes,
    Numbers,
    hashed_words,
    ngram_hashes,
)

MIN_WORDS = 3  # of fewer, such as "Solve:", too many conversations would have to be looked at


class ShortQuestions:
    """The questions of items with options that have fewer words than an n-gram.

    Attributes:
        items: [questions] Number of the item of each.
    """

    def __init__(self, items: Sequence[Item], n: int) -> None:
        numbers = [number for number, item in enumerate(items) if item.options]
        column = pa.array([items[number].question for number in numbers], pa.large_string())
        words = hashed_words(column, template=True)
        counts = np.bincount(words.texts, minlength=len(numbers))
        short = np.flatnonzero((counts >= MIN_WORDS) & (counts < n))
        self.items = [numbers[place] for place in short]
        self._hashes: dict[int, tuple[Hashes, Numbers]] = {}
        for length in np.unique(counts[short]).tolist():
            grams = ngram_hashes(words, length)
            of_length = np.flatnonzero(counts[short] == length)
            place = np.searchsorted(grams.texts, short[of_length])
            order = np.argsort(grams.hashes[place], kind="stable")
            self._hashes[length] = grams.hashes[place][order], of_length[order]

    def held(self, words: HashedWords, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Return the questions that conversations hold, and these conversations.

        Args:
            words: Of the texts of conversations, as templates.
            rows: [texts] The conversation of each.
        """
        holders, questions = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for length, (hashes, numbers) in self._hashes.items():
            grams = ngram_hashes(words, length)
            low = np.searchsorted(hashes, grams.hashes, side="left")
            counts = np.searchsorted(hashes, grams.hashes, side="right") - low
            ends = np.cumsum(counts)
            inside = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
            questions.append(numbers[np.repeat(low, counts) + inside])
            holders.append(np.repeat(rows[grams.texts], counts))
        return np.concatenate(holders), np.concatenate(questions)
