"""The words of many texts as 64 bits each, computed on whole columns of bytes.

A hash is a polynomial of a word's bytes, each replaced by a random number, modulo 2^64; sums up to
each byte give it for every word at once, and in the same way the hash of every n-gram from the
hashes of its words. Two texts that differ share one by chance with a probability near 2^-64.
"""

import functools
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.word_forms import NUMBER_WORDS, UNSPACED

Hashes: TypeAlias = npt.NDArray[np.uint64]
Numbers: TypeAlias = npt.NDArray[np.int64]

PIECE_BYTES = 1 << 20  # texts that are hashed at once: a pass over them needs 30 times that

_OTHER_SIGNS = rf"[^\x00-\x7f\p{{L}}\p{{N}}\p{{M}}{UNSPACED}]"
_SPACED_OUT = f"([{UNSPACED}])"
_FACTOR = 0x9E3779B97F4A7C15 | 1
_NUMBER_HASH = np.uint64(0x5851F42D4C957F2D)
_IS_DIGIT = np.isin(np.arange(256), list(b"0123456789"))
_IS_LETTER = np.isin(np.arange(256), list(b"abcdefghijklmnopqrstuvwxyz"))
_IS_WORD = _IS_DIGIT | _IS_LETTER | (np.arange(256) >= 128)
_RANDOM = np.random.default_rng(20240229).integers(0, 1 << 64, size=256, dtype=np.uint64)


class HashedWords(NamedTuple):
    """The words of some texts, in order.

    Attributes:
        hashes: [words] Of each.
        texts: [words] Number of the text that it stands in.
    """

    hashes: Hashes
    texts: Numbers


def hashed_words(texts: pa.Array, *, template: bool = False) -> HashedWords:
    """Return the words of texts (:func:`siftline.contracts.word_forms.words_of`), hashed.

    Args:
        texts: Strings, without nulls.
        template: All numbers are one word.
    """
    data, offsets = _without_commas(*_bytes_of(texts))
    digit = _IS_DIGIT[data]
    is_word = _IS_WORD[data]
    begins = np.zeros(len(data) + 1, dtype=bool)
    begins[offsets] = True  # nothing goes on into the next text
    points = np.flatnonzero(data[1:-1] == ord(".")) + 1
    inside = digit[points - 1] & digit[points + 1] & ~begins[points] & ~begins[points + 1]
    is_word[points[inside]] = True
    before = np.r_[False, is_word[:-1]]
    starts = np.flatnonzero(is_word & (~before | begins[:-1]))
    after = np.r_[is_word[1:], False]
    ends = np.flatnonzero(is_word & (~after | begins[1:])) + 1
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum(_RANDOM[data] * _powers(len(data)), out=sums[1:])
    hashes = _mixed((sums[ends] - sums[starts]) * _inverses(len(data))[starts])
    spelt, digits = _number_words()
    place = np.searchsorted(spelt, hashes)
    place[place == len(spelt)] = 0
    is_spelt = spelt[place] == hashes
    hashes = np.where(is_spelt, digits[place], hashes)
    if template:
        hashes[digit[starts] | is_spelt] = _NUMBER_HASH
    return HashedWords(hashes, np.searchsorted(offsets, starts, side="right") - 1)


def ngram_hashes(words: HashedWords, n: int) -> HashedWords:
    """Return the n-grams of words, none of which reaches from one text into the next."""
    count = len(words.hashes) - n + 1
    if count <= 0:
        return HashedWords(np.empty(0, np.uint64), np.empty(0, np.int64))
    sums = np.zeros(len(words.hashes) + 1, dtype=np.uint64)
    np.cumsum(words.hashes * _powers(len(words.hashes)), out=sums[1:])
    hashes = _mixed((sums[n:] - sums[:-n]) * _inverses(count))
    whole = words.texts[:count] == words.texts[n - 1 :]
    return HashedWords(hashes[whole], words.texts[:count][whole])


