"""The funnel adds up: no row is lost or invented between reading and export, in any source.

It is held where counts are written down. A sum that is wrong is a defect of siftline or of a
method, not of the data: it is a `RuntimeError` with both numbers, and the version is not finished.
"""

from collections.abc import Mapping, Sequence

from siftline.pipelines.ingestion.ingest import IngestSummary
from siftline.pipelines.manifest import ExportManifest, StageManifest


def check_ingest(read: IngestSummary) -> None:
    """Check that every row of every source is used or in quarantine.

    Raises:
        RuntimeError: One is not.
    """
    for name, source in read.sources.items():
        quarantined = sum(source.quarantined.values())
        _equal(
            f"source '{name}'",
            ("rows read", source.rows),
            ("used and quarantined", source.used + quarantined),
        )


def check_stage(stage: StageManifest) -> None:
    """Check that the reasons of a stage account for each of its rows, by source too.

    Raises:
        RuntimeError: They do not.
    """
    where = f"stage '{stage.folder}'"
    kept, dropped = sum(stage.reasons_kept.values()), sum(stage.reasons_dropped.values())
    _equal(where, ("rows", stage.rows), ("kept and dropped by reason", kept + dropped))
    _equal(where, ("kept", stage.kept), ("kept by reason", kept))
    for field in ("reasons_kept", "reasons_dropped"):
        by_source = _summed([getattr(each, field) for each in stage.sources.values()])
        _equal(where, (field, getattr(stage, field)), (f"{field} of its sources", by_source))
    for name, source in stage.sources.items():
        inside = f"{where}, source '{name}'"
        kept = sum(source.reasons_kept.values())
        dropped = sum(source.reasons_dropped.values())
        _equal(inside, ("rows", source.rows), ("kept and dropped by reason", kept + dropped))
        _equal(inside, ("kept", source.kept), ("kept by reason", kept))


def check_stages(read: IngestSummary, stages: Sequence[StageManifest]) -> None:
    """Check that what leaves one stage is what reaches the next, from reading on, by source.

    Raises:
        RuntimeError: It is not.
    """
    check_ingest(read)
    before = "reading"
    left = {name: each.examples for name, each in read.sources.items() if each.examples}
    for stage in stages:
        check_stage(stage)
        reached = {name: each.rows for name, each in stage.sources.items() if each.rows}
        _equal(f"stage '{stage.folder}'", ("rows", reached), (f"rows left by {before}", left))
        before = f"'{stage.folder}'"
        left = {name: each.kept for name, each in stage.sources.items() if each.kept}


def check_export(
    read: IngestSummary, stages: Sequence[StageManifest], exported: ExportManifest
) -> None:
    """Check that the dataset holds each row that the last stage has kept.

    Raises:
        RuntimeError: It does not.
    """
    examples = sum(source.examples for source in read.sources.values())
    left = stages[-1].kept if stages else examples
    _equal("export", ("examples written", exported.examples), ("rows left to write", left))
    rows = sum(exported.splits.values())
    _equal("export", ("rows", exported.rows), ("rows of its splits", rows))


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _equal(where: str, found: tuple[str, object], expected: tuple[str, object]) -> None:
    (name, value), (other, wanted) = found, expected
    if value != wanted:
        raise RuntimeError(
            f"{where} does not add up: {name} {value}, {other} {wanted}; expected the same. This "
            "is a defect of siftline, or of the method: nothing is finished."
        )
