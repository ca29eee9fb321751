"""The Prefect flow against the run without Prefect."""

import inspect
import time
from pathlib import Path
from typing import Any

import pytest
from test_run import data_bytes

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import load_recipe
from siftline.pipelines.run import run

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.filterwarnings("default"),  # Prefect's own, which change with its releases
]


def test_the_flow_leaves_the_same_bytes(small_recipe: Path, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client

    from siftline.flows.curate import curate

    runtime = Runtime(shard_rows=5)
    flowed = curate(small_recipe, tmp_path / "flow", (), runtime)
    plain = run(load_recipe(small_recipe), tmp_path, tmp_path / "plain", runtime)
    assert data_bytes(flowed.folder) == data_bytes(plain.folder)
    assert flowed.model_calls == plain.model_calls > 0
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts()
        # Five scorers by three shards; GRAPE finds the statistics that `rules` asked for.
        for _ in range(100):  # the server writes task runs down a little later
            tasks = [task.name for task in client.read_task_runs()]
            if sum(name.startswith("score") for name in tasks) >= 5 * 3:
                break
            time.sleep(0.1)
    assert any(artifact.key == "siftline-small" for artifact in artifacts)
    assert sum(name.startswith("score") for name in tasks) == 5 * 3
    again = curate(small_recipe, tmp_path / "flow", (), runtime)
    assert (again.reused, again.model_calls) == (True, 0)


def test_shards_are_scored_one_after_the_other_on_one_device(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, only as many are in memory as there are devices."""
    from siftline.flows.curate import curate
    from siftline.scorers.text_statistics import ResponseStatistics

    score = ResponseStatistics.score
    here: list[int] = []
    together: list[int] = []

    def watched(*arguments: Any) -> Any:
        here.append(1)
        together.append(len(here))
        time.sleep(0.02)  # for others to come in meanwhile
        scored = score(*arguments)
        here.pop()
        return scored

    monkeypatch.setattr(ResponseStatistics, "score", watched)
    curate(small_recipe, tmp_path / "runs", ("stages=[{kind: rules}]",), Runtime(shard_rows=1))
    assert together == [1] * 12


def test_a_failure_in_a_task_is_the_flow_s(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from siftline.flows.curate import curate
    from siftline.scorers.likelihood import Likelihood

    def fails(*_: object) -> None:
        raise ModelError("the machine is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(Likelihood, "score", fails)
        with pytest.raises(ModelError, match="on fire"):
            curate(small_recipe, tmp_path / "runs", ())
    assert curate(small_recipe, tmp_path / "runs", ()).export.rows == 6


def test_a_schedule_plans_runs(small_recipe: Path, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client

    from siftline.flows.curate import curate

    parameters = {"recipe": str(small_recipe), "runs": str(tmp_path / "runs")}
    deployment = curate.to_deployment("nightly", cron="0 3 * * *", parameters=parameters)
    assert not inspect.isawaitable(deployment)
    number = deployment.apply()
    with get_client(sync_client=True) as client:
        # The server plans them by itself within a minute; this asks for it at once.
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": number}, json={})
        planned = [run for run in client.read_flow_runs() if run.deployment_id == number]
    assert planned
    assert all(run.parameters == parameters for run in planned)
