import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from agent_rows import TOOLS, agent_table

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.models.fingerprint import fingerprint
from siftline.models.generation import Sample, Sampling
from siftline.models.likelihood import Pair

pytest.importorskip("openai")

PROMPTS: list[Any] = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]
SAMPLING = Sampling(max_tokens=8, temperature=0.5)
PAIRS = [Pair("ab", " cd"), Pair("xy", "z"), Pair("a", "  ")]


class Misbehaving(ThreadingHTTPServer):
    """A server that answers well, after the faults that a test has put in front."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: list[Any] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.samples = True
        self.logprobs = True
        self.lock = threading.Lock()
        self.most_at_once = self._at_once = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = [f"to {_text(body)} {number}" for number in range(body.get("n", 1))]
        texts = texts if self.samples else texts[:1]
        choices: list[dict[str, Any]] = [{"finish_reason": "stop"} for _ in texts]
        for choice, text in zip(choices, texts, strict=True):
            if "messages" in body:
                choice["message"] = {"role": "assistant", "content": text}
            else:
                choice["text"] = text
        if self.logprobs and body.get("top_logprobs"):
            tops = [{"token": "A", "logprob": -1.0}, {"token": " B", "logprob": -2.0}]
            choices[0]["logprobs"] = {"content": [{"token": "A", "top_logprobs": tops}]}
        if self.logprobs and body.get("echo"):
            # A token for each character, all of them as likely, and one that is generated.
            size = len(body["prompt"])
            choices[0]["logprobs"] = {
                "token_logprobs": [None, *[-0.5] * size],
                "text_offset": list(range(size + 1)),
            }
        return {"choices": choices, "usage": {"total_tokens": 10, "completion_tokens": 4}}

    def enter(self, step: int) -> None:
        with self.lock:
            self._at_once += step
            self.most_at_once = max(self.most_at_once, self._at_once)


class _Handler(BaseHTTPRequestHandler):
    server: Misbehaving

    def do_POST(self) -> None:
        self.server.enter(1)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.keys.append(self.headers["Authorization"])
            fault = self.server.faults.pop(0) if self.server.faults else None
        time.sleep(1.5 if fault == "slow" else 0.02)
        self.server.enter(-1)
        if fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._send(*self._reply(body, fault))

    def _reply(self, body: dict[str, Any], fault: Any) -> tuple[int, str]:
        status, text = 200, json.dumps(self.server.answer(body))
        if isinstance(fault, int):
            text = json.dumps({"error": {"message": f"no, {self.headers['Authorization']}"}})
            status = fault
        elif fault == "too long":
            text = json.dumps({"error": {"message": "long", "code": "context_length_exceeded"}})
            status = 400
        elif fault == "malformed":
            text = '{"choices": ['
        elif isinstance(fault, dict):
            text = json.dumps(fault)
        return status, text

    def _send(self, status: int, text: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if status == 429:
                self.send_header("Retry-After", "0.05")
            self.end_headers()
            self.wfile.write(text.encode())
        except OSError:
            pass  # the client has given up

    def log_message(self, *_: Any) -> None:
        pass


def _text(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"] if "messages" in body else body["prompt"])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))
    started = Misbehaving()
    thread = threading.Thread(target=started.serve_forever, daemon=True)
    thread.start()
    yield started
    started.shutdown()
    started.server_close()
    thread.join()


def model(url: str, **settings: Any) -> Any:
    from siftline.models.remote.server import ServerModel

    place = ServerSpec(url=url, **settings)
    return ServerModel(ModelSpec(name="small", server=place))


def test_calls_and_tools_go_to_the_server_as_its_protocol_has_them(server: Misbehaving) -> None:
    (row,) = agent_table(["answers_a_result"]).to_pylist()
    prompts = [row["messages"][:-1], *PROMPTS[:1]]
    found = model(server.url).generate(prompts, SAMPLING, tools=[TOOLS, []])
    assert found.rows[0] == [Sample('to {"degrees": 31} 0', 4, "stop")]
    offering, plain = sorted(server.bodies, key=len, reverse=True)
    assert offering["tools"] == TOOLS
    assert offering["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"town": "Rome"}'
    assert offering["messages"][2]["tool_call_id"] == "call_1"
    assert "tools" not in plain
    assert plain["messages"] == PROMPTS[0]


def test_an_answer_that_calls_a_tool_has_a_status(server: Misbehaving) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    for reason in ("tool_calls", "stop"):  # some servers say that it has stopped
        server.faults = [{"choices": [{"finish_reason": reason, "message": message}]}]
        asked = [[{"role": "user", "content": reason}]]
        assert model(server.url).generate(asked, SAMPLING, tools=[TOOLS]).rows == ["tool_calls"]


def test_answers_are_kept_and_never_asked_for_again(server: Misbehaving) -> None:
    seen: list[tuple[int, int]] = []
    found = model(server.url).generate(PROMPTS, SAMPLING, on_batch=lambda *done: seen.append(done))
    texts = ["one", "two", "three"]
    assert found.rows == [[Sample(f"to {text} 0", 4, "stop")] for text in texts]
    assert found.usage == (3, 30)
    assert sum(prompts for prompts, _ in seen) == 3
    again = model(server.url).generate([*PROMPTS, PROMPTS[0]], SAMPLING)
    assert again.rows == [*found.rows, found.rows[0]]
    assert again.usage == (0, 0)
    assert len(server.bodies) == 3
    assert server.bodies[0].keys() == {
        "model", "messages", "temperature", "top_p", "seed", "max_tokens",
    }  # fmt: skip


@pytest.mark.parametrize("fault", [429, 500, 503, "drop", "slow", "malformed"])
def test_what_passes_is_waited_for(server: Misbehaving, fault: Any) -> None:
    server.faults = [fault, fault]
    found = model(server.url, timeout=1, retries=3, concurrency=1).generate(PROMPTS, SAMPLING)
    assert [samples[0].text for samples in found.rows] == ["to one 0", "to two 0", "to three 0"]
    assert len(server.bodies) == 5


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (401, "set the key in the variable 'SECRET_KEY'"),
        (404, "has the model 'small'"),
        (400, "answered 400"),
        (429, "lower 'concurrency'"),
        (500, "answered 500"),
        ("drop", "did not answer in 1 attempts"),
        ("malformed", "no JSON object"),
        ({"text": "hello"}, "no 'choices'"),
        ({"choices": [{"finish_reason": None, "message": {"content": "a"}}]}, "ended with None"),
    ],
)
def test_what_stays_is_an_error_and_loses_nothing(
    server: Misbehaving, fault: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "sk-very-secret")
    settings = {"retries": 0, "concurrency": 1, "key_env": "SECRET_KEY"}
    model(server.url, **settings).generate(PROMPTS[:1], SAMPLING)
    server.faults = [fault]
    with pytest.raises(ModelError, match=message) as error:
        model(server.url, **settings).generate(PROMPTS, SAMPLING)
    assert "sk-very-secret" not in str(error.value)
    server.bodies.clear()
    server.faults.clear()
    assert len(model(server.url, **settings).generate(PROMPTS[:1], SAMPLING).rows) == 1
    assert not server.bodies


def test_a_prompt_that_is_too_long_gets_a_status(server: Misbehaving) -> None:
    server.faults = ["too long"]
    found = model(server.url, concurrency=1).generate(PROMPTS, SAMPLING)
    assert found.rows[0] == "prompt_too_long"
    assert isinstance(found.rows[1], list)


def test_the_key_is_sent_and_written_nowhere(
    server: Misbehaving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="variable 'SECRET_KEY', which is not set"):
        model(server.url, key_env="SECRET_KEY")
    monkeypatch.setenv("SECRET_KEY", "sk-very-secret")
    model(server.url, key_env="SECRET_KEY").generate(PROMPTS, SAMPLING)
    assert set(server.keys) == {"Bearer sk-very-secret"}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"to one" in written
    assert b"sk-very-secret" not in written


def test_no_more_than_so_many_requests_are_under_way(server: Misbehaving) -> None:
    prompts: list[Any] = [[{"role": "user", "content": str(number)}] for number in range(20)]
    model(server.url, concurrency=3).generate(prompts, SAMPLING)
    assert 1 < server.most_at_once <= 3


def test_spending_stops_at_the_limit_and_goes_on_from_there(server: Misbehaving) -> None:
    with pytest.raises(ModelError, match="'max_spent_tokens' 20"):
        model(server.url, concurrency=1, max_spent_tokens=20).generate(PROMPTS, SAMPLING)
    assert len(server.bodies) == 2
    found = model(server.url, concurrency=1, max_spent_tokens=20).generate(PROMPTS, SAMPLING)
    assert len(server.bodies) == 3
    assert len(found.rows) == 3
    server.faults = [{"choices": [{"finish_reason": "stop", "message": {"content": "a"}}]}]
    with pytest.raises(ModelError, match="does not say how many tokens"):
        model(server.url, max_spent_tokens=20).generate(
            [[{"role": "user", "content": "new"}]], SAMPLING
        )


@pytest.mark.parametrize("samples", [True, False])
def test_several_samples_from_a_server_that_may_ignore_n(
    server: Misbehaving, samples: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server.samples = samples
    asked = SAMPLING.model_copy(update={"n": 3})
    found = model(server.url).generate(PROMPTS, asked, template="plain")
    assert [len(each) for each in found.rows] == [3, 3, 3]
    assert len(server.bodies) == (3 if samples else 9)
    assert ("a request of its own" in caplog.text) is not samples
    if not samples:
        assert len({body["seed"] for body in server.bodies}) == 3


def test_choices_are_read_off_the_first_token(server: Misbehaving) -> None:
    found = model(server.url).choose(PROMPTS, ["A", "B"])
    assert found.rows[0] == pytest.approx([0.36788, 0.13534], abs=1e-4)
    assert model(server.url).choose(PROMPTS, ["A", "C"]).rows == ["option_unlikely"] * 3
    with pytest.raises(ModelError, match="cannot be told apart"):
        model(server.url).choose(PROMPTS, ["A", " A"])
    server.logprobs = False
    with pytest.raises(ModelError, match="asked for 'top_logprobs' and gave none"):
        model(server.url).choose([PROMPTS[0] * 3], ["A", "B"])


def test_likelihoods_are_read_off_the_echo(server: Misbehaving) -> None:
    one, two, empty = model(server.url).log_likelihood(PAIRS).rows
    assert (one.sum_logprob, one.scored_tokens, one.prompt_tokens) == (-1.5, 3, 2)
    assert (two.sum_logprob, two.truncated) == (-0.5, False)
    assert empty.status == "empty_response"
    (cut,) = model(server.url).log_likelihood(PAIRS[:1], max_tokens=3).rows
    assert (cut.sum_logprob, cut.scored_tokens, cut.truncated) == (-0.5, 1, True)
    (long,) = model(server.url).log_likelihood(PAIRS[:1], max_tokens=2).rows
    assert long.status == "prompt_too_long"
    server.faults = [
        {"choices": [{"logprobs": {"token_logprobs": [None, -1, -1], "text_offset": [0, 1, 3]}}]}
    ]
    (spanned,) = model(server.url).log_likelihood([Pair("ef", " gh")]).rows
    assert spanned.status == "boundary"
    server.logprobs = False
    with pytest.raises(ModelError, match="asked for 'echo' with 'logprobs' and gave none"):
        model(server.url).log_likelihood([Pair("new", " row")])


def test_a_recipe_names_a_server_without_secrets() -> None:
    with pytest.raises(ValueError, match="holds no keys"):
        ServerSpec(url="http://me:secret@localhost/v1")
    with pytest.raises(ValueError, match="expected a URL"):
        ServerSpec(url="localhost:8000")
    place = ServerSpec(url="http://localhost:8000/v1/", key_env="KEY")
    spec = ModelSpec(name="m", server=place)
    assert fingerprint(spec)["server"] == "http://localhost:8000/v1"
    slower = spec.model_copy(update={"server": place.model_copy(update={"concurrency": 1})})
    assert fingerprint(slower) == fingerprint(spec)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serve(command: list[str], port: int, log: Path, seconds: int) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers."""
    settings = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env=settings)
    for _ in range(seconds * 5):
        time.sleep(0.2)
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).close()
        except urllib.error.HTTPError:
            return started  # it answers, if only to say that it has no list
        except OSError:
            if started.poll() is not None:
                break
            continue
        return started
    started.kill()
    started.wait()
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")


