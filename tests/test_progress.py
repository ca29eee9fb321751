"""Every part of a run that goes through all rows says what it does, without a model too."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from siftline.contracts import progress
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run


class Heard(progress.Silent):
    """Remembers the parts that were begun, with their rows and those that each has reported."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, int]] = []
        self.rows: list[float] = []

    def start(self, stage: str, rows: int) -> None:
        self.parts.append((stage, rows))
        self.rows.append(0)

    def advance(self, rows: float, tokens: int) -> None:
        self.rows[-1] += rows


@pytest.fixture
def heard() -> Iterator[Heard]:
    listener = Heard()
    progress.listen(listener)
    yield listener
    progress.listen(progress.Silent())


def test_a_run_without_a_model_reports_all_its_rows(tmp_path: Path, heard: Heard) -> None:
    rows = [{"prompt": f"Say {n}.", "completion": f"It is {n}."} for n in range(5)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    recipe = {
        "name": "heard",
        "inputs": [{"path": "data.jsonl", "source": "s"}],
        "stages": [{"kind": "rules"}, {"kind": "exact_duplicates"}],
    }
    run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs")
    assert heard.parts == [
        ("ingest", 0),
        ("rules: statistics", 5),
        ("rules: phrases", 5),
        ("rules: verdicts", 5),
        ("exact_duplicates: signature", 5),
        ("exact_duplicates: verdicts", 5),
        ("export", 5),
        ("decisions", 0),
    ]
    assert heard.rows == [5] * 8
