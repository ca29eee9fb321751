import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def siftline(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from siftline.cli import main; main()", *arguments]
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_validate_names_what_is_missing(small_recipe: Path, tmp_path: Path) -> None:
    good = siftline("validate", str(small_recipe), cwd=tmp_path)
    assert (good.returncode, "small is valid: 1 input files" in good.stdout) == (0, True)
    bad = siftline("validate", str(small_recipe), "--set", "inputs.0.path=no.csv", cwd=tmp_path)
    assert bad.returncode == 2
    assert "matches no file" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_run_prints_a_table_and_where_things_are(small_recipe: Path, tmp_path: Path) -> None:
    done = siftline("run", str(small_recipe), "--no-prefect", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "03-grape" in done.stdout
    assert "6 rows curated" in done.stdout
    assert "over_budget 6" in done.stdout
    again = siftline("run", str(small_recipe), "--no-prefect", cwd=tmp_path)
    assert "0 model calls" in again.stdout
    assert "reused" in again.stdout


def test_json_is_all_that_is_printed(small_recipe: Path, tmp_path: Path) -> None:
    done = siftline("run", str(small_recipe), "--no-prefect", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert report["export"]["rows"] == 6
    assert Path(tmp_path, report["folder"], "curated").is_dir()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "none.yaml"), 2, "Cannot read the recipe 'none.yaml'"),
        (("run", "recipe.yaml", "--set", "stages.0.kind=rule"), 2, "Did you mean 'rules'?"),
        (("run", "recipe.yaml", "--set", "models.toy.name=builtin:toi"), 1, "builtin:toi"),
        (("run", "recipe.yaml", "--shard-rows", "0"), 2, "shard-rows"),
        (("run", "recipe.yaml", "--runs", "recipe.yaml"), 1, "Cannot write to 'recipe.yaml/small'"),
        (("fly",), 2, "No such command"),
    ],
)
def test_mistakes_get_one_message_and_their_exit_code(
    small_recipe: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    option = ["--no-prefect"] if arguments[0] == "run" else []
    failed = siftline(*arguments, *option, cwd=small_recipe.parent)
    assert failed.returncode == code, failed.stderr
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