@pytest.mark.model
def test_transformers_serve_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from siftline.models.remote.server import ServerModel
    from siftline.models.store.conversion import loadable_folder
    from siftline.models.store.files import find_model

    pytest.importorskip("uvicorn")
    folder = str(loadable_folder(find_model(ModelSpec(name="builtin:smollm2"))))
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path))
    port = _free_port()
    tool = str(Path(sys.executable).with_name("transformers"))
    command = [tool, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    started = _serve(command, port, tmp_path / "log", 90)
    try:
        place = ServerSpec(url=f"http://127.0.0.1:{port}/v1", concurrency=2, retries=1)
        remote = ServerModel(ModelSpec(name=folder, server=place))
        france: list[Any] = [[{"role": "user", "content": "What is the capital of France?"}]]
        found = remote.generate(france, Sampling(n=2, temperature=0, max_tokens=16))
        (samples,) = found.rows
        assert [isinstance(each, Sample) and "Paris" in each.text for each in samples] == [True] * 2
        assert "a request of its own" in caplog.text  # it ignores `n`
        (plain,) = remote.generate(france, SAMPLING, template="plain").rows
        assert isinstance(plain, list)
        # What it does not have is noticed, not filled in.
        with pytest.raises(ModelError, match="asked for 'echo' with 'logprobs' and gave none"):
            remote.log_likelihood([Pair("Question: Who?\nAnswer:", " Me.")])
        with pytest.raises(ModelError, match="asked for 'top_logprobs' and gave none"):
            remote.choose(france, ["Yes", "No"])
    finally:
        started.terminate()
        started.wait(30)


@pytest.mark.model
def test_likelihoods_of_a_server_are_those_of_its_model(server: Misbehaving) -> None:
    torch = pytest.importorskip("torch")
    from siftline.models.loading import load_language_model

    local: Any = load_language_model(ModelSpec(name="builtin:smollm2", dtype="float32"), "cpu")

    def echo(body: dict[str, Any]) -> dict[str, Any]:
        coded = local.tokenizer(body["prompt"], return_offsets_mapping=True)
        ids = torch.tensor(coded["input_ids"])
        with torch.no_grad():
            logprobs = local.network.model(ids[None]).logits[0].log_softmax(-1)
        values = logprobs[:-1].gather(1, ids[1:, None])[:, 0].tolist()
        offsets = [start for start, _ in coded["offset_mapping"]]
        shown = {"token_logprobs": [None, *values], "text_offset": offsets}
        return {"choices": [{"text": body["prompt"], "logprobs": shown}]}

    server.answer = echo  # type: ignore[method-assign]
    pairs = [
        Pair("Question: What is the capital of France?\nAnswer:", " Paris, of course."),
        Pair("Question: \u96ea \U0001f600?\nAnswer:", " caf\u00e9 \U0001f600"),
        Pair("Question: Name a colour.\nAnswer: Bl", "ue"),
    ]
    here = local.log_likelihood(pairs).rows
    there = model(server.url).log_likelihood(pairs).rows
    # A server takes text only, so nothing can be parted from its prompt there.
    assert [row.status for row in here] == ["ok", "ok", "ok"]
    assert [row.status for row in there] == ["ok", "ok", "boundary"]
    assert [row.scored_tokens for row in there[:2]] == [row.scored_tokens for row in here[:2]]
    for row, other in zip(there[:2], here[:2], strict=True):
        assert row.sum_logprob == pytest.approx(other.sum_logprob, abs=1e-3)


@pytest.mark.model
def test_llama_cpp_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its echo gives each token the probability of coming once more (0.3.36)."""
    pytest.importorskip("llama_cpp.server", reason="pip install 'llama-cpp-python[server]'")
    from siftline.models.store.files import find_model

    spec = ModelSpec(name="builtin:smollm2", dtype="float32")
    (weights,) = find_model(spec).folder.glob("*.gguf")
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path))
    port = _free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(weights)]
    command += ["--port", str(port), "--logits_all", "true", "--n_ctx", "512"]
    started = _serve(command, port, tmp_path / "log", 90)
    try:
        remote = model(f"http://127.0.0.1:{port}/v1", concurrency=1)
        with pytest.raises(ModelError, match="not those of the tokens beside them"):
            remote.log_likelihood([Pair("Question: Who?\nAnswer:", " Me.")])
        (samples,) = remote.generate(PROMPTS[:1], SAMPLING).rows
        assert samples[0].tokens <= SAMPLING.max_tokens
    finally:
        started.terminate()
        started.wait(30)
