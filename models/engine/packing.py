"""The plan of which rows go through the model together: packs without padding, beginnings run once.

A pack is one flat sequence of tokens. Rows that begin with the same tokens share one span for
them, so that n responses to a prompt of P tokens cost P + sum(R) tokens instead of sum(P + R), two
questions about one text read it once, and prompts behind one system prompt read that once. Spans
lie depth first: all that goes on from a shared span stands behind it. The last token of a row is
predicted, but predicts nothing, and is not computed. A row whose other tokens are the beginning of
another row (an earlier turn of the same conversation, a repetition, another one-token answer) costs
nothing: it is read off the other one.

Everything here depends on the set of rows and the budget only, not on the order of the rows.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.models.engine.prefixes import Branch, tree
from siftline.models.likelihood import Encoded


class Span(NamedTuple):
    """Tokens that follow one another in a row, each of which attends to those before it.

    Attributes:
        start: Place of its first token in the pack.
        length: Number of its tokens.
    """

    start: int
    length: int


class Prefix(NamedTuple):
    """A span that rows share: the tokens behind it attend to all of it.

    Attributes:
        start: Place of its first token in the pack.
        length: Number of its tokens.
        stop: Place after the last token of all that goes on from it.
        level: Number of prefixes that it goes on from.
    """

    start: int
    length: int
    stop: int
    level: int


class Pack(NamedTuple):
    """Rows for one forward pass.

    Attributes:
        ids: [tokens] int64, the computed tokens of all spans.
        positions: [tokens] int64, the position of each token in its row.
        spans: All spans in their order; together they cover `ids`.
        prefixes: Those that rows share, in their order.
        sources: [scored] int64, the place in `ids` from which each scored token is predicted.
        targets: [scored] int64, the scored tokens.
        rows: For each scored row, its number and the number of its scored tokens. The rows take
            `sources` and `targets` one after the other.
    """

    ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    spans: tuple[Span, ...]
    prefixes: tuple[Prefix, ...]
    sources: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    rows: tuple[tuple[int, int], ...]


class Unit(NamedTuple):
    """Rows that go through the model together, because they begin alike; or one row.

    Attributes:
        prefix: Number of tokens at the beginning that the rows share; 0 for a single row.
        rows: Numbers of the rows whose tokens are computed.
        tokens: Number of computed tokens, without those of the unit that it is a twig of.
        longest: Number of tokens of the longest row, from its beginning, without the last.
        twigs: What goes on from the prefix; none for a single row.
    """

    prefix: int
    rows: tuple[int, ...]
    tokens: int
    longest: int
    twigs: tuple["Unit", ...] = ()


class PackPlan(NamedTuple):
    """The packs in which some rows go through the model.

    Attributes:
        batches: The units of each pack.
        riders: For each row that is computed, the rows that are read off it, itself included.
    """

    batches: list[list[Unit]]
    riders: dict[int, list[int]]


def plan_packs(rows: Sequence[Encoded], max_tokens: int, share: bool = True) -> PackPlan:
    """Plan the packs for rows.

    Args:
        rows: Tokenised pairs.
        max_tokens: The most tokens of one pack. A single row may exceed it, and so may a shared
            beginning with the rest of the rows that fits without it.
        share: Whether to compute once what rows have in common.
    """
    order = sorted(
        range(len(rows)),
        key=lambda row: (_computed(rows[row]), rows[row].ids, rows[row].prompt_tokens),
    )
    riders = _riders(rows, order) if share else {row: [row] for row in order}
    carriers = [row for row in order if row in riders]
    computed = [_computed(rows[row]) for row in carriers]
    branches = [Branch(len(ids), row) for row, ids in zip(carriers, computed, strict=True)]
    if share:
        branches = tree(carriers, computed)
    whole = _longest_first(_unit(branch, 0) for branch in branches)
    units = [part for unit in whole for part in _parts(unit, 0, max_tokens)]
    return PackPlan(fill(_longest_first(units), max_tokens), riders)


def fill(units: Iterable[Unit], max_tokens: int) -> list[list[Unit]]:
    """Put units, in their order, into batches.

    Args:
        units: The units.
        max_tokens: The most tokens of one batch; a single unit may exceed it.
    """
    batches: list[list[Unit]] = []
    room = 0
    for unit in units:
        if not batches or unit.tokens > room:
            batches.append([])
            room = max_tokens
        batches[-1].append(unit)
        room -= unit.tokens
    return batches


def _computed(row: Encoded) -> tuple[int, ...]:
    """Return the tokens of a row that something is predicted from."""
    return row.ids[:-1]


def _riders(rows: Sequence[Encoded], order: Sequence[int]) -> dict[int, list[int]]:
    """Return the rows to be computed, in order, each with those that are beginnings of it."""
    riders: dict[int, list[int]] = {}
    carrier = -1
    # In lexicographic order, what extends a row follows it at once.
    for row in reversed(order):
        ids = _computed(rows[row])
        if carrier < 0 or rows[carrier].ids[: len(ids)] != ids:
            carrier = row
            riders[row] = []
        riders[carrier].append(row)
    return riders


def _longest_first(units: Iterable[Unit]) -> list[Unit]:
    """Sort units; equals stay in the order of their tokens."""
    return sorted(units, key=lambda unit: -unit.longest)


def _unit(branch: Branch, start: int) -> Unit:
    """Return a branch as a unit that goes on from `start` tokens."""
    if not branch.twigs:
        return Unit(0, (branch.row,), branch.depth - start, branch.depth)
    return _joined(
        _longest_first(_unit(twig, branch.depth) for twig in branch.twigs), branch.depth, start
    )


def _joined(twigs: Sequence[Unit], prefix: int, start: int) -> Unit:
    """Return twigs with the prefix that they go on from, which itself goes on from `start` tokens.

    A single twig takes its prefix in.
    """
    own = prefix - start
    if len(twigs) == 1:
        return twigs[0]._replace(tokens=own + twigs[0].tokens)
    return Unit(
        prefix,
        tuple(row for twig in twigs for row in twig.rows),
        own + sum(twig.tokens for twig in twigs),
        max(twig.longest for twig in twigs),
        tuple(twigs),
    )


def _parts(unit: Unit, start: int, max_tokens: int) -> list[Unit]:
    """Cut a unit that is larger than a pack; each part computes the prefix anew.

    What stands behind a prefix that is computed anew fits the budget without it.
    """
    if unit.tokens <= max_tokens or not unit.twigs:
        return [unit]
    parts = [part for twig in unit.twigs for part in _parts(twig, unit.prefix, max_tokens)]
    return [_joined(each, unit.prefix, start) for each in fill(parts, max_tokens)]


def split(batch: Sequence[Unit]) -> list[list[Unit]]:
    """Cut a batch into two that need about half the memory each.

    Args:
        batch: The units of the batch.

    Returns:
        Two batches, or the same one where it holds a single row.
    """
    if len(batch) > 1:
        half = _middle(batch)
        return [list(batch[:half]), list(batch[half:])]
    (unit,) = batch
    if not unit.twigs:
        return [[unit]]
    half = _middle(unit.twigs)
    return [[_joined(part, unit.prefix, 0)] for part in (unit.twigs[:half], unit.twigs[half:])]


def _middle(units: Sequence[Unit]) -> int:
    """Return where two or more units are cut so that the parts are about as large."""
    ends = np.cumsum([unit.tokens for unit in units])[:-1]
    # Of two places that are as good, the later one.
    return len(ends) - int(np.abs(2 * ends - sum(unit.tokens for unit in units))[::-1].argmin())


def pack(batch: Sequence[Unit], rows: Sequence[Encoded], riders: dict[int, list[int]]) -> Pack:
    """Lay out the tokens of a batch as a pack, single rows behind those that share.

    Args:
        batch: The units of the batch.
        rows: All rows, by number.
        riders: As in :class:`PackPlan`.
    """
    laid = _Laying(rows, riders)
    for unit in sorted(batch, key=lambda unit: not unit.twigs):
        laid.add(unit, np.empty(0, dtype=np.int64), 0)
    return laid.pack()


class _Laying:
    """A pack in the making."""

    def __init__(self, rows: Sequence[Encoded], riders: dict[int, list[int]]) -> None:
        self._rows = rows
        self._riders = riders
        self._ids: list[int] = []
        self._positions: list[npt.NDArray[np.int64]] = []
        self._spans: list[Span] = []
        self._prefixes: list[Prefix] = []
        self._sources: list[npt.NDArray[np.int64]] = []
        self._targets: list[npt.NDArray[np.int64]] = []
        self._scored: list[tuple[int, int]] = []

    def add(self, unit: Unit, before: npt.NDArray[np.int64], level: int) -> None:
        """Lay a unit.

        Args:
            unit: The unit.
            before: The places of the tokens that it goes on from.
            level: Number of prefixes that it goes on from.
        """
        row = unit.rows[0]
        start, stop = len(before), unit.prefix or len(self._rows[row].ids) - 1
        span = Span(len(self._ids), stop - start)
        self._spans.append(span)
        self._ids.extend(self._rows[row].ids[start:stop])
        self._positions.append(np.arange(start, stop))
        places = np.concatenate([before, np.arange(span.start, span.start + span.length)])
        if not unit.twigs:
            self._score(row, places)
            return
        number = len(self._prefixes)
        self._prefixes.append(Prefix(*span, 0, level))
        for twig in unit.twigs:
            self.add(twig, places, level + 1)
        self._prefixes[number] = Prefix(*span, len(self._ids), level)

    def _score(self, row: int, places: npt.NDArray[np.int64]) -> None:
        """Note where a row and those that ride on it are predicted."""
        for rider in self._riders[row]:
            start, stop = self._rows[rider].prompt_tokens, len(self._rows[rider].ids)
            self._sources.append(places[start - 1 : stop - 1])
            self._targets.append(np.array(self._rows[rider].ids[start:stop], dtype=np.int64))
            self._scored.append((rider, stop - start))

    def pack(self) -> Pack:
        """Return what was laid."""
        return Pack(
            np.array(self._ids, dtype=np.int64),
            np.concatenate(self._positions),
            tuple(self._spans),
            tuple(self._prefixes),
            np.concatenate(self._sources),
            np.concatenate(self._targets),
            tuple(self._scored),
        )
