"""Rows that do not add up end a run, whichever sum is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from siftline.pipelines.funnel import check_export, check_ingest, check_stage, check_stages
from siftline.pipelines.ingestion.ingest import IngestSummary, SourceIngest
from siftline.pipelines.manifest import ExportManifest, SourceCount, StageManifest
from siftline.pipelines.output import export as export_module
from siftline.pipelines.output.splits import Split, splits_of
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.pipelines.run_directory import finished
from siftline.reports.write import write_reports

READ = IngestSummary(
    sources={
        "a": SourceIngest(files=1, rows=6, used=4, examples=5, quarantined={"bad": 1, "worse": 1}),
        "b": SourceIngest(files=1, rows=2, used=2, examples=2, quarantined={}),
    }
)


def stage(kind: str, sources: dict[str, tuple[dict[str, int], dict[str, int]]]) -> StageManifest:
    """A stage that has kept and dropped, by source and reason."""
    counts = {
        name: SourceCount(
            rows=sum(kept.values()) + sum(dropped.values()),
            kept=sum(kept.values()),
            reasons_kept=kept,
            reasons_dropped=dropped,
        )
        for name, (kept, dropped) in sources.items()
    }
    totals: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for pair in sources.values():
        for total, reasons in zip(totals, pair, strict=True):
            for slug, count in reasons.items():
                total[slug] = total.get(slug, 0) + count
    return StageManifest(
        folder=kind,
        kind=kind,
        rows=sum(each.rows for each in counts.values()),
        kept=sum(each.kept for each in counts.values()),
        revised=0,
        reasons_kept=totals[0],
        reasons_dropped=totals[1],
        sources=counts,
        scored=0,
        cached=0,
        model_calls=0,
        tokens=0,
        seconds=0,
    )


FIRST = stage("01-first", {"a": ({"kept": 3, "odd": 1}, {"short": 1}), "b": ({}, {"short": 2})})
SECOND = stage("02-second", {"a": ({"kept": 2}, {"over": 2})})
EXPORT = ExportManifest(
    format="messages", files=("x",), digest="", rows=3, examples=2, splits={"train": 3}, seconds=0
)


def changed(of: StageManifest, source: str = "", **fields: Any) -> StageManifest:
    """A stage with other counts, of one of its sources if that is named."""
    if not source:
        return of.model_copy(update=fields)
    sources = {**of.sources, source: of.sources[source].model_copy(update=fields)}
    return of.model_copy(update={"sources": sources})


def test_what_adds_up_is_let_through() -> None:
    check_stages(READ, [FIRST, SECOND])
    check_export(READ, [FIRST, SECOND], EXPORT)
    check_stages(READ, [])


@pytest.mark.parametrize("field", ["rows", "used"])
def test_a_row_that_is_neither_used_nor_in_quarantine(field: str) -> None:
    source = READ.sources["a"]
    broken = source.model_copy(update={field: getattr(source, field) + 1})
    with pytest.raises(RuntimeError, match=r"source 'a'.*rows read \d.*used and quarantined \d"):
        check_ingest(IngestSummary(sources={**READ.sources, "a": broken}))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (changed(FIRST, rows=8), "rows 8, kept and dropped by reason 7"),
        (changed(FIRST, kept=5), "kept 5, kept by reason 4"),
        (changed(FIRST, reasons_dropped={"short": 2}), "rows 7, kept and dropped by reason 6"),
        (changed(FIRST, reasons_kept={"kept": 4}), "reasons_kept {'kept': 4}"),
        (changed(FIRST, reasons_dropped={"shirt": 3}), "reasons_dropped {'shirt': 3}"),
        (changed(FIRST, "a", rows=4), "source 'a'.* rows 4, kept and dropped by reason 5"),
        (changed(FIRST, "b", kept=1), "source 'b'.* kept 1, kept by reason 0"),
        (changed(FIRST, "b", reasons_dropped={"short": 1}), "reasons_dropped of its sources"),
    ],
)
def test_reasons_that_do_not_account_for_the_rows(broken: StageManifest, told: str) -> None:
    check_stage(FIRST)
    with pytest.raises(RuntimeError, match=told):
        check_stage(broken)


def test_rows_that_are_lost_or_moved_between_stages() -> None:
    with pytest.raises(RuntimeError, match=r"rows \{'a': 4\}, rows left by reading \{'a': 5"):
        check_stages(READ, [SECOND])
    moved = stage("02-second", {"a": ({"kept": 2}, {}), "b": ({"kept": 2}, {})})
    with pytest.raises(RuntimeError, match=r"rows \{'a': 2, 'b': 2\}, rows left by '01-first'"):
        check_stages(READ, [FIRST, moved])


def test_rows_that_are_lost_in_the_export() -> None:
    for update in ({"examples": 3}, {"examples": 1}, {"rows": 4}):
        with pytest.raises(RuntimeError, match="export does not add up"):
            check_export(READ, [FIRST, SECOND], EXPORT.model_copy(update=update))
    with pytest.raises(RuntimeError, match="examples written 2, rows left to write 7"):
        check_export(READ, [], EXPORT)


def go(folder: Path) -> RunResult:
    for name, responses in {"a": ["Yes, it is.", "No."], "b": ["", "I cannot help you."]}.items():
        rows = [{"instruction": f"{name}?", "output": text} for text in responses]
        (folder / f"{name}.json").write_text(json.dumps(rows))
    inputs = [{"path": f"{name}.json", "source": name} for name in "ab"]
    stages = [{"kind": "rules"}, {"kind": "exact_duplicates"}]
    recipe = parse_recipe(
        {"name": "f", "inputs": inputs, "stages": stages, "max_bad_rows": "90%"}, "f"
    )
    return run(recipe, folder, folder / "runs")


def test_a_run_tells_the_reasons_of_each_source(tmp_path: Path) -> None:
    result = go(tmp_path)
    assert result.stages[0].sources["b"].reasons_dropped == {"empty_response": 1, "refusal": 1}
    assert result.stages[0].sources["a"].reasons_kept == {"kept": 2}
    assert result.export.examples == 2
    write_reports(result.folder)
    assert "empty_response 1, refusal 1" in (result.folder / "report.html").read_text()


def test_a_run_whose_export_loses_a_row_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_the_last(*given: Any) -> list[Split]:
        return [Split(each.name, each.rows[:-1], each.repeat[:-1]) for each in splits_of(*given)]

    monkeypatch.setattr(export_module, "splits_of", without_the_last)
    with pytest.raises(RuntimeError, match="examples written 1, rows left to write 2"):
        go(tmp_path)
    assert not finished(tmp_path / "runs" / "f" / "v0001")
    assert not (tmp_path / "runs" / "f" / "latest").exists()
