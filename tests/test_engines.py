"""How engines are called, what their answers depend on, and recipes that name them wrongly."""

import stat
from pathlib import Path
from typing import Any

import pytest
from commands import exit_code

from siftline.contracts.errors import ModelError, RecipeError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.fingerprint import fingerprint
from siftline.models.remote.engines import asked_name, command_of, engine_version
from siftline.models.remote.served_model import served_files
from siftline.models.remote.serving import shared_spec
from siftline.models.store.files import find_model
from siftline.pipelines.recipe import parse_recipe


def spec(serve: Any, **settings: Any) -> ModelSpec:
    return ModelSpec.model_validate({"name": "org/model", "serve": serve, **settings})


def version_of(serve: Any) -> str:
    found = spec(serve).serve
    assert found is not None
    return engine_version(found)


def program(folder: Path, name: str, said: str, code: int = 0) -> Path:
    """Write a program that prints something."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {code}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand for the engines on the PATH, and give a folder with the files of a model."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs, "vllm", "INFO 11-27 10:00:01 [cuda.py] Detected platform cuda.\n0.11.2")
    program(programs, "sglang", "sglang version: 0.5.6.post1\ngit revision: abc1234")
    program(programs, "transformers", "5.17.0")
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_vllm_is_told_files_name_place_and_type() -> None:
    one = spec({"engine": "vllm", "arguments": ["--max-model-len", 8192, "--x={}"]})
    command = command_of(one.model_copy(update={"dtype": "bfloat16"}), Path("/m"), 71)
    assert command == [
        *("vllm", "serve", "/m", "--seed", "0", "--generation-config", "vllm"),
        *("--max-model-len", "8192", "--x={}", "--served-model-name", "org/model"),
        *("--host", "127.0.0.1", "--port", "71", "--dtype", "bfloat16"),
    ]
    assert asked_name(one, Path("/m")) == "org/model"
    trusted = command_of(spec("vllm", trust_remote_code=True), Path("/m"), 71)
    assert trusted[-1] == "--trust-remote-code"
    assert trusted[-2] == "auto"


def test_sglang_and_transformers_are_called_in_their_own_words() -> None:
    sglang = command_of(spec("sglang"), Path("/m"), 71)
    assert sglang[:2] == ["sglang", "serve"]
    assert "--model-path /m --served-model-name org/model --host 127.0.0.1" in " ".join(sglang)
    own = spec({"engine": "transformers", "executable": "/opt/bin/transformers"})
    assert command_of(own, Path("/m"), 71) == [
        *("/opt/bin/transformers", "serve", "/m", "--default-seed", "0"),
        *("--host", "127.0.0.1", "--port", "71", "--dtype", "auto"),
    ]
    assert asked_name(own, Path("/m")) == "/m"  # it serves a model under its path alone


def test_a_command_is_what_the_recipe_states() -> None:
    words = ["my server", "-m", "{model}", "{host}:{port}", "{{}}", "{name}", "{dtype}"]
    command = command_of(spec({"command": words, "version": "1"}), Path("/m"), 71)
    assert command == ["my server", "-m", "/m", "127.0.0.1:71", "{}", "org/model", "auto"]


@pytest.mark.usefixtures("installed")
def test_engines_tell_their_versions() -> None:
    assert version_of("vllm") == "0.11.2"
    assert version_of("sglang") == "0.5.6.post1"
    assert version_of("transformers") == "5.17.0"


def test_a_version_is_read_where_it_is_printed_and_never_cut(tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.write_text("#!/bin/sh\necho 'version: 7073 (a1b2c3)' >&2\n")
    aside.chmod(0o755)
    place = ["x", "{host}", "{port}"]
    program(tmp_path, "x", "")
    found = version_of({"command": [str(tmp_path / "x"), *place[1:]], "version": [str(aside)]})
    assert found == "version: 7073 (a1b2c3)"
    one, other = (version_of({"command": place, "version": "9 " * 200 + end}) for end in "ab")
    assert one != other
    assert len(one) < 220


def test_a_served_link_keeps_its_name(tmp_path: Path) -> None:
    """The Hub's files are links to blobs, whose names say neither what they are nor which part."""
    (tmp_path / "blob").write_bytes(b"weights")
    (tmp_path / "m-00001-of-00002.gguf").symlink_to(tmp_path / "blob")
    command = {"command": ["x", "{model}", "{host}:{port}"], "version": "1"}
    words = command_of(spec(command), tmp_path / "m-00001-of-00002.gguf", 71)
    assert words[1] == str(tmp_path / "m-00001-of-00002.gguf")


def test_one_that_tells_no_version_is_told(tmp_path: Path) -> None:
    broken = program(tmp_path, "broken", "", 3)
    silent = program(tmp_path, "silent", "no \x1b[1mnumber here")
    place = ["{host}", "{port}"]
    for serve, told in [
        ({"command": [str(broken), *place], "version": [str(broken)]}, "ended with code 3"),
        ({"engine": "vllm", "executable": str(silent)}, r"tells no version; got 'no .x1b"),
        ({"engine": "vllm", "executable": str(broken)}, "ended with code 3"),
    ]:
        with pytest.raises(ModelError, match=told):
            version_of(serve)


