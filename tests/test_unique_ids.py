"""Unique ids: the same as those of a plain set, however they are asked for."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.unique_ids import UniqueIds

HASH = hashlib.sha256(b"row").hexdigest()[:32]
GIVEN = ("x", "x-2", "x-3", "x-2-2", "y", "", "\u00e9", "ab " * 10)
WANTED = (*GIVEN, HASH, f"{HASH}-2", HASH.upper())


def one_by_one(wanted: list[str]) -> list[str]:
    """Return what each id becomes, by trying numbers until one is free."""
    given: list[str] = []
    for each in wanted:
        number, found = 1, each
        while found in given:
            number += 1
            found = f"{each}-{number}"
        given.append(found)
    return given


@given(
    st.lists(st.lists(st.sampled_from(WANTED), max_size=9), max_size=9),
    st.sampled_from((WANTED, ("x", "y", HASH), (HASH, HASH[::-1]))),
)
def test_ids_are_those_of_one_after_another(lists: list[list[str]], among: tuple[str, ...]) -> None:
    lists = [[each for each in part if each in among] for part in lists]
    ids = UniqueIds()
    taken = [each for part in lists for each in ids.take_all(part)]
    assert taken == one_by_one([each for part in lists for each in part])
    assert len(set(taken)) == len(taken)


def test_many_ids_with_numbers_of_the_source() -> None:
    ids = UniqueIds()
    given = [f"x-{number}" for number in range(2, 3000)]
    assert ids.take_all(given) == given
    assert [ids.take("x") for _ in range(3)] == ["x", "x-3000", "x-3001"]


def test_repeats_are_found_in_earlier_lists_of_every_length() -> None:
    ids = UniqueIds()
    hashes = [hashlib.sha256(bytes([n % 256, n // 256])).hexdigest()[:32] for n in range(2000)]
    for length in (1, 2, 3, 50, 7, 500, 1, 1436):
        part, hashes = hashes[:length], hashes[length:]
        assert ids.take_all(part) == part
        assert ids.take_all(part[-3:]) == [f"{each}-2" for each in part[-3:]]
    assert hashes == []
