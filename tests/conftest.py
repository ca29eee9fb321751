"""What all tests share: nothing is written outside the test's folders, nobody is phoned."""

import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time: a change is judged by what it does, not by luck.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process has a core; threads that wait for each other in a loop would take it away.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
os.environ["HF_HUB_OFFLINE"] = "1"
# Prefect reads its home when it is imported, so it is set here and not by a fixture.
_PREFECT_HOME = tempfile.TemporaryDirectory(prefix="siftline-prefect-", ignore_cleanup_errors=True)
os.environ["PREFECT_HOME"] = _PREFECT_HOME.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    for item in items:
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device is visible"))


@cache
def _has_gpu() -> bool:
    try:
        import torch  # an optional dependency, and slow to import
    except ImportError:
        return False
    return torch.cuda.is_available()


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What the tests write need not outlive a loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server for the whole session."""
    from prefect.testing.utilities import prefect_test_harness  # slow to import

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def small_recipe(tmp_path: Path) -> Path:
    """A recipe over a few rows, with the toy model and every kind of stage but baselines."""
    rows = "".join(
        f'{{"question": "What is {n} and {n + 1}?", "answer": "It is {2 * n + 1}, I think."}}\n'
        for n in range(12)
    )
    (tmp_path / "data.jsonl").write_text(rows, encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: small\n"
        "inputs: [{path: data.jsonl, source: made}]\n"
        "models: {toy: {name: 'builtin:toy'}}\n"
        "stages:\n"
        "  - {kind: rules}\n"
        "  - {kind: exact_duplicates}\n"
        "  - {kind: grape, model: toy}\n"
        "  - {kind: diversity, model: toy, budget: 50%}\n",
        encoding="utf-8",
    )
    return path
