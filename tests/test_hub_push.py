"""`--to-hub`: what is given to the Hub's client, and what is said when the Hub refuses."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from commands import exit_code

from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in the working directory."""
    rows = [{"question": f"Which is no. {n}?", "answer": f"It is {n}."} for n in range(3)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"name": "pushed", "inputs": [{"path": "data.jsonl"}]}
    run(parse_recipe(data, "r.yaml"), tmp_path, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Hub:
    """Stands in for the two calls of the client, and keeps what they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: set[str] = set()
        monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", self._create)
        monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", self._upload)

    def _create(self, repository: str, **given: Any) -> None:
        self.calls.append((repository, given))

    def _upload(self, *, folder_path: Path, **given: Any) -> Any:
        files = [path for path in folder_path.rglob("*") if path.is_file()]
        self.files = {path.relative_to(folder_path).as_posix() for path in files}
        self.calls.append((given["repo_id"], given))
        return SimpleNamespace(commit_url="https://hub.example/commit/1")


@pytest.mark.parametrize("public", [False, True])
def test_data_and_card_go_in_one_commit(
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    public: bool,
) -> None:
    hub = Hub(monkeypatch)
    option = ["--public"] if public else []
    before = sorted(finished.iterdir())
    assert exit_code("export", "pushed", "--to-hub", "org/name", *option) == 0
    (_, created), (_, uploaded) = hub.calls
    assert created == {"repo_type": "dataset", "private": not public, "exist_ok": True}
    assert {"README.md", "data/train-00000-of-00001.parquet"} <= hub.files
    assert "data/*" in uploaded["delete_patterns"]  # nothing of an earlier push is left among it
    assert "token" not in created
    assert "token" not in uploaded
    assert "pushed   https://hub.example/commit/1" in capsys.readouterr().out
    assert sorted(finished.iterdir()) == before


def test_a_folder_that_is_named_is_kept(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    arguments = ["--to-hub", "org/name", "--to", "kept", "--format", "alpaca"]
    assert exit_code("export", "pushed", *arguments) == 0
    assert "dataset_info.json" in hub.files
    assert (finished / "kept" / "data" / "train.jsonl").exists()


class Refuses(BaseHTTPRequestHandler):
    """A Hub that does not know the token, and repeats it."""

    def do_POST(self) -> None:
        body = json.dumps({"error": f"Unknown token {self.headers['authorization']}"}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Error-Message", f"Unknown {self.headers['authorization']}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Refuses)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def at(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client talk with another Hub, on this machine, and have a token."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    made = huggingface_hub.HfApi(endpoint=endpoint, token="hf_verysecret")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)


def test_a_refusal_is_one_sentence_without_the_token(
    finished: Path,
    refusing: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at(refusing, monkeypatch)
    assert exit_code("export", "pushed", "--to-hub", "org/name") == 1
    message = told(capsys)
    assert "The Hub has not taken 'org/name':" in message
    assert "401" in message
    assert "hf auth login" in message
    assert "verysecret" not in message


def test_a_hub_that_is_not_there(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at("http://127.0.0.1:9", monkeypatch)
    assert exit_code("export", "pushed", "--to-hub", "org/name") == 1
    assert "The Hub has not taken 'org/name':" in told(capsys)


@pytest.mark.parametrize("name", ["a/b/c", "a b", "", "-a/b", "https://hub.example/a/b"])
def test_a_name_that_is_none_costs_nothing(
    finished: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert exit_code("export", "pushed", "--to-hub", name, "--to", "kept") == 2
    assert f"Got --to-hub '{name}'; expected the name of a dataset on the Hub" in told(capsys)
    assert not (finished / "kept").exists()