def pieces_of(texts: pa.Array) -> Iterator[tuple[int, pa.Array]]:
    """Yield texts in pieces of some megabytes, each with the number of its first text."""
    sizes = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(sizes)
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PIECE_BYTES, side="right")))
        yield start, texts.slice(start, stop - start)
        start = stop


def _bytes_of(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], Numbers]:
    """Return the bytes of texts in normal form, one after another, and where each text begins."""
    folded = _folded(texts).cast(pa.large_string())
    folded = pa.concat_arrays([folded]) if folded.offset else folded
    offsets = np.frombuffer(folded.buffers()[1], dtype=np.int64)[: len(folded) + 1]
    held = folded.buffers()[2]
    data = np.frombuffer(held, dtype=np.uint8) if held else np.empty(0, np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def _folded(texts: pa.Array) -> pa.Array:
    """Return texts in NFKC and lower case; signs beyond ASCII become spaces."""
    plain = pc.string_is_ascii(texts)
    if pc.all(plain).as_py() in (True, None):
        return pc.ascii_lower(texts)
    # By Python, since Arrow 19 leaves letters and their marks apart.
    normal = [
        unicodedata.normalize("NFKC", text) for text in texts.filter(pc.invert(plain)).to_pylist()
    ]
    others = pc.utf8_lower(pa.array(normal, texts.type))
    others = pc.replace_substring_regex(others, pattern=_OTHER_SIGNS, replacement=" ")
    others = pc.replace_substring_regex(others, pattern=_SPACED_OUT, replacement=r" \1 ")
    return pc.replace_with_mask(pc.ascii_lower(texts), pc.invert(plain), others)


def _without_commas(
    data: npt.NDArray[np.uint8], offsets: Numbers
) -> tuple[npt.NDArray[np.uint8], Numbers]:
    """Return bytes without the commas between thousands."""
    commas = np.flatnonzero(data == ord(","))
    text = np.searchsorted(offsets, commas, side="right")
    begin, end = offsets[text - 1], offsets[text]
    digits = _IS_DIGIT[np.r_[data, np.zeros(5, np.uint8)]]
    inside = (commas > begin) & digits[commas - 1] & (commas + 3 < end)
    for step in (1, 2, 3):
        inside &= digits[commas + step]
    inside &= ~digits[commas + 4] | (commas + 4 >= end)
    commas = commas[inside]
    if not len(commas):
        return data, offsets
    return np.delete(data, commas), offsets - np.searchsorted(commas, offsets)


def _mixed(hashes: Hashes) -> Hashes:
    """Return hashes whose every bit depends on all of theirs (the last steps of SplitMix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def _powers(count: int) -> Hashes:
    return _grown(_FACTOR, 1 << max(16, count.bit_length()))[:count]


def _inverses(count: int) -> Hashes:
    return _grown(pow(_FACTOR, -1, 1 << 64), 1 << max(16, count.bit_length()))[:count]


@functools.lru_cache(maxsize=16)
def _grown(factor: int, count: int) -> Hashes:
    """Return the powers of a factor modulo 2^64."""
    powers = np.full(count, factor, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers)


@functools.cache
def _number_words() -> tuple[Hashes, Hashes]:
    """Return the hashes of numbers as words, sorted, and of the same in digits."""
    spelt, digits = (
        np.array([_hash_of(each.encode()) for each in words], dtype=np.uint64)
        for words in (NUMBER_WORDS, NUMBER_WORDS.values())
    )
    order = np.argsort(spelt)
    return spelt[order], digits[order]


def _hash_of(word: bytes) -> np.uint64:
    """Return the hash of one word, as :func:`hashed_words` computes it."""
    letters = np.frombuffer(word, dtype=np.uint8)
    total = np.sum(_RANDOM[letters] * _powers(len(letters)), dtype=np.uint64)
    return np.uint64(_mixed(np.array([total]))[0])
