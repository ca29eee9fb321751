"""Tests of what CLEAR reports, on tables small enough to count by hand."""

from typing import Any

import numpy as np
import pyarrow as pa
from corpora import corpus_of
from test_clear import consistency, reflection

from siftline.contracts.corpus import Corpus
from siftline.filters.clear_report import (
    confidence_figures,
    correction_figures,
    gate_figures,
    kept_figures,
    warnings,
)
from siftline.filters.thresholds import Passed

ALL = np.ones(4, dtype=bool)
PASSED = Passed(ALL, np.zeros(4), ())


def corpus(mass: float = 1.0, **columns: Any) -> Corpus:
    """Four rows: two with samples, one with too few, one with an empty response."""
    statuses = ["ok", "ok", "ok", "empty_response"]
    looks = reflection([0.25, 0.5, 1.0, None], status=statuses, second_letter=list("AABA"))
    masses = pa.array([mass] * 3 + [None], pa.float64())
    looks = looks.set_column(looks.column_names.index("letter_mass"), "letter_mass", masses)
    samples = consistency([0.5, 1.0, None, None], [0.0, 1.0, None, None])
    drawn = pa.array(["ok", "ok", "too_few_samples", None])
    values = pa.array([0.2, 0.4, 0.6, 0.8], pa.float64())
    tables = {
        "reflection": looks,
        "consistency": samples.set_column(0, "status", drawn),
        "confidence": pa.table({name: values for name in ("value", "consistency", "reflection")}),
    }
    return corpus_of(list("abcd"), tables=tables, **columns)


def test_figures_of_the_confidence() -> None:
    found = confidence_figures(corpus(mass=0.75))
    assert found["confidence_quartiles"] == [0.35, 0.5, 0.65]
    assert found["letter_mass_quartiles"] == [0.75, 0.75, 0.75]
    assert found["looks_that_disagree"] == 1
    assert found["unparsable_reflections"] == 0
    assert found["sampled_rows"] == 3


def test_rows_that_the_gate_spares_are_counted() -> None:
    drawn = corpus()
    assert gate_figures(drawn, 0.1) == {"gate": 0.1, "gated_rows": 0}
    spared = corpus_of(list("abcd"), tables={"reflection": drawn.tables["reflection"]})
    assert gate_figures(spared, 0.1) == {"gate": 0.1, "gated_rows": 3}


def test_what_is_kept_is_counted_by_source_and_task() -> None:
    keep = np.array([True, False, True, False])
    found = kept_figures(corpus(source=list("ssst"), task=["x", "y", "y", None]), keep)
    assert found == {
        "unjudged": {"too_few_samples": 1},  # an empty response is judged: it is dropped
        "kept_share_by_source": {"s": 0.6667, "t": 0.0},
        "kept_share_by_task": {"s, task x": 1.0, "s, task y": 0.5, "t": 0.0},
    }


def test_corrections_are_counted_by_what_became_of_them() -> None:
    status = pa.table({"status": pa.array(["ok", "cut", None, "ok"])})
    decided = pa.table(
        {
            "keep": [True, False, True, True],
            "reason": ["corrected", "low_confidence", "confident", "confident"],
        }
    )
    assert correction_figures(corpus().with_scores("preference", status), decided) == {
        "asked": 3,
        "judged": 2,
        "not_judged": {"cut": 1},
        "corrected": 1,
        "corrected_share_of_kept": 0.3333,
    }
    assert correction_figures(corpus(), decided)["asked"] == 0


def test_each_warning_has_its_cause() -> None:
    def one(found: list[str]) -> str:
        return found[0] if found else ""

    nothing = Passed(~ALL, np.zeros(4), ())
    tied = Passed(ALL, np.zeros(4), ("s", "t"))
    assert one(warnings(corpus(), ALL, PASSED, tunes=True)) == ""
    assert "less than 0.05 of the next" in one(warnings(corpus(0.05), ALL, PASSED, tunes=False))
    assert one(warnings(corpus(), ALL, nothing, tunes=False)) == ""
    assert one(warnings(corpus(), ALL, nothing, tunes=True)).startswith("Nothing passed")
    assert one(warnings(corpus(), ALL, tied, tunes=False)).startswith("In s, t the threshold is")
