"""What CLEAR reports: the parts of the confidence, what was kept, the corrections, and warnings."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siftline.contracts.columns import to_float
from siftline.contracts.corpus import Corpus
from siftline.contracts.figures import DECIMALS, mean, quartiles
from siftline.filters.confidence import sampled, status_of
from siftline.filters.correction import CORRECTED
from siftline.filters.thresholds import Passed, group_names, members, vanishing
from siftline.models.likelihood import EMPTY_RESPONSE, OK

# A group of which less is kept is about to vanish, if it had so many rows (ours).
VANISHING_SHARE = 0.1
FEWEST_ROWS = 10
NAMED_GROUPS = 5
# Median probability of a letter as the next token below which the report warns (ours).
LITTLE_MASS = 0.1

Bools = npt.NDArray[np.bool_]


def confidence_figures(corpus: Corpus) -> dict[str, Any]:
    """Return the quartiles of the confidence and its parts, and how the judge replied."""
    return {
        "confidence_quartiles": _quartiles(corpus, "confidence.value"),
        "consistency_quartiles": _quartiles(corpus, "confidence.consistency"),
        "reflection_quartiles": _quartiles(corpus, "confidence.reflection"),
        "looks_that_disagree": _disagreements(corpus),
        "letter_mass_quartiles": _quartiles(corpus, "reflection.letter_mass"),
        "unparsable_reflections": int(np.nansum(to_float(corpus.column("reflection.unparsable")))),
        "sampled_rows": int(sampled(corpus).sum()),
    }


def gate_figures(corpus: Corpus, gate: float) -> dict[str, Any]:
    """Return the gate, and how many rows were judged by reflection alone."""
    gated = (status_of(corpus) == OK) & ~sampled(corpus)
    return {"gate": gate, "gated_rows": int(gated.sum())}


def kept_figures(corpus: Corpus, keep: Bools) -> dict[str, Any]:
    """Return how many rows were not judged, by status, and the kept share of sources and tasks."""
    status = status_of(corpus)
    names = sorted(set(status) - {OK, EMPTY_RESPONSE})
    return {
        "unjudged": {str(name): int((status == name).sum()) for name in names},
        "kept_share_by_source": _kept_shares(keep, group_names(corpus, "source")),
        "kept_share_by_task": _kept_shares(keep, group_names(corpus, "task")),
    }


def correction_figures(corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
    """Return how many candidates were judged, why others were not, and how many were taken."""
    status: Counter[str] = Counter()
    if "preference" in corpus.tables:
        status.update(corpus.column("preference.status").drop_null().to_pylist())
    corrected = decided["reason"].to_pylist().count(CORRECTED)
    kept = max(1, int(decided["keep"].to_numpy().sum()))
    return {
        "asked": status.total(),
        "judged": status[OK],
        "not_judged": {name: count for name, count in status.items() if name != OK},
        "corrected": corrected,
        "corrected_share_of_kept": round(corrected / kept, DECIMALS),
    }


def warnings(corpus: Corpus, keep: Bools, passed: Passed, tunes: bool) -> list[str]:
    """Return what a user would want to mend before the next run, a sentence each.

    Args:
        corpus: With all scores of the stage.
        keep: [rows] True for the rows that are kept.
        passed: The rows above the threshold.
        tunes: A model is tuned on them.
    """
    candidates = (
        _vanishing(corpus, keep),
        _little_mass(corpus),
        "Nothing passed that a model could be tuned on: nothing is corrected."
        if tunes and not passed.rows.any()
        else None,
        f"In {', '.join(passed.ties)} the threshold is the highest confidence: rows equal to it "
        "are kept, or nothing would be."
        if passed.ties
        else None,
    )
    return [sentence for sentence in candidates if sentence is not None]


def _vanishing(corpus: Corpus, keep: Bools) -> str | None:
    gone = vanishing(keep, group_names(corpus, "task"), VANISHING_SHARE, FEWEST_ROWS)
    if not gone:
        return None
    more = f" and {len(gone) - NAMED_GROUPS} more" if len(gone) > NAMED_GROUPS else ""
    return (
        f"Of {'; '.join(gone[:NAMED_GROUPS])}{more} less than {VANISHING_SHARE:.0%} is "
        "kept; set 'threshold.per: task', or a lower threshold."
    )


def _little_mass(corpus: Corpus) -> str | None:
    mass = _quartiles(corpus, "reflection.letter_mass")
    if not mass or mass[1] >= LITTLE_MASS:
        return None
    return (
        f"Half of the reflections have less than {mass[1]:.2g} of the next token's "
        "probability on A, B and C: the judge hardly answers the question. Try another "
        "'template', or 'reading: letter'."
    )


def _quartiles(corpus: Corpus, name: str) -> list[float]:
    return quartiles(to_float(corpus.column(name)))


def _disagreements(corpus: Corpus) -> int:
    """Return how many rows have another letter at the second look."""
    first = corpus.column("reflection.first_letter").to_pylist()
    second = corpus.column("reflection.second_letter").to_pylist()
    return sum(one != two for one, two in zip(first, second, strict=True))


def _kept_shares(keep: Bools, groups: npt.NDArray[np.object_]) -> dict[str, float | None]:
    return {name: mean(keep[rows]) for name, rows in members(groups).items()}