def test_a_fingerprint_holds_files_engine_and_arguments(installed: Path, tmp_path: Path) -> None:
    def found(serve: Any, **settings: Any) -> dict[str, str]:
        return fingerprint(spec(serve, name=str(installed), **settings))

    vllm = found("vllm")
    assert (vllm["serve"], vllm["version"], vllm["dtype"]) == ("vllm", "0.11.2", "auto")
    assert len(vllm["digest"]) == 64
    assert found({"engine": "vllm", "gpus": [0], "concurrency": 3, "ready_timeout": 9}) == vllm
    others = [
        found("sglang"),
        found({"engine": "vllm", "arguments": ["--quantization", "fp8"]}),
        found("vllm", dtype="float16"),
        found("vllm", trust_remote_code=True),
        found("vllm", system="merge"),
        fingerprint(ModelSpec(name=str(installed)), "cpu"),
    ]
    program(tmp_path / "bin", "vllm", "0.12.0")
    others.append(found("vllm"))
    assert len({str(each) for each in [vllm, *others]}) == 8


def test_what_the_toy_would_serve_is_told() -> None:
    with pytest.raises(ModelError, match="has no weights to serve"):
        fingerprint(spec({"command": ["x", "{host}{port}"], "version": "1"}, name="builtin:toy"))


def test_a_command_gets_the_gguf_file_and_an_engine_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from siftline.models.store import conversion

    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(conversion, "convert_gguf", lambda gguf, target: target.mkdir())
    (tmp_path / "m.gguf").write_bytes(b"weights")
    own = {"command": ["x", "{host}{port}"], "version": "1"}
    name = str(tmp_path / "m.gguf")
    for serve, place in [(own, tmp_path), ("vllm", tmp_path / "cache" / "models")]:
        one = spec(serve, name=name)
        assert served_files(one, find_model(one)).parent == place


def test_roles_share_a_server_whatever_they_ask_of_it() -> None:
    one = spec({"engine": "vllm", "concurrency": 2}, system="merge")
    assert shared_spec(one) == shared_spec(spec("vllm"))
    assert shared_spec(spec({"engine": "vllm", "gpus": [1]})) != shared_spec(one)


COMMAND = ["x", "{host}", "{port}"]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"serve": "vlm"}, "models.judge.serve: unknown engine 'vlm'. Did you mean 'vllm'?"),
        (
            {"serve": "vllm", "server": {"url": "http://localhost/v1"}},
            "models.judge: got both 'server' and 'serve'",
        ),
        ({"serve": {"arguments": ["--x"]}}, "expected either 'engine'"),
        ({"serve": {"engine": "vllm", "command": COMMAND}}, "expected either 'engine'"),
        ({"serve": {"engine": "vllm", "version": "1"}}, "belong to a 'command'"),
        ({"serve": {"command": COMMAND}}, "a 'command' needs 'version'"),
        ({"serve": {"command": COMMAND, "version": 1.10}}, "expected the version in quotes"),
        ({"serve": {"command": ["x", "{host}"], "version": "1"}}, "no '{port}' in 'command'"),
        ({"serve": {"command": [*COMMAND, "{key}"], "version": "1"}}, "placeholder '{key}'"),
        ({"serve": {"command": [*COMMAND, "{"], "version": "1"}}, "Double a brace."),
        ({"serve": {"command": [*COMMAND, "{port.x}"], "version": "1"}}, "'{port.x}'"),
        ({"serve": {"command": [*COMMAND, "{port:x}"], "version": "1"}}, "'{port:x}'"),
        ({"serve": {"command": [*COMMAND, "{port!r}"], "version": "1"}}, "'{port!r}'"),
        ({"serve": {"engine": "vllm", "gpus": ["a"]}}, "expected the numbers of GPUs"),
        ({"serve": {"engine": "vllm", "health": "http://x"}}, "models.judge.serve.health: got"),
        ({"serve": {"engine": "vllm", "url": "x"}}, "models.judge.serve.url: unknown field"),
        *[
            ({"serve": {"engine": "vllm", "arguments": [word]}}, "which siftline tells the engine")
            for word in ("--host=0.0.0.0", "--api_key", "--trust-remote-code", "--port", "--uds")
        ],
    ],
)
def test_a_recipe_that_names_an_engine_wrongly(model: dict[str, Any], told: str) -> None:
    data = {"name": "r", "inputs": [{"path": "d.jsonl"}]}
    with pytest.raises(RecipeError) as error:
        parse_recipe({**data, "models": {"judge": {"name": "org/model", **model}}}, "r.yaml")
    assert told in str(error.value)


@pytest.mark.parametrize(
    "stage",
    ["{kind: diversity, model: served, budget: 1}", "{kind: s2l, model: served, budget: 1}"],
)
def test_what_must_be_on_this_machine_is_not_served(
    stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.yaml").write_text(
        "name: r\ninputs: [{path: d.jsonl}]\n"
        f"models: {{served: {{name: org/m, serve: vllm}}}}\nstages: [{stage}]\n"
    )
    assert exit_code("validate", str(tmp_path / "r.yaml")) == 2
    assert "'served' is on a server; expected a model of this machine" in " ".join(
        capsys.readouterr().err.split()
    )
