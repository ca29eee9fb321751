"""The report of a mixture: what each group has, was asked for and gives, beside a random choice."""

from typing import Any

import numpy as np

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.figures import DECIMALS
from siftline.selectors.arrays import Float64s, Ints
from siftline.selectors.mixture.groups import by_source_and_task
from siftline.selectors.mixture.plan import Mixture
from siftline.selectors.quotas.largest_remainder import TOLERANCE

TOKENS = "token_counts.response_tokens"
NAMED = 3  # groups in a warning


def mixture_figures(
    corpus: Corpus, mixture: Mixture, times: Ints, limit: int | None
) -> dict[str, Any]:
    """Return the figures of a mixture.

    Args:
        corpus: The pool.
        mixture: The plan.
        times: [rows] How often each is written, be it beside the budget.
        limit: Groups that are listed, the largest; None for all.
    """
    random = mixture.random()
    asked = mixture.quotas.asked
    given = _sums(mixture, times[mixture.rows])
    # What whole rows leave of a quota in tokens is no shortage, unless no row fits at all.
    short = np.where(given > 0, np.maximum(0, asked - mixture.quotas.given), asked)
    extra = np.maximum(0, mixture.quotas.given - asked)
    size = mixture.groups.size
    columns: dict[str, Any] = {
        "available": size.tolist(),
        "share": [round(float(share), DECIMALS) for share in mixture.groups.share],
        "asked": _whole(asked),
        "given": _whole(given),
        "epochs": [round(float(g / s), 2) if s else 0.0 for g, s in zip(given, size, strict=True)],
        "short": _whole(short),
        "from_others": _whole(extra),
        "random": _whole(_sums(mixture, random)),
    }
    order = np.argsort(-np.maximum(asked, size), kind="stable")
    table = {mixture.names[n]: {name: column[n] for name, column in columns.items()} for n in order}
    total = int(given.sum())
    return {
        "budget": mixture.wanted,
        "given": total,
        "missing": max(0, mixture.wanted - round(float(mixture.quotas.given.sum()))),
        **_listed("groups", table, limit),
        **_listed("by_source_and_task", _pairs(corpus, mixture, times, random), limit),
        "warnings": _warnings(mixture, short),
    }


def _sums(mixture: Mixture, times: Ints) -> Float64s:
    """Return [groups] what some rows cost."""
    costs = times * mixture.cost
    return np.bincount(mixture.labels, costs, minlength=len(mixture.names)).astype(np.float64)


def _whole(values: Float64s) -> list[int]:
    return [round(float(value)) for value in values]


def _listed(name: str, table: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """Return the first entries of a table, and how many more there are."""
    if limit is None or len(table) <= limit:
        return {name: table}
    shown = dict(list(table.items())[:limit])
    return {name: shown, f"{name}_not_listed": len(table) - limit}


def _pairs(corpus: Corpus, mixture: Mixture, times: Ints, random: Ints) -> dict[str, Any]:
    """Return rows, and tokens where they are known, by source and task, the largest first."""
    keys, codes = by_source_and_task(corpus)
    rows = len(corpus)
    every = {"": np.ones(rows), "written": times.astype(float), "random": np.zeros(rows)}
    every["random"][mixture.rows] = random
    columns = {f"rows_{name}".rstrip("_"): weight for name, weight in every.items()}
    if TOKENS in corpus.score_columns:
        tokens = np.nan_to_num(to_float(corpus.column(TOKENS)))
        columns |= {f"tokens_{name}".rstrip("_"): w * tokens for name, w in every.items()}
    sums = {
        name: _whole(np.bincount(codes, values).astype(np.float64))
        for name, values in columns.items()
    }
    order = np.argsort(-np.bincount(codes), kind="stable")
    return {keys[n]: {name: column[n] for name, column in sums.items()} for n in order}


def _warnings(mixture: Mixture, short: Float64s) -> list[str]:
    warnings = []
    lacking = [n for n in np.argsort(-short, kind="stable") if short[n] > 0.5]
    if lacking:
        named = ", ".join(
            f"'{mixture.names[n]}' by {round(float(short[n])):,}" for n in lacking[:NAMED]
        )
        more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
        warnings.append(
            f"Short of what is asked: {named}{more}. The others give it as far as they can; raise "
            "'max_epochs' to repeat rows, or ask for less."
        )
    missing = mixture.wanted - float(mixture.quotas.given.sum())
    if missing > 1 - TOLERANCE:
        warnings.append(
            f"Of the budget of {mixture.wanted:,} {round(missing):,} is missing: no group with a "
            "weight has more to give."
        )
    return warnings
