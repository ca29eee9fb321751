"""The plan of which rows go through the model together: packs without padding, prompts run once.

A pack is one flat sequence of tokens. Each of its rows is a span of its own; rows that begin with
the same tokens share one span for them, so that n responses to a prompt of P tokens cost P + sum(R)
tokens instead of sum(P + R), and two questions about one text read it once. The last token of a row
is predicted, but predicts nothing, and is not computed. A row whose other tokens are the beginning
of another row (an earlier turn of the same conversation, a repetition, another one-token answer)
costs nothing: it is read off the other one.

Everything here depends on the set of rows and the budget only, not on the order of the rows.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.models.engine.prefixes import Family, families
from siftline.models.likelihood import Encoded

# A beginning is shared where that saves at least so many tokens, and at least this share of those
# of its rows. Each adds calls of attention, among rows that are less alike in length: a saving of a
# tenth was none on AlpacaEval (docs/decisions.md).
_MIN_SAVING = 16
_MIN_SAVING_SHARE = 0.15
# Rows are attended to together while padding among them stays below this share, or this number
# of tokens. Nothing but attention ever sees the padding.
_PADDING_SHARE = 0.1
_PADDING_TOKENS = 64


class Span(NamedTuple):
    """Tokens in a row of a pack.

    Attributes:
        start: Place of its first token in the pack.
        length: Number of its tokens.
    """

    start: int
    length: int


class Group(NamedTuple):
    """Spans of similar length that attend to themselves, and all to one prefix.

    Attributes:
        prefix: The span that precedes each of them; None if none does.
        spans: The spans, in each of which a token attends to those before it.
    """

    prefix: Span | None
    spans: tuple[Span, ...]


class Pack(NamedTuple):
    """Rows for one forward pass.

    Attributes:
        ids: [tokens] int64, the computed tokens of all spans.
        positions: [tokens] int64, the position of each token in its row.
        groups: The spans, in no particular order; together they cover `ids`.
        sources: [scored] int64, the place in `ids` from which each scored token is predicted.
        targets: [scored] int64, the scored tokens.
        rows: For each scored row, its number and the number of its scored tokens. The rows take
            `sources` and `targets` one after the other.
    """

    ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    groups: tuple[Group, ...]
    sources: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    rows: tuple[tuple[int, int], ...]


class Unit(NamedTuple):
    """Rows that always go through the model together, because they begin alike; or one row.

    Attributes:
        prefix: Number of tokens at the beginning that the rows share; 0 for a single row.
        rows: Numbers of the rows whose tokens are computed.
        tokens: Number of computed tokens.
        longest: Number of computed tokens of the longest row.
    """

    prefix: int
    rows: tuple[int, ...]
    tokens: int
    longest: int


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
    kin = [Family(0, [row]) for row in carriers]
    if share:
        kin = families(carriers, [_computed(rows[row]) for row in carriers])
    units = [unit for family in kin for unit in _units(rows, family, max_tokens)]
    units.sort(key=lambda unit: -unit.longest)  # stable: equals stay in the order of their tokens
    return PackPlan(fill(units, max_tokens), riders)


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


def _units(rows: Sequence[Encoded], family: Family, max_tokens: int) -> list[Unit]:
    """Return units of rows that begin alike, sharing the beginning where that saves enough."""
    prefix, members = family
    lengths = [len(rows[row].ids) - 1 for row in members]
    if family.saving < max(_MIN_SAVING, _MIN_SAVING_SHARE * sum(lengths)):
        return [Unit(0, (row,), size, size) for row, size in zip(members, lengths, strict=True)]
    units: list[Unit] = []
    waiting: list[int] = []
    tokens = 0
    for row in sorted(members, key=lambda row: -len(rows[row].ids)):
        size = len(rows[row].ids) - 1 - prefix
        if waiting and tokens + size > max_tokens:
            units.append(_shared(rows, waiting, prefix))
            waiting, tokens = [], 0
        waiting.append(row)
        tokens += size
    return [*units, _shared(rows, waiting, prefix)]


def _shared(rows: Sequence[Encoded], members: Sequence[int], prefix: int) -> Unit:
    lengths = [len(rows[row].ids) - 1 for row in members]
    if len(members) == 1:
        return Unit(0, tuple(members), lengths[0], lengths[0])
    tokens = prefix + sum(lengths) - prefix * len(members)
    return Unit(prefix, tuple(members), tokens, max(lengths))


def split(batch: Sequence[Unit], rows: Sequence[Encoded]) -> list[list[Unit]]:
    """Cut a batch into two that need about half the memory each.

    Args:
        batch: The units of the batch.
        rows: All rows, by number.

    Returns:
        Two batches, or the same one where it holds a single row.
    """
    if len(batch) > 1:
        half = (len(batch) + 1) // 2
        return [list(batch[:half]), list(batch[half:])]
    unit = batch[0]
    if len(unit.rows) == 1:
        return [[unit]]
    half = (len(unit.rows) + 1) // 2
    parts = (unit.rows[:half], unit.rows[half:])
    return [[_shared(rows, part, unit.prefix)] for part in parts]


def pack(batch: Sequence[Unit], rows: Sequence[Encoded], riders: dict[int, list[int]]) -> Pack:
    """Lay out the tokens of a batch as a pack.

    Args:
        batch: The units of the batch.
        rows: All rows, by number.
        riders: As in :class:`PackPlan`.
    """
    ids: list[int] = []
    positions: list[int] = []
    groups: list[Group] = []
    singles: list[Span] = []
    sources, targets, scored = [], [], []

    def lay(row: int, start: int, stop: int) -> Span:
        span = Span(len(ids), stop - start)
        ids.extend(rows[row].ids[start:stop])
        positions.extend(range(start, stop))
        return span

    for unit in batch:
        prefix = lay(unit.rows[0], 0, unit.prefix) if unit.prefix else None
        if prefix:
            singles.append(prefix)
        own = []
        for row in unit.rows:
            span = lay(row, unit.prefix, len(rows[row].ids) - 1)
            own.append(span)
            # From a token's place in its row to its place in the pack.
            places = np.arange(len(rows[row].ids) - 1) + span.start - unit.prefix
            if prefix:
                places[: unit.prefix] = np.arange(unit.prefix) + prefix.start
            for rider in riders[row]:
                start, stop = rows[rider].prompt_tokens, len(rows[rider].ids)
                sources.append(places[start - 1 : stop - 1])
                targets.append(np.array(rows[rider].ids[start:stop], dtype=np.int64))
                scored.append((rider, stop - start))
        if prefix:
            groups.extend(Group(prefix, spans) for spans in _similar(own))
        else:
            singles.extend(own)
    groups.extend(Group(None, spans) for spans in _similar(singles))
    return Pack(
        np.array(ids, dtype=np.int64),
        np.array(positions, dtype=np.int64),
        tuple(groups),
        np.concatenate(sources),
        np.concatenate(targets),
        tuple(scored),
    )


def _similar(spans: Iterable[Span]) -> list[tuple[Span, ...]]:
    """Part spans so that those of one part need little padding to be of one length."""
    parts: list[list[Span]] = []
    tokens = 0
    for span in sorted(spans, key=lambda span: (-span.length, span.start)):
        tokens += span.length
        if parts:
            padding = parts[-1][0].length * (len(parts[-1]) + 1) - tokens
        if not parts or padding > max(_PADDING_TOKENS, _PADDING_SHARE * tokens):
            parts.append([])
            tokens = span.length
        parts[-1].append(span)
    return [tuple(part) for part in parts]
