"""Models that are served for the time of a run, by a command of these tests' own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from multiprocessing.process import current_process
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_clear import recipe_of, write
from test_run import data_bytes

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.models import holding
from siftline.models.fingerprint import fingerprint
from siftline.models.generation import Sampling
from siftline.models.loading import load_language_model
from siftline.models.remote import keeper, serving
from siftline.models.remote.desk import Desk
from siftline.pipelines.planning import plan
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.pipelines.workers import _wanted
from siftline.plan_display import plan_tables

pytest.importorskip("openai")
if not hasattr(os, "fork"):
    pytest.skip("engines run where processes fork", allow_module_level=True)

SCRIPT = Path(__file__).with_name("serving_script.py")
PLACE = ["--model", "{model}", "--host", "{host}", "--port", "{port}"]


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files of a model, which the script does not read."""
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(holding, "_held", {})
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    yield folder
    serving.end_served()


def served(folder: Path, *words: str, **settings: Any) -> dict[str, Any]:
    trace = ["--trace", str(folder.parent / "trace")]
    command = [sys.executable, str(SCRIPT), *PLACE, *trace, *words]
    serve = {"command": command, "version": "1.0", "key_env": "SCRIPT_KEY", "retries": 0}
    return {"name": str(folder), "serve": {**serve, **settings}}


def traced(folder: Path, what: str) -> list[dict[str, Any]]:
    trace = folder.parent / "trace"
    lines = trace.read_text("utf-8").splitlines() if trace.exists() else []
    return [line for line in map(json.loads, lines) if line["what"] == what]


