"""MinHash and bands, beside datasketch."""

import numpy as np
import pytest
from datasketch import MinHash as Oracle
from datasketch import MinHashLSH

from siftline.scorers.minhash import BANDS, MINIMA, band_hashes, minima
from siftline.scorers.shingles import Shingles

SIZE = 120


def pairs_at(similarity: float, count: int, seed: int = 0) -> Shingles:
    """Return [2 * count] sets, the two of each pair with a Jaccard similarity near to this."""
    rng = np.random.default_rng(seed)
    common = round(2 * SIZE * similarity / (1 + similarity))
    texts = []
    for _ in range(count):
        drawn = rng.integers(0, 2**63, 2 * SIZE - common, dtype=np.uint64)
        texts += [drawn[:SIZE], np.concatenate([drawn[:common], drawn[SIZE:]])]
    return Shingles(np.concatenate(texts), np.arange(0, 2 * count * SIZE + 1, SIZE))


def oracles(shingles: Shingles) -> list[Oracle]:
    made = []
    for start in range(0, len(shingles.hashes), SIZE):
        oracle = Oracle(num_perm=BANDS * MINIMA, seed=7)
        oracle.update_batch(
            [int(each).to_bytes(8, "little") for each in shingles.hashes[start : start + SIZE]]
        )
        made.append(oracle)
    return made


@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.8, 0.95])
def test_minima_agree_as_often_as_those_of_datasketch(similarity: float) -> None:
    sets = pairs_at(similarity, 60)
    found = minima(sets)
    ours = float((found[::2] == found[1::2]).mean())
    known = oracles(sets)
    theirs = float(np.mean([a.jaccard(b) for a, b in zip(known[::2], known[1::2], strict=True)]))
    # 60 pairs of 80 minima: a standard error of at most 0.5 / sqrt(4800) on either side
    assert ours == pytest.approx(similarity, abs=0.04)
    assert ours == pytest.approx(theirs, abs=0.05)


@pytest.mark.parametrize(
    ("similarity", "least"), [(0.5, 0.6), (0.7, 0.97), (0.8, 0.99), (0.9, 1.0)]
)
def test_bands_find_what_datasketch_finds(similarity: float, least: float) -> None:
    sets = pairs_at(similarity, 200)
    bands = band_hashes(sets)
    ours = (bands[::2] == bands[1::2]).any(axis=1).mean()
    index = MinHashLSH(num_perm=BANDS * MINIMA, params=(BANDS, MINIMA))
    known = oracles(sets)
    for number, oracle in enumerate(known[::2]):
        index.insert(number, oracle)
    theirs = np.mean([number in index.query(other) for number, other in enumerate(known[1::2])])
    stated = 1 - (1 - similarity**MINIMA) ** BANDS
    assert ours >= least
    # 200 pairs: four standard errors of a share
    assert ours == pytest.approx(stated, abs=4 * np.sqrt(stated * (1 - stated) / 200) + 0.005)
    assert ours >= theirs - 0.15


def test_sets_that_have_nothing_in_common_share_no_band() -> None:
    bands = band_hashes(pairs_at(0.0, 300))
    assert not (bands[::2] == bands[1::2]).any()
    assert not (bands[:-1] == bands[1:]).any()


def test_a_repeated_shingle_and_the_order_count_nothing() -> None:
    sets = Shingles(np.array([5, 7, 9, 9, 7, 5, 5], np.uint64), np.array([0, 3, 7]))
    bands = band_hashes(sets)
    assert (bands[0] == bands[1]).all()
    assert band_hashes(Shingles(sets.hashes[:0], np.zeros(1, np.int64))).shape == (0, BANDS)


@pytest.mark.parametrize(("prompt", "response"), [(0.8, 0.8), (1.0, 0.6), (0.6, 1.0)])
def test_rows_of_two_sides_share_a_band_as_often_as_stated(prompt: float, response: float) -> None:
    bands = band_hashes(alternating(prompt, response, 200), sides=2)
    found = (bands[::2] == bands[1::2]).any(axis=1).mean()
    stated = 1 - (1 - (prompt * response) ** 2) ** BANDS
    assert found == pytest.approx(stated, abs=4 * np.sqrt(stated * (1 - stated) / 200) + 0.005)


@pytest.mark.parametrize(("prompt", "response"), [(1.0, 0.0), (0.0, 1.0)])
def test_rows_with_one_side_in_common_share_no_band(prompt: float, response: float) -> None:
    bands = band_hashes(alternating(prompt, response, 200), sides=2)
    assert not (bands[::2] == bands[1::2]).any()


def alternating(prompt: float, response: float, count: int) -> Shingles:
    """Return pairs of rows of two sides, as alike as stated."""
    sides = [pairs_at(prompt, count, 1), pairs_at(response, count, 2)]
    hashes = np.stack([each.hashes.reshape(-1, SIZE) for each in sides], axis=1)
    return Shingles(hashes.ravel(), np.arange(0, hashes.size + 1, SIZE))
