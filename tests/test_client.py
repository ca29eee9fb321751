"""Tests of the client of a server: equal requests, and runs whose judge fails for good midway."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from test_clear import recipe_of, write
from test_run import data_bytes
from test_server import Misbehaving

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.contracts.runtime import Runtime
from siftline.models import holding
from siftline.models.remote.client import _TOO_LONG, Client, ServerRequest, TooLongError
from siftline.models.remote.upstream import upstream_of
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run


class Judge(Misbehaving):
    """A judge whose letters and texts are functions of the question."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        found = super().answer(body)
        question = str(body["messages"][-1]["content"])
        for choice in found["choices"]:
            choice["message"]["content"] = f"{question} " * 2
        if body.get("top_logprobs"):
            values = {"A": -1 - len(question) % 3, "B": -1 - len(question) % 5, "C": -3}
            tops = [{"token": name, "logprob": value} for name, value in values.items()]
            found["choices"][0]["logprobs"] = {"content": [{"token": "A", "top_logprobs": tops}]}
        return found


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    restart(tmp_path / "cache", monkeypatch)
    started = Judge()
    thread = threading.Thread(target=started.serve_forever, daemon=True)
    thread.start()
    yield started
    started.shutdown()
    started.server_close()
    thread.join()


def restart(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget all models in memory, as a new process has none."""
    monkeypatch.setenv("SIFTLINE_CACHE", str(cache))
    monkeypatch.setattr(holding, "_held", {})


def client(judge: Judge, **settings: Any) -> Client:
    place = ServerSpec(url=judge.url, retries=0, **settings)
    spec = ModelSpec(name="small", server=place)
    return Client(spec, upstream_of(spec))


def request(text: str) -> ServerRequest:
    return ServerRequest("/chat/completions", {"messages": [{"role": "user", "content": text}]})


def test_equal_requests_are_sent_once_though_at_once(judge: Judge) -> None:
    seen: list[int] = []
    requests = [request(text) for text in ("one", "two", "one", "one", "two")]
    answers = client(judge).ask(requests, lambda _: None, seen.append)
    assert len(judge.bodies) == 2
    assert sorted(seen) == [0, 1, 2, 3, 4]
    texts = [
        each["choices"][0]["message"]["content"].split()[0]
        for each in answers
        if not isinstance(each, TooLongError)
    ]
    assert texts == ["one", "two", "one", "one", "two"]


def test_equal_prompts_that_are_too_long_are_told_all(judge: Judge) -> None:
    judge.faults = ["too long"]
    one, two, other = client(judge, concurrency=1).ask(
        [request("long"), request("long"), request("short")], lambda _: None
    )
    assert isinstance(one, TooLongError)
    assert isinstance(two, TooLongError)
    assert isinstance(other, dict)


def curate(judge: Judge, folder: Path, runs: str) -> RunResult:
    data = recipe_of(template="chat", correct={"judgements": 0, "max_share": 1.0})
    server = {"url": judge.url, "retries": 0, "concurrency": 4}
    data["models"]["judge"] = {"name": "small", "server": server}
    recipe = parse_recipe(data, "recipe.yaml")
    return run(recipe, folder, folder / runs, Runtime(shard_rows=5))


@pytest.mark.parametrize(
    ("answered", "fault", "message"),
    [
        (7, 401, "answered 401"),  # among the reflections
        (45, "drop", "did not answer in 1 attempts"),  # among the judgements of candidates
    ],
)
def test_a_judge_that_fails_for_good_gives_no_verdict_and_the_next_run_goes_on(
    answered: int,
    fault: Any,
    message: str,
    judge: Judge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path)
    undisturbed = curate(judge, tmp_path, "undisturbed")
    asked = len(judge.bodies)
    assert asked > answered + 10
    judge.bodies.clear()

    restart(tmp_path / "other-cache", monkeypatch)
    judge.faults = [None] * answered + [fault] * asked
    with pytest.raises(ModelError, match=message) as error:
        curate(judge, tmp_path, "runs")
    assert "\n" not in str(error.value)
    (version,) = (tmp_path / "runs" / "clear").glob("v*")
    assert version.name == "v0001"
    assert (version / "00-ingest" / "manifest.json").exists()
    left = {path.name for path in version.rglob("*") if "00-ingest" not in path.parts}
    assert not left & {"manifest.json", "verdicts.parquet", "decisions.parquet", "report.json"}
    assert not (tmp_path / "runs" / "clear" / "latest").exists()
    cached = [pq.read_table(path) for path in (tmp_path / "runs" / "cache").rglob("part-*")]
    statuses = {status for table in cached for status in table["status"].to_pylist()}
    assert statuses <= {"ok", "empty_response", "tool_calls"}

    restart(tmp_path / "other-cache", monkeypatch)
    judge.bodies.clear()
    judge.faults.clear()
    result = curate(judge, tmp_path, "runs")
    assert result.version == "v0001"
    assert len(judge.bodies) == asked - answered
    assert data_bytes(result.folder) == data_bytes(undisturbed.folder)
    names = data_bytes(result.folder).keys()
    assert {"decisions.parquet", "01-clear/verdicts.parquet"} <= names
    assert result.stages[0].reasons_kept == undisturbed.stages[0].reasons_kept


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
        "the request exceeds the available context size. try increasing the context size",
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000",
    ],
)
def test_servers_say_in_their_own_words_that_a_prompt_is_too_long(text: str) -> None:
    assert _TOO_LONG.search(text)
    assert not _TOO_LONG.search("The model does not exist.")
