"""Inputs behind addresses: a store in memory, and a server on this machine."""

import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import exit_code

from siftline.contracts.errors import InputError, RecipeError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.ingestion import stores
from siftline.pipelines.ingestion.inputs import Input, digest, resolve
from siftline.pipelines.ingestion.readers import read_input
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run

ROWS = [{"question": f"Was ist {n}?", "answer": f"„{n}“"} for n in range(5)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture
def memory() -> Iterator[Any]:
    """Yield an empty store that is called memory://."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Sends the files of a folder, and takes no notice of questions but a wrong token."""

    def do_GET(self) -> None:
        self.respond()

    def do_HEAD(self) -> None:
        self.respond()

    def respond(self) -> None:
        if "token=" in self.path and "token=open%20sesame" not in self.path:
            self.send_error(403)
        elif self.command == "HEAD":
            super().do_HEAD()
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a server of a folder's files."""
    pytest.importorskip("aiohttp")
    folder = tmp_path / "served"
    folder.mkdir()

    def handler(*args: Any) -> Handler:
        return Handler(*args, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=2)
    return bytes(sink.getvalue())


FILES = {
    "a.jsonl": LINES,
    "b.jsonl.gz": gzip.compress(LINES),
    "c.parquet": parquet(),
    "d.parquet.gz": gzip.compress(parquet()),
    "e.json": json.dumps({"data": ROWS}, indent=1).encode(),
}


def read(path: str, folder: Path, limit: int = 1 << 20) -> dict[str, list[Any]]:
    item = Input(path=path)
    return {
        name: [record.value for record in records]
        for name, records in read_input(item, folder, limit)
    }


def test_files_of_a_store_are_read_like_those_of_a_folder(memory: Any, tmp_path: Path) -> None:
    for name, data in FILES.items():
        memory.pipe(f"/bucket/{name}", data)
        assert read(f"memory://bucket/{name}", tmp_path) == {f"memory://bucket/{name}": ROWS}
    assert read("memory://bucket/e.json", tmp_path, limit=100) == {"memory://bucket/e.json": ROWS}
    found = read("memory://bucket/**", tmp_path)
    assert list(found) == [f"memory://bucket/{name}" for name in FILES]
    assert [Input(path=f"memory://bucket/{n}").source for n in FILES] == ["a", "b", "c", "d", "e"]


def test_files_of_a_server(server: str, tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / "served" / name).write_bytes(data)
        assert read(f"{server}/{name}", tmp_path) == {f"{server}/{name}": ROWS}
    assert read(f"{server}/a.jsonl?download=true", tmp_path) == {f"{server}/a.jsonl": ROWS}
    assert list(read(f"{server}/*.jsonl*", tmp_path)) == [
        f"{server}/a.jsonl",
        f"{server}/b.jsonl.gz",
    ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("memory://bucket/none.jsonl", "matches no file"),
        ("memory://bucket/*.csv", "matches no file"),
        ("memory://bucket", r"is a folder.*'memory://bucket/\*\.jsonl'"),
        ("memory://bucket/notes.md", "unknown type"),
        ("memory://bucket/empty.jsonl", "is empty"),
        ("oss://bucket/a.jsonl", "pip install ossfs"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    memory: Any, tmp_path: Path, path: str, message: str
) -> None:
    for name in ("a.jsonl", "notes.md", "empty.jsonl"):
        memory.pipe(f"/bucket/{name}", b"" if name == "empty.jsonl" else b"x")
    with pytest.raises((RecipeError, InputError), match=message) as caught:
        resolve(Input(path=path), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_or_refuses(server: str, tmp_path: Path) -> None:
    (tmp_path / "served" / "a.jsonl").write_bytes(LINES)
    for address in ("http://127.0.0.1:9/a.jsonl", f"{server}/a.jsonl?page=token=1"):
        with pytest.raises(InputError, match=r"cannot be read: .*Check the address, the network"):
            resolve(Input(path=address), tmp_path)
    with pytest.raises(RecipeError, match="matches no file"):
        resolve(Input(path=f"{server}/none.jsonl"), tmp_path)


@pytest.mark.parametrize(
    "address",
    [
        "https://me:hunter2@example.org/a.jsonl",
        "https://hunter2@example.org/a.jsonl",
        "s3://AKIA:hunter2@bucket/a.jsonl",
        "https://example.org/a.jsonl?access_token=hunter2",
        "https://example.org/a.jsonl?pwd=hunter2",
        "https://example.org/a.jsonl#token=hunter2",
        "https://example.org/a.jsonl?X-Amz-Signature=hunter2&x=1",
        "sftp://me:hunter2@example.org/a.jsonl",
    ],
)
def test_a_credential_in_an_address_is_refused_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    with pytest.raises(RecipeError, match="must hold no credential") as caught:
        parse_recipe({"name": "r", "inputs": [{"path": address}], "stages": []}, "r.yaml")
    assert "hunter2" not in str(caught.value)
    assert exit_code("init", address, "--recipe", str(tmp_path / "r.yaml")) == 2
    assert "hunter2" not in "".join(capsys.readouterr())


def test_addresses_without_a_credential_are_taken() -> None:
    for address in (
        "https://${USER}:${PASS}@example.org/a.jsonl",
        "https://example.org/a.jsonl?token=${TOKEN}&download=true",
        "sftp://me@example.org/a.jsonl",
        "hf://datasets/org/name@main/a.jsonl",
    ):
        assert Input(path=address).source == "a"


@pytest.mark.parametrize("address", ["nfs://x/a.jsonl", "zip://a.jsonl::s3://b/c.zip"])
def test_addresses_of_other_kinds_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="cannot read an address of"):
        Input(path=address)


def go(folder: Path, path: str) -> RunResult:
    recipe = {"name": "r", "inputs": [{"path": path}], "stages": [{"kind": "exact_duplicates"}]}
    return run(parse_recipe(recipe, "r"), folder, folder / "runs", Runtime())


def test_a_credential_is_in_no_record_and_no_part_of_the_identity(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served" / "a.jsonl").write_bytes(LINES)
    address = f"{server}/a.jsonl?token=${{SESAME}}"
    with pytest.raises(RecipeError, match="variable 'SESAME', which is not set"):
        go(tmp_path, address)
    monkeypatch.setenv("SESAME", "shut")
    with pytest.raises(InputError) as caught:
        go(tmp_path, address)
    assert "shut" not in str(caught.value)
    monkeypatch.setenv("SESAME", "open%20sesame")
    first = go(tmp_path, address)
    assert first.export.rows == 5
    for path in (tmp_path / "runs").rglob("*"):
        assert not path.is_file() or b"sesame" not in path.read_bytes()
    monkeypatch.setenv("SESAME", "open%20sesame&more=1")
    assert go(tmp_path, address).reused
    monkeypatch.undo()


def test_the_digest_is_of_the_bytes(memory: Any, tmp_path: Path) -> None:
    item = Input(path="memory://bucket/*.jsonl")
    memory.pipe("/bucket/a.jsonl", LINES)
    first = digest(item, tmp_path)
    memory.pipe("/bucket/a.jsonl", LINES)
    assert digest(item, tmp_path) == first
    memory.pipe("/bucket/a.jsonl", LINES.replace(b"3", b"4"))
    second = digest(item, tmp_path)
    memory.pipe("/bucket/b.jsonl", LINES)
    assert len({first, second, digest(item, tmp_path)}) == 3


def test_a_stored_file_that_changes_while_it_is_read_is_no_version(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/bucket/a.jsonl", LINES)
    real = stores.StoredFile.open
    opened = []

    def changing(self: stores.StoredFile) -> Any:
        opened.append(self.address)
        memory.pipe("/bucket/a.jsonl", LINES * len(opened))
        return real(self)

    monkeypatch.setattr(stores.StoredFile, "open", changing)
    with pytest.raises(InputError, match="has changed while it was read"):
        go(tmp_path, "memory://bucket/a.jsonl")
    assert not list((tmp_path / "runs" / "r").glob("v*"))


def test_a_store_that_fails_in_the_middle_is_one_sentence(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/bucket/a.jsonl", LINES)

    class StrangeError(Exception):
        """As a store's package has them."""

    def fail(*_: Any) -> bytes:
        raise StrangeError("the store is tired")

    (place,) = resolve(Input(path="memory://bucket/a.jsonl"), tmp_path)
    assert isinstance(place, stores.StoredFile)
    stream = place.open()
    assert stream.seekable()
    monkeypatch.setattr(type(memory.store["/bucket/a.jsonl"]), "read", fail)
    with pytest.raises(InputError, match=r"'a\.jsonl' cannot be read: the store is tired"):
        read("memory://bucket/a.jsonl", tmp_path)


def test_paths_of_this_machine_have_other_spellings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "a.jsonl").write_bytes(LINES)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for path in ("~/a.jsonl", "~/*.jsonl", f"file://{tmp_path}/home/a.jsonl"):
        assert list(read(path, tmp_path).values()) == [ROWS]
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "a.jsonl").write_bytes(LINES * 2)
    assert list(read("~/a.jsonl", tmp_path).values()) == [ROWS * 2]
