"""The rows of a corpus as the groups of a mixture: sources, tasks, or tasks within sources."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from siftline.contracts.columns import text_column
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.names import check_known, ingested_pairs, shown_name
from siftline.selectors.arrays import Bools, Float64s, Ints
from siftline.selectors.mixture.plan import Groups, rates, shares

By = Literal["source", "task"]


class Rule(NamedTuple):
    """How groups get their shares; see :class:`siftline.selectors.mixing.Mix`."""

    by: By
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
    pairs = ingested_pairs(corpus)
    _check_names(rule, pairs)
    keys = sorted({_key(rule, *pair) for pair in pairs})
    number = {key: place for place, key in enumerate(keys)}
    columns = [np.array(text_column(corpus, name), dtype=object)[rows] for name in _COLUMNS]
    labels = np.array([number[_key(rule, *p)] for p in zip(*columns, strict=True)], dtype=np.int64)
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


_COLUMNS = ("source", "task")


def without_weight(corpus: Corpus, rule: Rule) -> Bools:
    """Return [rows] true where the group, or its source above it, states a weight of 0."""
    pairs = zip(*(text_column(corpus, name) for name in _COLUMNS), strict=True)
    keys = (_key(rule, *pair) for pair in pairs)
    outer = rule.source_weights or {}
    return np.array(
        [0 in (_stated(outer, parent), _stated(rule.weights, name)) for parent, name in keys],
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


def _check_names(rule: Rule, pairs: set[tuple[str, str]]) -> None:
    column = _COLUMNS.index(rule.by)
    check_known("mix.weights", rule.weights, {pair[column] for pair in pairs})
    check_known("mix.source_weights", rule.source_weights or {}, {source for source, _ in pairs})


def _two_levels(rule: Rule) -> bool:
    return rule.source_weights is not None


def _key(rule: Rule, source: str, task: str) -> tuple[str, str]:
    """Return the parent and the name of a row's group."""
    if rule.by == "source":
        return "", source
    return (source if _two_levels(rule) else ""), task


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
