"""A fast start: what a run does not use is not imported."""

import json
import subprocess
import sys
from pathlib import Path

HEAVY = ("sklearn", "scipy", "torch", "transformers", "datasets", "fsspec", "prefect", "openai")
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
RECIPE = """
name: filters
inputs: [{path: rows.jsonl}]
stages:
  - {kind: rules}
  - {kind: exact_duplicates}
  - {kind: random, budget: 50%}
"""


def test_a_run_of_filters_imports_nothing_heavy(tmp_path: Path) -> None:
    rows = [{"instruction": f"Name a word, the {n}th.", "output": f"word {n}"} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert [name for name in HEAVY if name in modules] == []