def alive(pids: list[int]) -> list[int]:
    """Return the processes that live, after they have had some time to end."""
    deadline = time.monotonic() + 60
    while (left := [pid for pid in pids if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _lives(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ask(spec: dict[str, Any], *texts: str) -> list[str]:
    found = load_language_model(ModelSpec.model_validate(spec)).generate(
        [[{"role": "user", "content": text}] for text in texts], Sampling(max_tokens=4)
    )
    return [row[0].text for row in found.rows if not isinstance(row, str)]


def test_it_is_started_when_it_is_asked_and_its_answers_outlive_its_port(model: Path) -> None:
    spec = served(model)
    with serving.served_for_the_time():
        load_language_model(ModelSpec.model_validate(spec))
        assert not traced(model, "started")
        assert ask(spec, "a", "b") == ["0 a", "0 b"]
        assert ask(spec, "c") == ["0 c"]
    (first,) = traced(model, "started")
    assert not alive([first["pid"]])
    assert first["key"] not in " ".join(first["words"])
    holding._held.clear()
    with serving.served_for_the_time():
        assert ask(spec, "a", "b", "c") == ["0 a", "0 b", "0 c"]
        assert len(traced(model, "started")) == 1  # the ledger had them all
        assert ask(spec, "d") == ["0 d"]
    first, second = traced(model, "started")
    assert first["key"] != second["key"]
    assert len(traced(model, "asked")) == 4


def test_other_arguments_are_another_engine(model: Path) -> None:
    with serving.served_for_the_time():
        ask(served(model), "a")
        ask(served(model, concurrency=2, timeout=9), "a")  # how it is asked makes no difference
        assert len(traced(model, "asked")) == len(traced(model, "started")) == 1
        ask(served(model, "slow=0"), "a")
        ask(served(model, version="2.0"), "a")
        (model / "model.safetensors").write_bytes(b"other weights")
        ask(served(model), "a")
    assert len(traced(model, "asked")) == len(traced(model, "started")) == 4


def test_other_files_are_never_asked_under_the_digest_of_those_before(model: Path) -> None:
    spec = served(model)
    with serving.served_for_the_time():
        loaded = load_language_model(ModelSpec.model_validate(spec))
        (model / "model.safetensors").write_bytes(b"other weights")
        with pytest.raises(ModelError, match="changed before they were served"):
            loaded.generate([[Message(role="user", content="a")]], Sampling(max_tokens=4))
        assert not traced(model, "started")
        assert ask(spec, "a") == ["0 a"]  # loaded again, under the new digest


def test_health_and_a_log_without_an_end_do_no_harm(model: Path) -> None:
    with serving.served_for_the_time():
        assert ask(served(model, "talks"), "a") == ["0 a"]
        (one,) = serving._served.values()
        (process,) = one._processes
        (started,) = traced(model, "started")
        assert process.log_end().count("***") > 10
        assert not any(started["key"] in line for line in process._log)
        assert max(map(len, process._log)) < 100_000


def test_those_who_wait_for_one_that_fails_are_told_the_same(model: Path) -> None:
    one = ModelSpec.model_validate(served(model, "never-ready", ready_timeout=1))
    digest = fingerprint(one)["digest"]
    told: list[str] = []

    def wait() -> None:
        try:
            serving.addresses(one, digest)
        except ModelError as error:
            told.append(str(error))

    with serving.served_for_the_time():
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(told) == 3
        assert len(set(told)) == len(traced(model, "started")) == 1
        wait()  # somebody may have mended it
    assert len(traced(model, "started")) == 2


def test_nothing_is_started_in_a_run_that_is_over(model: Path) -> None:
    with serving.served_for_the_time():
        serving.end_early()
        with pytest.raises(ModelError, match="the run was ended"):
            ask(served(model), "a")
    with serving.served_for_the_time():
        assert ask(served(model), "a") == ["0 a"]
    assert len(traced(model, "started")) == 1


def test_several_processes_share_the_requests(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    with serving.served_for_the_time():
        ask(served(model, gpus=[0, "1,2"]), *"abcdef")
    assert {line["gpus"] for line in traced(model, "asked")} == {"4", "5,7"}
    with pytest.raises(ModelError, match="'gpus' names GPU 3, and CUDA_VISIBLE_DEVICES shows 3"):
        ask(served(model, gpus=[3]), "g")


def test_a_proxy_is_none_for_this_machine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving.served_for_the_time():
        assert ask(served(model), "a") == ["0 a"]


def test_a_port_that_is_taken_is_left_for_another(model: Path) -> None:
    with serving.served_for_the_time():
        assert ask(served(model, "taken"), "a") == ["0 a"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["crash"], r"ended with code 1 before it was ready.*Its log ends:.*cause.*\*\*\*\n  end$"),
        (["big"], r"It did not fit: let it have other GPUs.*CUDA out of memory"),
        (["never-ready"], r"not ready after 1 s: got 503; expected 200 at '/health'.*Its log"),
    ],
)
def test_one_that_does_not_become_ready_says_why(model: Path, words: list[str], told: str) -> None:
    spec = served(model, *words, ready_timeout=1 if words == ["never-ready"] else 60)
    with serving.served_for_the_time(), pytest.raises(ModelError, match=rf"(?s){told}") as error:
        ask(spec, "a")
    assert "\x1b" not in str(error.value)
    assert not alive([line["pid"] for line in traced(model, "started")])


def test_a_command_that_is_not_installed_is_one_sentence(model: Path) -> None:
    for serve, told in [
        ("vllm", "'vllm' that is to serve a model was not found: run `uv tool install vllm`"),
        ({"engine": "sglang", "executable": "/nowhere/sglang"}, "'/nowhere/sglang'.*uv tool"),
        ({"command": ["nowhere-else", "{host}", "{port}"], "version": "1"}, "'nowhere-else'"),
    ]:
        with pytest.raises(ModelError, match=told) as error:
            ask({"name": str(model), "serve": serve}, "a")
        assert "\n" not in str(error.value)


def curate(folder: Path, runs: str, *words: str, **runtime: Any) -> RunResult:
    data = recipe_of(template="chat", correct={"judgements": 0, "max_share": 1.0})
    data["models"]["judge"] = served(folder, *words, concurrency=1)  # none is lost on its way
    recipe = parse_recipe(data, "recipe.yaml")
    holding._held.clear()
    return run(recipe, folder.parent, folder.parent / runs, Runtime(shard_rows=5, **runtime))


def test_a_server_that_dies_midway_leaves_nothing_half_and_the_next_run_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    undisturbed = curate(model, "undisturbed")
    (line,) = undisturbed.stages[0].models
    assert line.startswith(f"{model}, served by python")
    assert line.endswith("1.0, in one process")
    asked = len(traced(model, "asked"))
    (tmp_path / "trace").unlink()
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("DIES_AFTER", "30")
    with pytest.raises(ModelError, match="ended with code 9 while it was asked") as error:
        curate(model, "runs")
    assert str(error.value).endswith("  fatal: the \\x07GPU is gone")
    (version,) = (tmp_path / "runs" / "clear").glob("v*")
    left = {path.name for path in version.rglob("*") if "00-ingest" not in path.parts}
    assert not left & {"manifest.json", "verdicts.parquet", "decisions.parquet", "report.json"}
    monkeypatch.delenv("DIES_AFTER")
    result = curate(model, "runs")
    assert result.version == "v0001"
    assert len(traced(model, "asked")) == asked
    assert data_bytes(result.folder) == data_bytes(undisturbed.folder)
    assert not alive([line["pid"] for line in traced(model, "started")])


def test_the_processes_of_devices_share_one_server(model: Path, tmp_path: Path) -> None:
    write(tmp_path)
    one = curate(model, "one", device="cpu")
    (tmp_path / "cache").rename(tmp_path / "gone")
    two = curate(model, "two", device="cpu,cpu")
    assert data_bytes(two.folder) == data_bytes(one.folder)
    first, second = traced(model, "started")  # one a run
    assert not alive([first["pid"], second["pid"]])


def test_a_desk_forgives_strangers_and_leaves_no_thread(model: Path) -> None:
    desk = Desk()
    with pytest.raises(AuthenticationError):
        Client(desk.address, authkey=b"a guess")
    with socket.socket(socket.AF_UNIX) as hangs_up:
        hangs_up.connect(desk.address)
    one = ModelSpec.model_validate({"name": str(model), "serve": "vllm"})
    with Client(desk.address, authkey=bytes(current_process().authkey)) as line:
        line.send(("addresses", one, fingerprint(ModelSpec(name=str(model)), "cpu")["digest"]))
        assert "uv tool install vllm" in str(line.recv())
    desk.close()
    desk._thread.join(timeout=60)
    assert not desk._thread.is_alive()


def test_a_server_lives_while_a_stage_asks_it_and_no_local_model_wants_its_memory(
    model: Path,
) -> None:
    clear = {"kind": "clear", "model": "judge", "template": "chat"}
    grape = {"kind": "grape", "model": "local", "template": "plain"}
    toy = {"name": "builtin:toy"}
    data = recipe_of() | {"models": {"judge": served(model), "embedder": toy, "local": toy}}
    data["stages"] = [{"kind": "rules"}, clear, {"kind": "rules"}, grape, clear, {"kind": "rules"}]
    recipe = parse_recipe(data, "recipe.yaml")
    job: Any = SimpleNamespace(recipe=recipe, runtime=SimpleNamespace(models=recipe.models))
    judge = serving.shared_spec(recipe.models["judge"])
    found = [_wanted(job, number) for number in range(len(recipe.stages))]
    assert found == [{judge}, {judge}, {judge}, set(), {judge}, set()]


def test_what_lies_on_a_gpu_is_let_go_of_before_a_server_starts() -> None:
    for place in [("language", "m", "cuda:0"), ("language", "m", "cpu"), ("tuned",)]:
        holding.held(place, ("m", "cuda") if place == ("tuned",) else "d", lambda: "model")
    holding.let_go_of_devices()
    assert list(holding._held) == [("language", "m", "cpu")]


def test_a_plan_says_how_and_starts_nothing(model: Path, tmp_path: Path) -> None:
    write(tmp_path)
    data = recipe_of(template="chat")
    data["models"]["judge"] = served(model, gpus=["0", "1"])
    planned = plan(parse_recipe(data, "recipe.yaml"), tmp_path, tmp_path / "runs")
    (sentence,) = planned.served
    assert sentence.startswith(f"judge: '{model}' is served by python")
    assert "1.0, in 2 processes on the GPUs 0; 1, from when a stage first asks it" in sentence
    assert sentence in [str(part).replace("\\[", "[") for part in plan_tables(planned)]
    assert not traced(model, "started")


RUN = """
import sys
from pathlib import Path
from siftline.cli import main
main()
"""


@pytest.mark.parametrize(
    ("how", "number", "code", "words"),
    [
        (["--no-prefect"], signal.SIGINT, 130, ["child", "slow=1"]),
        (["--no-prefect"], signal.SIGKILL, -9, ["child", "slow=1"]),
        # The threads of other shards would start it again, or wait for it.
        (["--no-prefect", "--device", "cpu,cpu"], signal.SIGTERM, 143, ["child", "never-ready"]),
        pytest.param(
            *(["--prefect"], signal.SIGINT, 130, ["child", "never-ready"]),
            marks=pytest.mark.prefect,
        ),
    ],
)
def test_no_server_outlives_its_run(
    model: Path,
    tmp_path: Path,
    how: list[str],
    number: signal.Signals,
    code: int,
    words: list[str],
) -> None:
    write(tmp_path)
    data = recipe_of(template="chat")
    data["models"]["judge"] = served(model, *words)
    (tmp_path / "r.yaml").write_text(json.dumps(data), encoding="utf-8")
    where = ["--runs", str(tmp_path / "runs"), "--shard-rows", "4"]
    command = ["run", str(tmp_path / "r.yaml"), *how, *where]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *command], stderr=subprocess.PIPE, text=True
    ) as process:
        wanted = "child" if "never-ready" in words else "asked"
        deadline = time.monotonic() + 600  # Prefect's server starts first
        while not traced(model, wanted) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    assert process.returncode == code, said
    assert "Traceback" not in said
    pids = [line["pid"] for what in ("started", "child") for line in traced(model, what)]
    assert len(pids) == 2
    assert not alive(pids)


def test_a_keeper_tells_the_command_that_it_cannot_run(capfd: pytest.CaptureFixture[str]) -> None:
    read, write_end = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), "/nowhere"],
            stdin=read,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(read)
        os.close(write_end)
    assert done.returncode == 127
    assert done.stdout == "/nowhere: No such file or directory\n"
