"""When layers are compiled, into what, and that they score as those that are not."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_likelihood import PAIRS, close
from tiny_models import engine, torch

from siftline.contracts import outlook
from siftline.models.engine.packing import pack, plan_packs
from siftline.models.likelihood import Encoded


@pytest.mark.skipif(not shutil.which("g++"), reason="layers are compiled with a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch about itself
@pytest.mark.filterwarnings("ignore:Guards may run slower")  # of PyTorch about Python 3.13.0
def test_compiled_layers_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # to have it as it was afterwards
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    from torch._dynamo.utils import counters  # which sets the compiler's own cache folder

    scorer = engine()
    scorer.network.compile_from(1.0)
    torch._dynamo.reset()
    counters.clear()
    assert scorer.network.compiles_for(1, 1)
    # A layer is one graph, and so is the logsumexp, whatever the number of tokens.
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]
    close(scorer, PAIRS)
    for size in (1, 2, 3, 40, 127):
        rows = [Encoded(tuple(range(size + 1)), size, 1, False)]
        plan = plan_packs(rows, 128)
        scorer.network.score_pack(pack(plan.batches[0], rows, plan.riders), True)
    assert counters["stats"]["unique_graphs"] == 2
    assert list((tmp_path / "inductor").iterdir())
    # Nothing is left behind for calls that are too small.
    scorer.network.compile_from(1e30)
    assert not scorer.network.compiles_for(1, 1)
    close(scorer, PAIRS)


def test_a_model_that_cannot_be_compiled_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scorer = engine()
    forward = scorer.network.score_pack

    def broken(batch: Any, compiled: bool = False) -> Any:
        if compiled:
            raise RuntimeError("no compiler\nand a long trace")
        return forward(batch)

    monkeypatch.setattr(scorer.network, "score_pack", broken)
    scorer.network.compile_from(1.0)
    close(scorer, PAIRS)
    assert "are not compiled: RuntimeError: no compiler." in caplog.text


def test_a_call_is_compiled_where_all_that_it_is_a_part_of_repays_it() -> None:
    network = engine().network
    operations = 2.0 * network.body * 10 + 2.0 * network.head * 5
    network.compile_from(operations * 4)
    tried = []
    network._canary = lambda compiled: tried.append(compiled)
    assert not network.compiles_for(10, 5)
    with outlook.part_of(asked=300, rows=100):
        assert not network.compiles_for(10, 5)
    with outlook.part_of(asked=400, rows=100):
        assert network.compiles_for(10, 5)
        assert not network.compiles_for(9, 5)
    assert not network.compiles_for(10, 5)
    assert tried == [True]


def test_what_one_thread_scores_is_no_part_of_what_another_does() -> None:
    inside, over = threading.Event(), threading.Event()

    def other() -> float:
        with outlook.part_of(asked=700, rows=100):
            inside.set()
            assert over.wait(60)
            return outlook.times()

    with ThreadPoolExecutor(1) as thread:
        with outlook.part_of(asked=300, rows=100):
            told = thread.submit(other)
            assert inside.wait(60)
            assert outlook.times() == 3
        over.set()
        assert told.result() == 7
    assert outlook.times() == 1
