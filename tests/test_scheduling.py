"""The schedule of the documentation works as it stands there: a run of it is executed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_docs import ROOT, blocks

SECONDS = 240  # for what takes a few, on a machine that has other work


def served_script() -> str:
    """Return the page's script that serves the flow."""
    (text,) = (
        block.text
        for block in blocks(ROOT / "docs" / "scheduling.md")
        if "curate.serve(" in block.text
    )
    return text


def wait_for(found: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Ask again and again until something is found, as long as the process lives."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"it ended with {process.returncode}: {process.communicate()}")
        if value := found():
            return value
        time.sleep(0.3)
    process.kill()
    raise AssertionError(f"nothing was found: {process.communicate()}")


@pytest.fixture
def served(tmp_path: Path, prefect_server: None) -> Iterator[subprocess.Popen[str]]:
    """The script as a process of its own, beside the recipe and the rows that it names."""
    from prefect.settings import PREFECT_API_URL

    rows = "".join(json.dumps({"question": f"q{n}", "answer": f"a{n}"}) + "\n" for n in range(6))
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    recipe = "name: nightly\ninputs: [{path: rows.jsonl}]\nstages: [{kind: rules}]\n"
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    script = tmp_path / "serve_nightly.py"
    script.write_text(served_script().replace("/data/", f"{tmp_path}/"), encoding="utf-8")
    environment = {
        **os.environ,
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()


@pytest.mark.prefect
def test_a_run_of_the_documented_schedule_is_executed(
    served: subprocess.Popen[str], tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:

        def deployment() -> Any:
            try:
                return client.read_deployment_by_name("siftline-curate/nightly")
            except ObjectNotFound:
                return None

        deployed = wait_for(deployment, served)
        assert deployed.schedules[0].schedule.cron == "0 3 * * *"
        started = client.create_flow_run_from_deployment(deployed.id)

        def final() -> Any:
            state = client.read_flow_run(started.id).state
            return state if state and state.is_final() else None

        state = wait_for(final, served)
        assert state.is_completed(), state.message
    report = json.loads((tmp_path / "runs" / "nightly" / "latest" / "report.json").read_text())
    assert report["export"]["rows"] == 6
