"""What a row was matched with stands beside it in the report, as text."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siftline.contracts.corpus import VERDICTS
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import run
from siftline.reports.matches import Match, matches_of
from siftline.reports.page import report_page

ATTACK = "<script>alert(1)</script>"


def test_the_row_that_stays_is_shown_beside_the_one_that_goes(tmp_path: Path) -> None:
    rows = [
        {"id": "one", "prompt": f"Why {ATTACK}?", "completion": "Because  it is so."},
        {"id": f"two {ATTACK}", "prompt": f"why {ATTACK}?", "completion": "because it is so."},
        {"id": "three", "prompt": "Why?", "completion": "Nobody knows."},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(lines, encoding="utf-8")
    recipe = {
        "name": "twins",
        "inputs": [{"path": "data.jsonl", "source": "made"}],
        "stages": [{"kind": "exact_duplicates"}],
    }
    done = run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs")
    decisions = pq.read_table(done.folder / "decisions.parquet").to_pylist()
    (dropped,) = [row for row in decisions if row["decision"] == "drop"]
    kept = {row["id"] for row in decisions if row["decision"] == "keep"}
    assert dropped["match"] in kept - {"three"}
    assert dropped["similarity"] == 1
    assert all(row["match"] is None for row in decisions if row["decision"] == "keep")
    page = report_page(RunRecord(done.folder))
    shown = page.split('<div class="pair">')[1].split("Quarantine")[0]
    assert "similarity 1" in shown
    assert "Because  it is so." in shown  # the one of them that goes, and the one that stays
    assert "because it is so." in shown
    assert "Nobody knows." not in page
    assert "<script" not in page


def stage(pictures: dict[str, Any], *verdicts: dict[str, Any]) -> Any:
    table = pa.Table.from_pylist(
        [{"keep": False, "reason": "known", **verdict} for verdict in verdicts], schema=VERDICTS
    )
    return SimpleNamespace(verdicts=table, manifest=SimpleNamespace(pictures=pictures))


def test_a_match_from_outside_has_the_texts_that_its_stage_has_left() -> None:
    texts = {"prompt": "2 + 2?", "response": "4"}
    record = stage(
        {"matched": {"old.jsonl#7": texts}},
        {"id": "a", "match": "old.jsonl#7", "similarity": 0.9},
        {"id": "b", "match": "old.jsonl#8"},
        {"id": "c", "match": "a", "similarity": 0.8},
        {"id": "d"},
        {"id": "e", "match": "a"},
    )
    ids = pa.chunked_array([["a", "b", "c", "d", "e"]])
    assert matches_of(record, ["a", "b", "c", "d"], ids) == {
        "a": Match("old.jsonl#7", 0.9, is_row=False, given=texts),
        "b": Match("old.jsonl#8", None, is_row=False, given=None),
        "c": Match("a", 0.8, is_row=True, given=None),
    }
