"""Ranges of a pool of places: taken and given back."""


class Ranges:
    """The free ranges of a pool; the first that is large enough is taken."""

    def __init__(self, size: int) -> None:
        self._free = [(0, size)]  # start and size, in order

    def take(self, size: int) -> int | None:
        """Take a range; return its start, or None where none is large enough."""
        for number, (start, room) in enumerate(self._free):
            if room >= size:
                self._free[number : number + 1] = [(start + size, room - size)][: room > size]
                return start
        return None

    def give(self, start: int, size: int) -> None:
        """Give a range back."""
        merged: list[tuple[int, int]] = []
        for first, room in sorted([*self._free, (start, size)]):
            if merged and sum(merged[-1]) == first:
                merged[-1] = (merged[-1][0], merged[-1][1] + room)
            else:
                merged.append((first, room))
        self._free = merged
