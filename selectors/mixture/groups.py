"""The rows of a corpus as the groups of a mixture: sources, tasks, or tasks within sources."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from siftline.contracts.columns import text_column
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError, nearest
from siftline.selectors.mixture.plan import Floats, Groups, Ints, rates, shares

By = Literal["source", "task"]

NOT_STATED = "not stated"  # stands for a task that is null


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
        names: [groups] In order; with two levels `source / task`.
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
        rows: Numbers of those that count.
        cost: Of these rows, in the budget's unit.
        rule: How.

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
        mine = np.flatnonzero(parent == place)
        weight[mine] = _shares([keys[n][1] for n in mine], size[mine], rule)
    outer = rates(np.bincount(parent, counted, minlength=len(parents)).astype(np.int64))
    stated = [_stated(rule.source_weights or {}, name) for name in parents]
    level = _named_shares("source_weights", parents, outer, stated)
    names = [f"{_shown(a)} / {_shown(b)}" if _two_levels(rule) else _shown(b) for a, b in keys]
    return Grouped(names, labels, Groups(parent, weight, level, size))


_COLUMNS = ("source", "task")


def ingested_pairs(corpus: Corpus) -> set[tuple[str, str]]:
    """Return every (source, task) that was read, whatever was dropped since; '' for null."""
    tables = [corpus.rows.select(_COLUMNS)]
    tables += [pq.read_table(path, columns=list(_COLUMNS)) for path in corpus.shards]
    found = pa.concat_tables(tables).group_by(list(_COLUMNS)).aggregate([])
    sources, tasks = (found[name].to_pylist() for name in _COLUMNS)
    return {(source or "", task or "") for source, task in zip(sources, tasks, strict=True)}


def check_known(field: str, names: Mapping[str, float] | tuple[str, ...], known: set[str]) -> None:
    """Check that names were read.

    Raises:
        RecipeError: One was not; the nearest is named.
    """
    shown = {_shown(name) for name in known}
    for name in names:
        if name not in shown:
            raise RecipeError(
                f"{field}: nothing of the name '{name}' was read.{nearest(name, shown)}"
            )


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


def _shown(name: str) -> str:
    return name or NOT_STATED


def _stated(weights: Mapping[str, float], name: str) -> float | None:
    return weights.get(_shown(name))


def _shares(names: list[str], size: Ints, rule: Rule) -> Floats:
    """Return the shares of the groups of one parent."""
    stated = [_stated(rule.weights, name) for name in names]
    rate = rates(size, rule.cap, rule.temperature)
    if not rate.any() and all(weight is None for weight in stated):
        return np.full(len(names), 1 / len(names))  # so that what the parent lacks can be told
    return _named_shares("weights", names, rate, stated)


def _named_shares(
    field: str, names: list[str], rate: Floats, stated: list[float | None]
) -> npt.NDArray[np.float64]:
    try:
        return shares(rate, stated)
    except ValueError as error:
        without = [
            _shown(name)
            for name, weight, share in zip(names, stated, rate, strict=True)
            if weight is None and share > 0
        ]
        raise RecipeError(
            f"mix.{field}: {error}, and '{without[0]}'"
            f"{f' and {len(without) - 1} more state' if without[1:] else ' states'} none. Give "
            "each a weight, 0 to drop it, or state shares that sum to less than 1: the others "
            "divide the rest."
        ) from error
