"""N-grams of many prompts and their responses, counted all at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.scorers.sorted_groups import sorted_in_groups
from siftline.scorers.text_blocks import in_blocks
from siftline.scorers.word_hashes import Words, hashed_ngrams, hashed_words

Ints = npt.NDArray[np.int64]


class SharedNgrams(NamedTuple):
    """Counts by row, each an array of integers.

    Attributes:
        words: Words of the response.
        written: N-grams of the response.
        distinct: Those of them that differ.
        copied: N-grams of the response that occur in the prompt, however often.
        of_prompt: N-grams of the prompt that differ.
        in_both: Those of them that occur in the response.
    """

    words: Ints
    written: Ints
    distinct: Ints
    copied: Ints
    of_prompt: Ints
    in_both: Ints


def shared_ngrams(prompts: Sequence[str], responses: Sequence[str], n: int) -> SharedNgrams:
    """Count the words and the n-grams of prompts and responses.

    Two n-grams are taken for one where 63 bits of their hashes are equal: for a row of a thousand
    of them, one time in 10^13.

    Args:
        prompts: [rows] One text each.
        responses: [rows] Likewise.
        n: Words in an n-gram.
    """
    ascii_rows = np.fromiter(
        (a.isascii() and b.isascii() for a, b in zip(prompts, responses, strict=True)),
        bool,
        len(prompts),
    )
    counts = SharedNgrams(*(np.zeros(len(prompts), dtype=np.int64) for _ in SharedNgrams._fields))
    chars = np.fromiter(
        (len(a) + len(b) for a, b in zip(prompts, responses, strict=True)), np.int64, len(prompts)
    )
    # Apart, since a few characters of other scripts make all of them wider.
    for chosen in (np.flatnonzero(ascii_rows), np.flatnonzero(~ascii_rows)):
        for rows in in_blocks(chosen, chars[chosen]):
            texts = [text for row in rows.tolist() for text in (prompts[row], responses[row])]
            for total, found in zip(counts, _counted(texts, n), strict=True):
                total[rows] = found
    return counts


def _counted(texts: list[str], n: int) -> SharedNgrams:
    """Count, of texts that are prompts and responses in turn."""
    rows = len(texts) // 2
    words = hashed_words(texts)
    responses = words.text[words.text % 2 == 1] // 2
    grams = hashed_ngrams(words, n)
    row = grams.text // 2
    keys = _sorted_keys(grams, np.bincount(row, minlength=rows))
    if not len(keys):
        zero = np.zeros(rows, dtype=np.int64)
        return SharedNgrams(np.bincount(responses, minlength=rows), *[zero] * 5)
    hashes, of_response = keys >> np.uint64(1), (keys & np.uint64(1)).astype(np.int64)
    first = np.concatenate([[True], (hashes[1:] != hashes[:-1]) | (row[1:] != row[:-1])])
    starts = np.flatnonzero(first)
    sizes = np.diff(starts, append=len(keys))
    times = np.add.reduceat(of_response, starts)  # that each n-gram occurs in the response
    asked, answered = times < sizes, times > 0

    def of_rows(chosen: npt.NDArray[np.bool_], weights: Ints | None = None) -> Ints:
        weighted = None if weights is None else weights[chosen]
        counted = np.bincount(row[starts[chosen]], weighted, minlength=rows)
        return counted.astype(np.int64)

    return SharedNgrams(
        words=np.bincount(responses, minlength=rows),
        written=of_rows(answered, times),
        distinct=of_rows(answered),
        copied=of_rows(asked & answered, times),
        of_prompt=of_rows(asked),
        in_both=of_rows(asked & answered),
    )


def _sorted_keys(grams: Words, sizes: Ints) -> npt.NDArray[np.uint64]:
    """Return [grams] their hashes, sorted in each row; the last bit says: of the response."""
    tagged = (grams.hashes << np.uint64(1)) | (grams.text % 2).astype(np.uint64)
    return sorted_in_groups(tagged, sizes)
