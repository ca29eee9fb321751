"""Clusters and the rows that stay, on similarities that are given."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from siftline.selectors.arrays import Float64s, Ints
from siftline.selectors.duplicates import clusters as module
from siftline.selectors.duplicates.banding import buckets, pair_rows, shares_a_band, star_pairs
from siftline.selectors.duplicates.clusters import Similarities, cluster_rows, join


def known(similar: npt.NDArray[np.float64]) -> Similarities:
    def look_up(first: Ints, second: Ints) -> Float64s:
        assert (first < second).all()
        found: Float64s = similar[first, second]
        return found

    return look_up


def given_pairs(rows: int, pairs: dict[tuple[int, int], float]) -> Similarities:
    similar = np.zeros((rows, rows))
    for pair, value in pairs.items():
        similar[pair] = value
    return known(similar)


def one_bucket(rows: int) -> npt.NDArray[np.uint32]:
    return np.full((rows, 1), 7, dtype=np.uint32)


def test_buckets_and_stars_by_hand() -> None:
    bands = np.array([[1, 9], [2, 8], [1, 7], [3, 8], [1, 6]], dtype=np.uint32)
    assert shares_a_band(bands).tolist() == [True] * 5
    found = buckets(bands)
    assert [pair_rows(each)[1].tolist() for each in found] == [[0, 2, 4], [1, 3]]
    first, second = pair_rows(star_pairs(found))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (0, 4), (1, 3)]
    assert not shares_a_band(np.array([[1], [2]], dtype=np.uint32)).any()


def test_a_row_goes_for_the_one_that_stays_not_for_a_chain() -> None:
    chain = given_pairs(4, {(0, 1): 0.9, (1, 2): 0.9, (2, 3): 0.9, (0, 2): 0.7, (1, 3): 0.6})
    bands = np.array([[1, 4, 6], [1, 2, 7], [3, 2, 8], [3, 5, 9]], dtype=np.uint32)
    found = cluster_rows(bands, chain, 0.8)
    assert found.stays.tolist() == [0, 0, 2, 2]
    np.testing.assert_array_equal(found.similarity, [np.nan, 0.9, np.nan, 0.9])
    assert found.alike.tolist() == [1, 2, 2, 1]


def test_groups_that_share_a_bucket_are_told_apart() -> None:
    found = cluster_rows(
        one_bucket(5), given_pairs(5, {(0, 3): 0.9, (1, 2): 0.8, (1, 4): 1.0}), 0.8
    )
    assert found.stays.tolist() == [0, 1, 1, 0, 1]
    assert not found.given_up.any()


def test_a_large_bucket_of_unlike_rows_is_given_up_and_says_so() -> None:
    rows = 3000
    found = cluster_rows(one_bucket(rows), given_pairs(rows, {}), 0.8)
    assert (found.stays == np.arange(rows)).all()
    assert found.compared.sum() // 2 <= rows * module.ROUNDS
    assert found.given_up.sum() == rows - module.ROUNDS


def test_a_long_chain_ends_with_its_neighbours() -> None:
    rows = 4 * module.REPRESENTATIVES + 1
    near = {(n, n + 1): 0.9 for n in range(rows - 1)}
    bands = np.arange(rows, dtype=np.uint32)[:, None] // np.ones((1, 2), dtype=np.uint32)
    bands[:, 1] = (np.arange(rows) + 1) // 2
    bands[:, 0] = np.arange(rows) // 2
    found = cluster_rows(bands, given_pairs(rows, near), 0.8)
    assert found.stays.tolist() == [n - n % 2 for n in range(rows)]


@given(st.integers(1, 12), st.data())
def test_joining_is_union_find(rows: int, data: st.DataObject) -> None:
    row = st.integers(0, rows - 1)
    pairs = data.draw(st.lists(st.tuples(row, row), max_size=20))
    expected = list(range(rows))
    for one, other in pairs:
        low, high = sorted((expected[one], expected[other]))
        expected = [low if each == high else each for each in expected]
    first, second = (np.array([p[n] for p in pairs], dtype=np.int64) for n in (0, 1))
    assert join(np.arange(rows), first, second).tolist() == expected


@given(st.integers(2, 10), st.integers(0, 2**32 - 1))
def test_whoever_goes_is_alike_to_one_that_stays(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    similar = np.round(rng.random((rows, rows)), 1)
    found = cluster_rows(rng.integers(0, 3, (rows, 2)).astype(np.uint32), known(similar), 0.6)
    for row, stays in enumerate(found.stays.tolist()):
        assert found.stays[stays] == stays
        if stays != row:
            assert stays < row
            assert similar[stays, row] == found.similarity[row] >= 0.6
