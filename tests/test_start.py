"""A fast start: what a run does not use is not imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("sklearn", "scipy", "pandas", "torch", "transformers", "datasets", "fsspec", "prefect")
RUN = """
import json
import sys
from siftline.cli import main
sys.argv = ["siftline", "run", "recipe.yaml", "--no-prefect", "--json"]
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code or 0, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
FILTERS = """
  - {kind: rules}
  - {kind: exact_duplicates}
  - {kind: random, budget: 50%}
"""
CLEANING = """
  - {kind: rules, min_words: 1}
  - {kind: structure}
  - {kind: hygiene}
  - {kind: exact_duplicates}
  - {kind: language, languages: [de, en]}
  - {kind: personal_data}
  - {kind: near_duplicates, against: [rows.jsonl]}
  - {kind: decontamination, benchmarks: [{name: own, path: rows.jsonl}]}
  - {kind: mix, by: language, budget: 50%}
"""


@pytest.mark.parametrize("stages", [FILTERS, CLEANING], ids=["filters", "cleaning"])
def test_a_run_without_models_imports_nothing_heavy(stages: str, tmp_path: Path) -> None:
    rows = [{"instruction": f"Name a word, the {n}th.", "output": f"word {n}"} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = f"name: r\ninputs: [{{path: rows.jsonl}}]\nallow_empty: true\nstages:{stages}"
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert [name for name in HEAVY if name in modules] == []


def test_pandas_is_there_for_those_who_convert_to_it() -> None:
    convert = """
import sys
import pyarrow as pa
from siftline.without_pandas import leave_pandas_out
leave_pandas_out()
table = pa.Table.from_pylist([{"a": 1}, {"a": 2}])
before = "pandas" in sys.modules
frame = table.to_pandas()
assert pa.Table.from_pandas(frame).equals(table)
print(before, list(frame["a"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", convert], check=True, capture_output=True, text=True
    )
    assert done.stdout.split(maxsplit=1) == ["False", "[1, 2]\n"]
