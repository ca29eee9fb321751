"""The rows of a corpus as the groups of a mixture: sources, tasks, or the values of a text score.

Tasks and values may stand within sources.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from siftline.contracts.columns import text_column, text_score
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.names import NOT_STATED, check_known, ingested_pairs, shown_name
from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.mixture.plan import Groups, rates, shares

_COLUMNS = ("source", "task")  # of the index: what was read is known, whatever was dropped since


class Rule(NamedTuple):
    """How groups get their shares; see :class:`siftline.selectors.mixing.Mix`.

    `by` is `source`, `task`, or a text score `table.column`.
    """

    by: str
    weights: Mapping[str, float]
    source_weights: Mapping[str, float] | None
    cap: int
    temperature: float


class Grouped(NamedTuple):
    """Rows in groups.

    Attributes:
        names: [groups] Their names, in order; with two levels `source / task`.
        labels: [rows] Number of each row's group.
        groups: Their shares and sizes.
    """

    names: list[str]
    labels: Ints
    groups: Groups


def group(corpus: Corpus, rows: Ints, cost: Ints, rule: Rule) -> Grouped:
    """Sort rows into groups, and give each group its share.

    Groups that were read but have no row left are among them, of size 0.

    Args:
        corpus: All rows.
        rows: Numbers of the rows that count.
        cost: [counted rows] What each costs, in the budget's unit.
        rule: How groups get their shares.

    Raises:
        RecipeError: A weight names what was never read, or the weights leave nothing for a group
            that states none.
    """
    of_row = list(_keys(corpus, rule))
    keys = sorted(_known(corpus, rule) | set(of_row))
    number = {key: place for place, key in enumerate(keys)}
    labels = np.array([number[of_row[row]] for row in rows], dtype=np.int64)
    size = np.bincount(labels, cost, minlength=len(keys)).astype(np.int64)
    parents = sorted({parent for parent, _ in keys})
    place_of = {name: place for place, name in enumerate(parents)}
    parent = np.array([place_of[name] for name, _ in keys], dtype=np.int64)
    counted = np.minimum(size, rule.cap) if rule.cap else size
    weight = np.zeros(len(keys))
    for place in range(len(parents)):
        children = np.flatnonzero(parent == place)
        weight[children] = _shares([keys[n][1] for n in children], size[children], rule)
    outer = rates(np.bincount(parent, counted, minlength=len(parents)).astype(np.int64))
    stated = [_stated(rule.source_weights or {}, name) for name in parents]
    level = _named_shares("source_weights", parents, outer, stated)
    keys_shown = [(shown_name(parent), shown_name(name)) for parent, name in keys]
    names = [f"{a} / {b}" if _two_levels(rule) else b for a, b in keys_shown]
    return Grouped(names, labels, Groups(parent, weight, level, size))


def without_weight(corpus: Corpus, rule: Rule) -> Bools:
    """Return [rows] true where the group, or its source above it, states a weight of 0."""
    outer = rule.source_weights or {}
    return np.array(
        [
            0 in (_stated(outer, parent), _stated(rule.weights, name))
            for parent, name in _keys(corpus, rule)
        ],
        dtype=bool,
    )


def by_source_and_task(corpus: Corpus) -> tuple[list[str], Ints]:
    """Return the pairs of source and task, in order, and [rows] the number of each one's pair.

    A pair is written `source / task`.
    """
    sources, tasks = text_column(corpus, "source"), text_column(corpus, "task")
    names = [f"{source} / {shown_name(task)}" for source, task in zip(sources, tasks, strict=True)]
    keys, codes = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
    return keys.tolist(), codes


def _known(corpus: Corpus, rule: Rule) -> set[tuple[str, str]]:
    """Return parent and name of the groups that there are, whether or not they have a row left.

    Sources and tasks are those that were read. Of a score nobody knows which values there might
    have been: what the weights name is a group, which is short where it has no rows.

    Raises:
        RecipeError: A weight names a source or a task that was never read.
    """
    pairs = ingested_pairs(corpus)
    sources = {source for source, _ in pairs}
    check_known("mix.source_weights", rule.source_weights or {}, sources)
    if rule.by in _COLUMNS:
        column = _COLUMNS.index(rule.by)
        check_known("mix.weights", rule.weights, {pair[column] for pair in pairs})
        return {_key(rule, source, (source, task)[column]) for source, task in pairs}
    if _two_levels(rule):
        return {(source, "") for source in sources}
    return {("", "" if name == NOT_STATED else name) for name in rule.weights}


def _two_levels(rule: Rule) -> bool:
    return rule.source_weights is not None


def _keys(corpus: Corpus, rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield the parent and the name of each row's group."""
    of_index = rule.by in _COLUMNS
    names = text_column(corpus, rule.by) if of_index else text_score(corpus, rule.by, "mix.by")
    for source, name in zip(text_column(corpus, "source"), names, strict=True):
        yield _key(rule, source, name)


def _key(rule: Rule, source: str, name: str) -> tuple[str, str]:
    return (source if _two_levels(rule) else ""), name


def _stated(weights: Mapping[str, float], name: str) -> float | None:
    return weights.get(shown_name(name))


def _shares(names: list[str], size: Ints, rule: Rule) -> Float64s:
    """Return the shares of the groups of one parent."""
    stated = [_stated(rule.weights, name) for name in names]
    rate = rates(size, rule.cap, rule.temperature)
    if not rate.any() and all(weight is None for weight in stated):
        return np.full(
            len(names), 1 / len(names)
        )  # so that the report can say what the parent lacks
    return _named_shares("weights", names, rate, stated)


def _named_shares(
    field: str, names: list[str], rate: Float64s, stated: list[float | None]
) -> Float64s:
    try:
        return shares(rate, stated)
    except ValueError as error:
        without = [
            shown_name(name)
            for name, weight, share in zip(names, stated, rate, strict=True)
            if weight is None and share > 0
        ]
        raise RecipeError(
            f"mix.{field}: {error}, and '{without[0]}'"
            f"{f' and {len(without) - 1} more state' if without[1:] else ' states'} none. Give "
            "each a weight, 0 to drop it, or state shares that sum to less than 1: the others "
            "divide the rest."
        ) from error
