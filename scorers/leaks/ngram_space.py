"""Which texts of benchmarks hold which n-grams, and what of them a conversation holds.

Beside the texts stand as many *recombined* ones, the control: each is put together from fifths of
five different texts of about the same length. Its n-grams are the benchmark's, and phrases stay
whole, but no conversation that has taken one text over holds much more than a fifth of it. Whatever
overlaps with much of one does so by common language alone. (Shuffled words would say nothing: no
one writes their n-grams, so none would be found in any pool.) Texts of few n-grams are recombined
n-gram by n-gram, and those of fewer than four are left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts.stable_hash import stable_hash
from siftline.scorers.leaks.folded_hashes import HashedWords, Hashes, Numbers

PIECES = 5  # that a text is recombined from
MIN_CONTROL_TEXTS = 40  # of fewer, the pieces are too often of the same few texts
_MIN_NGRAMS, _FEW_NGRAMS = 4, 8  # from where on a text is recombined, and in pieces of several
_APART = 7  # places between the texts, in the order of their lengths, that are recombined
_SIEVE_BITS = 22


class Overlaps(NamedTuple):
    """Which texts share n-grams with which conversations.

    Attributes:
        rows: [pairs] Number of the conversation.
        texts: [pairs] Number of the text.
        shared: [pairs] How many of the text's n-grams occur in the conversation.
        sizes: [pairs] How many n-grams the text has.
    """

    rows: Numbers
    texts: Numbers
    shared: Numbers
    sizes: Numbers

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """[pairs] Of the text's n-grams, those that occur in the conversation."""
        return self.shared / self.sizes


class _Postings(NamedTuple):
    """Which texts hold each n-gram.

    Attributes:
        starts: [n-grams + 1] Where the texts of each n-gram begin.
        texts: The texts of one n-gram after those of another.
        times: How often each of these holds it.
        sizes: [texts] N-grams of each.
    """

    starts: Numbers
    texts: Numbers
    times: Numbers
    sizes: Numbers


class NgramSpace:
    """The n-grams of texts. Its length is their number.

    Attributes:
        hashes: [n-grams] Sorted; the place of an n-gram is its number.
        has_control: Whether there are enough texts to recombine.
    """

    def __init__(self, grams: HashedWords, texts: Sequence[str]) -> None:
        self.hashes: Hashes
        self.hashes, numbers = np.unique(grams.hashes, return_inverse=True)
        self._postings = _postings(numbers, grams.texts, len(self.hashes), len(texts))
        goes_to = _recombined(grams, texts)
        self.has_control = bool(len(goes_to)) and bool((goes_to >= 0).any())
        used = np.flatnonzero(goes_to >= 0)
        self._control = _postings(numbers[used], goes_to[used], len(self.hashes), len(texts))
        self._sieve = np.zeros(1 << _SIEVE_BITS, dtype=bool)
        self._sieve[_sieved(self.hashes)] = True

    def __len__(self) -> int:
        return len(self.hashes)

    def held(self, grams: HashedWords, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Return the n-grams among some that are held here, and their conversations.

        Args:
            grams: Of the texts of conversations.
            rows: [texts] The conversation of each.
        """
        if not len(self):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        maybe = self._sieve[_sieved(grams.hashes)]  # most are not: far faster than to look them up
        hashes, holders = grams.hashes[maybe], rows[grams.texts[maybe]]
        place = np.searchsorted(self.hashes, hashes)
        place[place == len(self)] = 0
        there = self.hashes[place] == hashes
        return holders[there], place[there]

    def overlaps(
        self,
        rows: Numbers,
        ngrams: Numbers,
        *,
        without: npt.NDArray[np.bool_] | None = None,
        control: bool = False,
    ) -> Overlaps:
        """Return the texts that share n-grams with conversations.

        Args:
            rows: [pairs] Conversations, ascending.
            ngrams: [pairs] Which n-gram each holds.
            without: [n-grams] True for those that count neither here nor there.
            control: Of the recombined texts instead.
        """
        postings = self._control if control else self._postings
        sizes = postings.sizes
        if without is not None:
            rows, ngrams = rows[~without[ngrams]], ngrams[~without[ngrams]]
            gone = np.repeat(without, np.diff(postings.starts))
            sizes = sizes - _sums(postings.texts[gone], postings.times[gone], len(sizes))
        counts = np.diff(postings.starts)[ngrams]
        ends = np.cumsum(counts)
        inside = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        places = np.repeat(postings.starts[ngrams], counts) + inside
        many = max(1, len(sizes))
        codes = np.repeat(rows, counts) * many + postings.texts[places]
        pairs, of_pair = np.unique(codes, return_inverse=True)
        shared = _sums(of_pair, postings.times[places], len(pairs))
        return Overlaps(pairs // many, pairs % many, shared, sizes[pairs % many])


def _postings(numbers: Numbers, of_text: Numbers, ngrams: int, texts: int) -> _Postings:
    """Return postings of n-grams (numbers) that stand in texts."""
    many = max(1, texts)
    pairs, times = np.unique(numbers * many + of_text, return_counts=True)
    counts = np.bincount(pairs // many, minlength=ngrams)
    starts = np.r_[0, np.cumsum(counts)].astype(np.int64)
    return _Postings(starts, pairs % many, times, np.bincount(of_text, minlength=texts))


def _sums(places: Numbers, values: Numbers, count: int) -> Numbers:
    """Return [count] the sum of the values that go to each place."""
    return np.bincount(places, weights=values, minlength=count).astype(np.int64)


def _recombined(grams: HashedWords, texts: Sequence[str]) -> Numbers:
    """Return [n-grams in texts] the recombined text that each goes to; -1 where it goes to none.

    Texts, equal ones once, are ordered by length, and by chance among those of one length. The
    pieces of one go to texts that stand some places apart.
    """
    sizes = np.bincount(grams.texts, minlength=len(texts))
    first = {text: number for number, text in reversed(list(enumerate(texts)))}
    is_first = np.isin(np.arange(len(texts)), list(first.values()))
    there = np.flatnonzero(is_first & (sizes >= _MIN_NGRAMS))
    if len(there) < MIN_CONTROL_TEXTS:
        return np.empty(0, np.int64)
    chance = stable_hash([texts[text] for text in there.tolist()], 0)
    order = there[np.lexsort((chance, sizes[there]))]
    rank = np.full(len(texts), -1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(grams.texts)) - starts[grams.texts]
    size, rank = sizes[grams.texts], rank[grams.texts]
    piece = np.where(size < _FEW_NGRAMS, size, PIECES) * place // size
    goes_to: Numbers = np.where(rank < 0, -1, order[(rank + _APART * piece) % len(order)])
    return goes_to


def _sieved(hashes: Hashes) -> Numbers:
    return (hashes >> np.uint64(64 - _SIEVE_BITS)).astype(np.int64)
