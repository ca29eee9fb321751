"""An interrupted run says what is kept, with Prefect and without, and its exit code says so."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW = """
import sys, time
from pathlib import Path
from siftline.cli import main
from siftline.scorers.text_statistics import ResponseStatistics

score = ResponseStatistics.score

def slow(*args):
    Path(sys.argv[-1], "scoring").touch()
    time.sleep(1)
    return score(*args)

ResponseStatistics.score = slow
main()
"""

SIGNALS = [
    pytest.param("--no-prefect", signal.SIGINT, 130),
    pytest.param("--no-prefect", signal.SIGTERM, 143),
    pytest.param("--prefect", signal.SIGINT, 130, marks=pytest.mark.prefect),
]
DEVICES = """
import sys
from pathlib import Path
from siftline.pipelines import workers
from siftline.cli import main

score = workers.Workers.score

def told(*args):
    Path(sys.argv[-1], "scoring").touch()
    return score(*args)

workers.Workers.score = told
if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(("how", "number", "code"), SIGNALS)
def test_an_interrupted_run_says_what_is_kept(
    tmp_path: Path, how: str, number: signal.Signals, code: int
) -> None:
    run = interrupted(tmp_path, SLOW, [how], number)
    assert run.returncode == code
    assert f"Finished in '{tmp_path / 'r' / 'v0001'}': 00-ingest, 01-exact_duplicates" in run.stderr
    assert "Run the same command again to go on." in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("wait", [0.0, 1.0, 3.0])
def test_the_processes_of_devices_end_without_a_word(tmp_path: Path, wait: float) -> None:
    how = ["--no-prefect", "--device", "cpu,cpu"]
    run = interrupted(tmp_path, DEVICES, how, signal.SIGINT, wait)
    assert run.returncode in ((0, 130) if wait > 1 else (130,)), run.stderr
    assert "Traceback" not in run.stderr


def test_an_interruption_after_the_end_changes_nothing() -> None:
    code = """
import atexit, os, signal, sys
from siftline.cli import main

atexit.register(os.kill, os.getpid(), signal.SIGINT)
sys.argv = ["siftline", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def interrupted(
    tmp_path: Path, code: str, how: list[str], number: signal.Signals, wait: float = 0.0
) -> subprocess.CompletedProcess[str]:
    """Run a recipe, and send a signal to all of its processes while it scores."""
    rows = [{"question": f"Which is no. {n}?", "answer": f"It is {n}."} for n in range(12)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = "[{kind: exact_duplicates}, {kind: rules}]"
    (tmp_path / "r.yaml").write_text(f"name: r\ninputs: [{{path: d.jsonl}}]\nstages: {stages}\n")
    command = ["run", str(tmp_path / "r.yaml"), *how, "--shard-rows", "3", "--runs", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        deadline = time.monotonic() + 120
        while not (tmp_path / "scoring").exists() and time.monotonic() < deadline:
            assert run.poll() is None
            time.sleep(0.05)
        time.sleep(wait)
        os.killpg(run.pid, number)  # as a terminal does: Prefect's server is told too
        _, said = run.communicate(timeout=120)
    return subprocess.CompletedProcess(run.args, run.returncode, "", said)
