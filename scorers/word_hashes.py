"""The words of many texts as numbers, for counts over a whole shard at once.

Words are those of :func:`siftline.scorers.text_statistics.words`: runs of letters and digits,
casefolded, and in scripts that are written without spaces every character. A word is known by 64
bits: those of eight ASCII characters at most by their letters themselves, longer ones by a hash.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.scorers.word_classes import REST, SINGLE, byte_classes

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_BYTES = 8
_CHUNKS = 16  # of eight bytes; a word that has more is hashed by itself
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_BYTES)] + [2**64 - 1], dtype=np.uint64)
_FACTOR = np.uint64(
    0x9E3779B97F4A7C15
)  # odd, its bits without a pattern: 2^64 over the golden mean
_SALT = np.uint64(0xD1B54A32D192ED03)  # so that words and n-grams are not put together alike
_SHIFT = np.uint64(32)


class Words(NamedTuple):
    """The words of some texts.

    Attributes:
        hashes: [words] In the order of the texts, and in each text in order.
        text: [words] Number of the text of each.
    """

    hashes: Hashes
    text: Ints


def hashed_words(texts: Sequence[str]) -> Words:
    """Return the words of texts, each with the number that it has in any other call.

    Args:
        texts: None of them has a lone surrogate; they are held in memory a few times over.
    """
    folded = [text if text.isascii() else text.casefold() for text in texts]
    joined = "\n".join(["", *folded, ""])  # a line end is no part of a word
    data = joined.encode().lower()  # of bytes, the letters of ASCII alone
    classes = byte_classes(data)
    starts, ends = _edges(classes)
    sizes = [len(text) if text.isascii() else len(text.encode()) for text in folded]
    firsts = np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64) + 1)])
    counts = np.diff(np.searchsorted(starts, firsts))
    return Words(_hashes(data, starts, ends), np.repeat(np.arange(len(folded)), counts))


def hashed_ngrams(words: Words, n: int) -> Words:
    """Return the n-grams of the words of each text, in order; of shorter texts there are none."""
    count = max(0, len(words.hashes) - n + 1)
    grams = np.zeros(count, dtype=np.uint64)
    for start in range(n):
        grams = _mixed(grams ^ words.hashes[start : start + count])
    inside = words.text[:count] == words.text[n - 1 :]
    return Words(grams[inside], words.text[:count][inside])


def _edges(classes: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Return [words] where each word starts, and where it ends.

    Args:
        classes: [bytes] The first and the last of them are no part of a word.
    """
    edge = classes[1:] != classes[:-1]
    if SINGLE not in classes:
        places = np.flatnonzero(edge) + 1
        return places[0::2], places[1::2]
    places = np.flatnonzero(edge & (classes[1:] != REST)) + 1
    return places[classes[places] > 0], places[classes[places - 1] > 0]


def _hashes(data: bytes, starts: Ints, ends: Ints) -> Hashes:
    """Return [words] a number for the bytes of each."""
    padded = np.frombuffer(data + bytes(_BYTES), np.uint8)
    eight = np.ndarray((len(data) + 1,), "<u8", padded.data, strides=(1,))
    left = ends - starts
    hashes: Hashes = eight[starts] & _MASKS[np.minimum(left, _BYTES)]
    long = np.flatnonzero(left > _BYTES)
    for chunk in range(1, _CHUNKS):
        if not len(long):
            break
        place = starts[long] + chunk * _BYTES
        piece = eight[place] & _MASKS[np.minimum(ends[long] - place, _BYTES)]
        hashes[long] = _mixed(hashes[long] ^ _SALT) + piece
        long = long[left[long] > (chunk + 1) * _BYTES]
    for word in long:
        digest = hashlib.blake2b(data[starts[word] : ends[word]], digest_size=_BYTES).digest()
        hashes[word] = int.from_bytes(digest, "little")
    return hashes


def _mixed(hashes: Hashes) -> Hashes:
    """Return numbers in which every bit depends on all bits of those that were given."""
    hashes = (hashes ^ (hashes >> _SHIFT)) * _FACTOR
    hashes = (hashes ^ (hashes >> _SHIFT)) * _FACTOR
    mixed: Hashes = hashes ^ (hashes >> _SHIFT)
    return mixed
