"""MinHash of each row's shingles, folded into bands: rows that share a band may be near-duplicates.

The minima of a set under many hash functions agree with those of another as often as the two sets
have elements in common (Broder 1997, On the resemblance and containment of documents). In a band of
four minima, all of them agree at the fourth power of the similarity; of twenty bands at least one
agrees with a probability of 1 - (1 - s^4)^20: 0.73 at 0.5, 0.94 at 0.6, 0.996 at 0.7 and above
0.9999 from 0.8 on. So one set of bands is good for every threshold.

The shingles of prompt and response are hashed as one set. Where each side is as similar as a
threshold, so is their union, whose similarity lies between the two; so no pair is missed by that.
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
    revision: ClassVar[int] = 2

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hash each row."""
        shingles = whole_rows(row_shingles(rows, self.over, self.ngram), self.over)
        counts = pa.array(np.diff(shingles.offsets), pa.int32())
        columns = {"bands": band_column(band_hashes(shingles)), "shingles": counts}
        progress.advance(len(rows))
        return Scored(pa.table({"content_hash": rows["content_hash"], **columns}))


def whole_rows(shingles: Shingles, over: Over) -> Shingles:
    """Return the shingles of both sides of each row as those of one text."""
    return Shingles(shingles.hashes, shingles.offsets[:: 2 if over == "both" else 1])


def band_hashes(shingles: Shingles) -> npt.NDArray[np.uint32]:
    """Return [texts, BANDS] the bands of some texts, each of which has a shingle."""
    parts = minima(shingles).reshape(-1, BANDS, MINIMA // 2, 2)
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


def minima(shingles: Shingles) -> npt.NDArray[np.uint32]:
    """Return [texts, BANDS * MINIMA] the minima of each text's shingles."""
    count = BANDS * MINIMA
    if len(shingles.offsets) == 1:
        return np.empty((0, count), dtype=np.uint32)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        shingles.hashes, shingles.offsets.astype(np.uint64), count, SEED
    )
    return np.array(matrix.to_rows(), dtype=np.uint32)
