"""MinHash of each row's shingles, folded into bands: rows that share a band may be near-duplicates.

The minima of a set under many hash functions agree with those of another as often as the two sets
have elements in common (Broder 1997, On the resemblance and containment of documents). In a band of
four minima, all of them agree at the fourth power of the similarity; of twenty bands at least one
agrees with a probability of 1 - (1 - s^4)^20: 0.73 at 0.5, 0.94 at 0.6, 0.996 at 0.7 and above
0.9999 from 0.8 on. So one set of bands is good for every threshold.

Of `both` sides, two of the minima of a band are the prompt's and two the response's. So two rows
share a band where both sides are alike, s and t, with a probability of 1 - (1 - s^2 t^2)^20: at
least as often as sides that are as alike as the less alike one, and hardly ever where one side is
another, as under one long instruction of the system, or of many answers that are `Yes`.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from rensa import RMinHash

from siftline.contracts import progress
from siftline.contracts.computation import Computation
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.shingles import Over, Shingles, row_shingles

BANDS = 20
MINIMA = 4  # in a band
SEED = 42

_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)  # odd


class MinHashed(Computation):
    """A computation that finds texts by the bands of their MinHash.

    Attributes:
        over: What is compared.
        ngram: Words in a shingle.
        algorithm: Version of rensa's MinHash; another one gives other numbers.
    """

    over: Over = "both"
    ngram: int = Field(default=5, ge=1)
    algorithm: int = int(RMinHash.ALGORITHM_VERSION)


class MinHash(MinHashed, Scorer):
    """The bands of each row, in the table `minhash`.

    Score columns:
        bands: list of 20 numbers; rows that share one at the same place may be alike.
        shingles: how many there are of the row, repeated ones among them.
    """

    table: ClassVar[str] = "minhash"
    revision: ClassVar[int] = 3

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hash each row."""
        shingles = row_shingles(rows, self.over, self.ngram)
        sides = sides_of(self.over)
        counts = pa.array(np.diff(shingles.offsets[::sides]), pa.int32())
        columns = {"bands": band_column(band_hashes(shingles, sides)), "shingles": counts}
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], **columns}))


def sides_of(over: Over) -> int:
    """Return how many texts of each row are compared."""
    return 2 if over == "both" else 1


def band_hashes(shingles: Shingles, sides: int = 1) -> npt.NDArray[np.uint32]:
    """Return [rows, BANDS] the bands of some rows.

    Args:
        shingles: Of the texts of each row in turn; each text has a shingle.
        sides: Texts of each row, 1 or 2.
    """
    of_side = MINIMA // sides
    found = minima(shingles, BANDS * of_side).reshape(-1, sides, BANDS, of_side)
    parts = found.transpose(0, 2, 1, 3).reshape(-1, BANDS, MINIMA // 2, 2)
    halves = parts[..., 0].astype(np.uint64) << np.uint64(32) | parts[..., 1]
    mixed = (halves * _FACTORS).sum(axis=2, dtype=np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _FACTORS[0]
    bands: npt.NDArray[np.uint32] = (mixed >> np.uint64(32)).astype(np.uint32)
    return bands


def band_column(bands: npt.NDArray[np.uint32]) -> pa.LargeListArray:
    """Build a column of bands."""
    offsets = np.arange(0, bands.size + 1, BANDS, dtype=np.int64)
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(bands.ravel()))


def bands_of(column: pa.Array) -> npt.NDArray[np.uint32]:
    """Return [rows, BANDS] the bands of a column."""
    flat: npt.NDArray[np.uint32] = column.flatten().to_numpy()
    return flat.reshape(-1, BANDS)


def minima(shingles: Shingles, count: int = BANDS * MINIMA) -> npt.NDArray[np.uint32]:
    """Return [texts, count] the minima of each text's shingles."""
    if len(shingles.offsets) == 1:
        return np.empty((0, count), dtype=np.uint32)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        shingles.hashes, shingles.offsets.astype(np.uint64), count, SEED
    )
    return np.array(matrix.to_rows(), dtype=np.uint32)
