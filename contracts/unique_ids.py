"""Unique ids in 16 bytes a row: of each that was given out, 128 bits of a hash are remembered."""

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_KEY_BYTES = 16
_DIGITS = 2 * _KEY_BYTES

Keys: TypeAlias = npt.NDArray[np.uint64]
"""[keys, 2] Both halves of each key."""


class UniqueIds:
    """Gives out ids that are unique: the second use of `x` becomes `x-2`.

    Each id is held as 16 bytes: a content hash as itself, and any other as the beginning of its
    BLAKE2. Two ids of one key would need a collision of 128 bits; the second would then get a
    number that it does not need, and be unique all the same. Ids that are wanted again and again
    cost about 150 bytes each.
    """

    def __init__(self) -> None:
        self._given = _KeySet()
        self._uses: dict[str, int] = {}  # of those that were wanted more than once

    def take(self, wanted: str) -> str:
        """Return an id that has not been given out yet."""
        return self.take_all([wanted])[0]

    def take_all(self, wanted: Sequence[str]) -> list[str]:
        """Return an id for each, as if they were taken one after another."""
        ids = list(wanted)
        keys = _keys(ids)
        again = self._given.repeated(keys)
        if not again.any():
            self._given.add(keys)
            return ids
        places = np.flatnonzero(again).tolist()
        repeated = {ids[place] for place in places}
        # An id that is made here may be wanted itself, later in the list.
        if any(each.rpartition("-")[0] in repeated for each in ids):
            return [self._take(each, keys[place : place + 1]) for place, each in enumerate(ids)]
        self._given.add(keys[~again])
        numbered = self._numbered([ids[place] for place in places])
        for place, each in zip(places, numbered, strict=True):
            ids[place] = each
        return ids

    def _take(self, wanted: str, key: Keys) -> str:
        if self._given.repeated(key)[0]:
            return self._numbered([wanted])[0]
        self._given.add(key)
        return wanted

    def _numbered(self, wanted: Sequence[str]) -> list[str]:
        """Return ids that were given out before, each with the next number that is free."""
        uses = {each: self._uses.get(each, 1) for each in wanted}
        made = []
        for each in wanted:
            uses[each] += 1
            made.append(f"{each}-{uses[each]}")
        keys = _keys(made)
        if not self._given.repeated(keys).any():
            self._given.add(keys)
            self._uses |= uses
            return made
        if len(wanted) > 1:  # the source has given one of these itself
            return [self._numbered([each])[0] for each in wanted]
        return [self._next_free(*uses.popitem())]

    def _next_free(self, wanted: str, uses: int) -> str:
        """Return an id with the first number from this one on that is free."""
        while self._given.repeated(key := _keys([f"{wanted}-{uses}"]))[0]:
            uses += 1
        self._given.add(key)
        self._uses[wanted] = uses
        return f"{wanted}-{uses}"


class _KeySet:
    """A set of keys, as sorted arrays whose lengths differ by a factor of two or more."""

    def __init__(self) -> None:
        self._runs: list[Keys] = []

    def repeated(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return [keys] whether each is in the set, or among the keys before it."""
        found = np.ones(len(keys), dtype=bool)
        found[_first_of_each(keys)] = False
        order = np.argsort(keys[:, 0], kind="stable")  # neighbours are looked up in the same place
        for run in self._runs:
            found[order] |= _held(run, keys[order])
        return found

    def add(self, keys: Keys) -> None:
        """Add keys that are not in the set, each once."""
        run = keys[np.argsort(keys[:, 0], kind="stable")]
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            both = np.concatenate([self._runs.pop(), run])
            run = both[np.argsort(both[:, 0], kind="stable")]
        self._runs.append(run)


def _first_of_each(keys: Keys) -> npt.NDArray[np.intp]:
    """Return where each different key occurs first."""
    whole = np.ascontiguousarray(keys).view(f"V{_KEY_BYTES}").ravel()
    places: npt.NDArray[np.intp] = np.unique(whole, return_index=True)[1]
    return places


def _held(run: Keys, keys: Keys) -> npt.NDArray[np.bool_]:
    """Return [keys] whether each is in a sorted array."""
    firsts = run[:, 0]
    begins = np.searchsorted(firsts, keys[:, 0], "left")
    ends = np.searchsorted(firsts, keys[:, 0], "right")
    held = np.zeros(len(keys), dtype=bool)
    for place in np.flatnonzero(begins < ends):
        held[place] = (run[begins[place] : ends[place], 1] == keys[place, 1]).any()
    return held


def _keys(ids: Sequence[str]) -> Keys:
    """Return the keys of ids."""
    joined = "".join(ids)
    raw = _of_hex(joined) if {*map(len, ids)} == {_DIGITS} else None
    if raw is None:
        raw = b"".join(_key(each) for each in ids)
    return np.frombuffer(raw, dtype=np.uint64).reshape(-1, 2)


def _key(text: str) -> bytes:
    raw = _of_hex(text) if len(text) == _DIGITS else None
    return raw or hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).digest()


def _of_hex(digits: str) -> bytes | None:
    """Return what small hex digits stand for; None for any other text."""
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return None
    return raw if raw.hex() == digits else None
