"""What methods share that report faults of rows, or drop them: one text column of a score each.

The column `table.slug` says where the fault is, and is null for rows that do not have it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import verdicts

Action: TypeAlias = Literal["report", "drop"]
Actions: TypeAlias = Mapping[str, Action]  # by the slug of a fault, the first that counts first
_SHOWN = 3  # rows of each fault in the report, of those that are kept


def decide_faults(corpus: Corpus, table: str, actions: Actions) -> pa.Table:
    """Give each row its first fault as its reason, those that drop it before others."""
    reasons = np.full(len(corpus), "kept", dtype=object)
    keep = np.ones(len(corpus), dtype=bool)
    for action in ("report", "drop"):
        for slug in reversed([slug for slug, each in actions.items() if each == action]):
            fails = _has(corpus, table, slug)
            reasons[fails] = slug
            keep[fails] = action == "report"
    return verdicts(corpus, keep, reasons)


def diagnose_faults(
    corpus: Corpus, decided: pa.Table, table: str, actions: Actions
) -> dict[str, Any]:
    """Count the rows of each fault; a row may have several."""
    faults = {slug: found for slug in actions if (found := _has(corpus, table, slug)).any()}
    faulty = np.logical_or.reduce([np.zeros(len(corpus), dtype=bool), *faults.values()])
    return {
        "rows_with_a_fault": int(faulty.sum()),
        "rows_by_fault": {slug: int(found.sum()) for slug, found in faults.items()},
        "warnings": _warnings(faults, decided["keep"].to_numpy(), table),
    }


def picture_faults(decided: pa.Table, reasons: Sequence[str] | None = None) -> dict[str, Any]:
    """Name a few rows of each fault that is reported, the smallest ids.

    Args:
        decided: Verdicts.
        reasons: Of rows that are kept and reported; all but `kept` if left out.
    """
    told = pc.not_equal(decided["reason"], "kept")
    if reasons is not None:
        told = pc.is_in(decided["reason"], value_set=pa.array(reasons, pa.string()))
    kept = decided.filter(pc.and_(decided["keep"], told))
    shown: dict[str, list[str]] = {}
    for row in kept.sort_by("id").select(["reason", "id"]).to_pylist():
        ids = shown.setdefault(row["reason"], [])
        ids += [row["id"]] if len(ids) < _SHOWN else []
    return {"reported": shown} if shown else {}


def _warnings(
    faults: Mapping[str, npt.NDArray[np.bool_]], keep: npt.NDArray[np.bool_], table: str
) -> list[str]:
    """Say which faults the rows have that are kept, and what would drop them."""
    kept = {slug: int((found & keep).sum()) for slug, found in faults.items()}
    counts = {slug: count for slug, count in kept.items() if count}
    if not counts:
        return []
    rows = int(np.logical_or.reduce([faults[slug] & keep for slug in counts]).sum())
    listed = ", ".join(f"{slug} {count:,}" for slug, count in counts.items())
    first = max(counts, key=lambda slug: counts[slug])
    return [
        f"{rows:,} of {len(keep):,} rows have a fault and are kept: {listed}. The columns "
        f"{table}.* of decisions.parquet say where; '{first}: drop' leaves such rows out."
    ]


def _has(corpus: Corpus, table: str, slug: str) -> npt.NDArray[np.bool_]:
    """Return [rows] true for those that have a fault."""
    found: npt.NDArray[np.bool_] = pc.is_valid(corpus.column(f"{table}.{slug}")).to_numpy(
        zero_copy_only=False
    )
    return found
