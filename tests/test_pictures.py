"""Tests of what the report draws of a stage: coordinates by hand, and text that stays text."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import run
from siftline.reports.page import report_page
from siftline.reports.pictures import (
    HEIGHT,
    MAP_HEIGHT,
    MAP_WIDTH,
    MARGIN,
    SHOWN_CURVES,
    WIDTH,
    curve_panels,
    map_dots,
)


def curve(*values: float, **fields: Any) -> dict[str, Any]:
    return {"name": "c", "size": 2, "selected": 1, "quota": 1, "values": values, **fields}


def test_all_curves_are_drawn_on_one_scale() -> None:
    assert (WIDTH, HEIGHT) == (160, 64)
    found = curve_panels([curve(4.0, 2.0, 0.0, name="a"), curve(1.0, 1.0, 3.0, name="b")])
    assert (found["low"], found["high"], found["hidden"]) == (0.0, 4.0, 0)
    first, second = found["panels"]
    assert first["points"] == "0.0,0.0 80.0,32.0 160.0,64.0"  # y counts from the top
    assert second["points"] == "0.0,48.0 80.0,48.0 160.0,16.0"
    assert (second["name"], second["size"], second["quota"]) == ("b", 2, 1)


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ((2.0,), "0.0,64.0 160.0,64.0"),  # one checkpoint is a line, not a dot
        ((3.0, 3.0), "0.0,64.0 160.0,64.0"),
    ],
)
def test_curves_without_a_span(values: tuple[float, ...], points: str) -> None:
    assert curve_panels([curve(*values)])["panels"][0]["points"] == points


def test_one_point_stands_at_its_height() -> None:
    found = curve_panels([curve(0.0), curve(4.0), curve(1.0)])
    assert found["panels"][2]["points"] == "0.0,48.0 160.0,48.0"


def test_no_more_curves_than_can_be_looked_at_are_drawn() -> None:
    curves = [curve(float(n), name=str(n)) for n in range(SHOWN_CURVES + 5)]
    found = curve_panels(curves)
    assert [each["name"] for each in found["panels"]] == [str(n) for n in range(SHOWN_CURVES)]
    assert found["hidden"] == 5
    assert found["high"] == SHOWN_CURVES + 4


def test_nothing_to_draw() -> None:
    assert curve_panels([])["panels"] == []


def test_the_page_shows_examples_as_text(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = [
        {"id": f"{attack}{n}", "prompt": f"{attack} {n}?", "completion": f"No, {attack}."}
        for n in range(3)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    given = pa.table({"id": [row["id"] for row in rows], "losses": [[2.0, 1.0]] * 3})
    pq.write_table(given, tmp_path / "t.parquet")
    recipe = {
        "name": "page",
        "inputs": [{"path": "data.jsonl", "source": "made"}],
        "stages": [{"kind": "s2l", "trajectories": "t.parquet", "budget": "100%"}],
    }
    done = run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs", Runtime())
    page = report_page(RunRecord(done.folder))
    assert '<polyline class="curve" points="0.0,0.0 160.0,64.0"/>' in page
    assert "cluster 0: 3 of 3, quota 3" in page
    assert "a scale from 1 to 2" in page
    assert page.count("No, &lt;script&gt;alert(1)") == 3  # nothing is dropped: the cluster's rows
    assert "<script" not in page
    assert "<img" not in page


def drawn(*points: tuple[float, float, bool]) -> dict[str, Any]:
    named = [{"id": f"r{n}", "x": x, "y": y, "kept": k} for n, (x, y, k) in enumerate(points)]
    return {
        "of": "prompts",
        "how": "pca",
        "variance": [0.5, 0.2],
        "kept": 7,
        "dropped": 9,
        "points": named,
    }


def places(found: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {dot["id"]: (float(dot["x"]), float(dot["y"])) for dot in found["dots"]}


def test_a_map_has_both_axes_on_one_scale() -> None:
    assert (MAP_WIDTH, MAP_HEIGHT, MARGIN) == (640, 400, 8)
    # 4 wide and 1 high: 624 units of width are 4, so the height takes 156, in the middle.
    found = map_dots(drawn((-1, 0, False), (3, 1, False), (1, 0.5, False)))
    assert places(found) == {"r0": (8, 278), "r1": (632, 122), "r2": (320, 200)}
    # 1 wide and 2 high: the height decides, 384 for 2.
    found = map_dots(drawn((0, 0, False), (1, 2, False)))
    assert places(found) == {"r0": (224, 392), "r1": (416, 8)}


def test_kept_dots_lie_on_top_and_are_counted() -> None:
    found = map_dots(drawn((0, 0, True), (1, 1, False), (2, 2, True)))
    assert [dot["id"] for dot in found["dots"]] == ["r1", "r0", "r2"]
    assert found["kept"] == (2, 7)
    assert found["dropped"] == (1, 9)


def test_a_map_of_one_place_is_in_the_middle() -> None:
    assert set(places(map_dots(drawn((3, 3, True), (3, 3, False)))).values()) == {(320, 200)}


def test_no_map() -> None:
    assert map_dots({}) == {"dots": []}


def test_the_page_shows_the_map_with_prompts_as_text(tmp_path: Path) -> None:
    attack = "</title><script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = [
        {"id": f"{attack}{n}", "prompt": f"{attack} {n}?", "completion": "No."} for n in range(8)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    recipe = {
        "name": "page",
        "inputs": [{"path": "data.jsonl", "source": "made"}],
        "models": {"toy": {"name": "builtin:toy"}},
        "stages": [{"kind": "diversity", "model": "toy", "budget": 3}],
    }
    done = run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs", Runtime())
    page = report_page(RunRecord(done.folder))
    assert page.count('<circle class="kept"') == 3
    assert page.count('<circle class="dropped"') == 5
    assert page.count("<title>kept: user: &lt;/title&gt;&lt;script&gt;alert(1)") == 3
    assert page.count("<title>dropped: user: &lt;/title&gt;&lt;script&gt;alert(1)") == 5
    assert "Drawn are" not in page  # all of them are
    assert "<script" not in page
    assert "<img" not in page
    assert "diversity.similarity" in page
    assert "Histogram of diversity.cluster" not in page  # the number of a cluster is no amount


def test_a_wide_table_lies_on_its_side(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "completion": "No.", "task": f"<b>{n % 8}"} for n in range(16)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    recipe = {
        "name": "wide",
        "inputs": [{"path": "data.jsonl", "source": "made"}],
        "models": {"toy": {"name": "builtin:toy"}},
        "stages": [{"kind": "diversity", "model": "toy", "budget": "100%"}],
    }
    done = run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs", Runtime())
    page = report_page(RunRecord(done.folder))
    # Eight tasks are rows with a column for each choice; the one source stays a column.
    assert '<tr><th></th><th class="n">pool</th><th class="n">selected</th>' in page
    assert '<tr><th>&lt;b&gt;7</th><td class="n">0.125</td>' in page
    assert '<th class="n">made</th>' in page
    assert "<b>" not in page.split("<h3>Diagnosis</h3>")[1].split("<h3>")[0]
