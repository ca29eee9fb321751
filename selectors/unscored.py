"""Rows without the score that a method chooses by: they are not chosen among, and not judged.

What could not be scored is no worse for that. So a method chooses among the rows that have a score,
and its budget, a number or a share, is one of these; the others are kept beside it, or left out
where the recipe says `unscored: drop`. Either way their reason is `unscored`.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.method import ChoosesByScore
from siftline.selectors.arrays import Bools, Float64s
from siftline.selectors.budget import unit_codes

UNSCORED = "unscored"


def among_scored(
    method: ChoosesByScore, corpus: Corpus, scored: Bools, choose: Callable[[Corpus], pa.Table]
) -> pa.Table:
    """Return the verdicts of a choice among rows with a score, and those on the other rows.

    Args:
        method: Says what becomes of rows without a score.
        corpus: All rows.
        scored: [rows] True where a row, or another one of its unit, has a score.
        choose: Returns verdicts on a corpus of rows that are all scored.
    """
    return beside_unscored(corpus, scored, choose, keep=method.unscored == "keep")


def beside_unscored(
    corpus: Corpus, scored: Bools, choose: Callable[[Corpus], pa.Table], *, keep: bool
) -> pa.Table:
    """Return the verdicts of a choice, and keep the other rows beside it, or leave them out.

    Args:
        corpus: All rows.
        scored: [rows] True for those among which is chosen.
        choose: Returns verdicts on a corpus of these.
        keep: What becomes of the others.
    """
    if scored.all():
        return choose(corpus)
    chosen = choose(corpus.filter(scored)) if scored.any() else VERDICTS.empty_table()
    place = pa.array(np.cumsum(scored) - 1, mask=~scored)
    columns = {name: chosen[name].combine_chunks().take(place) for name in chosen.column_names}
    columns["id"] = corpus.rows["id"]
    columns["keep"] = pc.fill_null(columns["keep"], keep)
    columns["reason"] = pc.fill_null(columns["reason"], UNSCORED)
    return pa.table(columns, schema=VERDICTS)


def scored_units(corpus: Corpus, unit: str, score: Float64s) -> Bools:
    """Return [rows] true where the row has a finite score; of prompts, where any of its rows has.

    Args:
        corpus: Whose rows.
        unit: `prompt`, whose rows stay together, or another, where each row is its own.
        score: [rows] NaN where there is none.
    """
    finite = np.isfinite(score)
    if unit != "prompt" or finite.all():
        return finite
    codes = unit_codes(corpus, "prompt")
    any_of = np.zeros(codes.max(initial=-1) + 1, dtype=bool)
    any_of[codes[finite]] = True
    found: Bools = any_of[codes]
    return found


def unscored_figures(decided: pa.Table) -> dict[str, int]:
    """Return how many rows had no score, for the report; nothing where all had one."""
    count = decided["reason"].to_pylist().count(UNSCORED)
    return {"rows_without_a_score": count} if count else {}
