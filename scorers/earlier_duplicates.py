"""Which rows an earlier dataset holds already, word for word or nearly so."""

import functools
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.earlier_rows import EarlierFile, earlier_files, read_earlier
from siftline.scorers.minhash import BANDS, MinHashed, band_hashes, sides_of
from siftline.scorers.shingle_sets import distinct, jaccard, sets_of
from siftline.scorers.shingles import Hashes, Ints, Over, row_shingles, side_texts

LEAST = 0.5  # similarity that is kept; no threshold is lower
CANDIDATES = 64  # of one band, the first ones: copies of one text need not all be compared
EXCERPT_CHARS = 600

_SHIFT = np.uint64(32)
_ROW = np.uint64((1 << 32) - 1)


class EarlierDuplicates(MinHashed, Scorer):
    """The row of earlier datasets that each row is most like, in the table `earlier_duplicates`.

    Score columns, null where no row is like it by a half:
        match: the dataset as the recipe names it, `#`, and the row's id, or its number.
        similarity: of Jaccard; of `both` sides, that of the side that is less alike.
        texts: the beginning of that row's prompt and response.

    Attributes:
        paths: Of the datasets, relative to the recipe; their content is part of the identity of the
            scores. So name a version (`v0007`), not `latest`, which the run itself moves on.
    """

    table: ClassVar[str] = "earlier_duplicates"
    revision: ClassVar[int] = 3

    paths: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The datasets."""
        return self.paths

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare each row with what shares a band with it.

        Raises:
            InputError: A dataset cannot be read, or has none of the expected columns.
        """
        files = [file for named in self.paths for file in earlier_files(runtime.base, named)]
        states = [file.path.stat() if file.path.exists() else None for file in files]
        told = tuple(state and (state.st_size, state.st_mtime_ns) for state in states)
        index = _opened(tuple(files), told, self.over, self.ngram)
        nearest, similarity = _nearest(rows, index, self.over, self.ngram)
        found = nearest >= 0
        place = pa.array(nearest, mask=~found)
        prompts, responses = side_texts(index.rows.take(pa.array(nearest[found])))
        texts = [
            {"prompt": prompt[:EXCERPT_CHARS], "response": response[:EXCERPT_CHARS]}
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        kind = pa.struct([("prompt", pa.string()), ("response", pa.string())])
        where = pa.array(np.cumsum(found) - 1, mask=~found)
        columns = {
            "match": index.rows["name"].combine_chunks().take(place),
            "similarity": pa.array(similarity, mask=~found),
            "texts": pa.array(texts, kind).take(where),
        }
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], **columns}))


class _Index(NamedTuple):
    """Earlier rows by their bands.

    Attributes:
        rows: Their texts.
        keys: For each band [rows] what stands in it, and behind it the row's number, in order.
    """

    rows: pa.Table
    keys: tuple[Hashes, ...]


@functools.lru_cache(maxsize=1)  # a run scores shard by shard, and its files stay as they are
def _opened(files: tuple[EarlierFile, ...], state: object, over: Over, ngram: int) -> _Index:
    """Read earlier datasets, and hash their rows.

    Args:
        files: Of the datasets.
        state: Size and time of each, so that changed files are read again.
        over: What is compared.
        ngram: Words in a shingle.
    """
    tables = [table for file in files for table in read_earlier(file)]
    shingles = (row_shingles(table, over, ngram) for table in tables)
    bands = np.concatenate([band_hashes(each, sides_of(over)) for each in shingles])
    numbers = np.arange(len(bands), dtype=np.uint64)
    keys = tuple(np.sort(bands[:, n].astype(np.uint64) << _SHIFT | numbers) for n in range(BANDS))
    return _Index(pa.concat_tables(tables).combine_chunks(), keys)


def _nearest(
    rows: pa.Table, index: _Index, over: Over, ngram: int
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Return [rows] the number of the earlier row that each is most like, or -1, and how much."""
    shingles = row_shingles(rows, over, ngram)
    sides = sides_of(over)
    first, second = _candidates(band_hashes(shingles, sides), index.keys)
    nearest = np.full(len(rows), -1)
    best = np.zeros(len(rows))
    if not len(first):
        return nearest, best
    earlier, place = np.unique(second, return_inverse=True)
    own = sets_of(shingles)
    others = sets_of(row_shingles(index.rows.take(pa.array(earlier)), over, ngram))
    similarity = np.min(
        [jaccard(own, first * sides + side, others, place * sides + side) for side in range(sides)],
        axis=0,
    )
    order = np.lexsort([second, -similarity, first])  # for each row the most alike, and first, one
    order = order[similarity[order] >= LEAST]
    of_row, place = np.unique(first[order], return_index=True)
    nearest[of_row], best[of_row] = second[order][place], similarity[order][place]
    return nearest, best


def _candidates(bands: npt.NDArray[np.uint32], keys: tuple[Hashes, ...]) -> tuple[Ints, Ints]:
    """Return pairs of a row and an earlier one that share a band, each once."""
    pairs = np.empty(0, dtype=np.uint64)
    for number, of_band in enumerate(keys):
        value = bands[:, number].astype(np.uint64) << _SHIFT
        starts = np.searchsorted(of_band, value)
        ends = np.searchsorted(of_band, value | _ROW, side="right")
        counts = np.minimum(ends - starts, CANDIDATES)
        row = np.repeat(np.arange(len(bands)), counts)
        step = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        earlier = of_band[np.repeat(starts, counts) + step] & _ROW
        of_band_pairs = row.astype(np.uint64) << _SHIFT | earlier
        pairs = distinct(np.concatenate([pairs, of_band_pairs]))
    return (pairs >> _SHIFT).astype(np.int64), (pairs & _ROW).astype(np.int64)
