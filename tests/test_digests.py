"""Tests of which files of a model count, and of when a remembered digest still holds."""

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.fingerprint import fingerprint
from siftline.models.store import digests
from siftline.models.store.digests import ModelFolder, counted_files, file_digest, unchanged
from siftline.models.store.files import find_model

READ = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/tool_use.jinja",
    "tokenizer.json",
    "tokenizer.10.0.0.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "tokenizer.model.v3",
    "tekken.json",
    "vocab.json",
    "merges.txt",
    "qwen.tiktoken",
    "processor_config.json",
    "preprocessor_config.json",
]
READ_OF_EMBEDDERS = [
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
    "0_WordEmbeddings/wordembedding_config.json",
    "0_WordEmbeddings/whitespacetokenizer_config.json",
    "router/query_0_Transformer/tokenizer.json",
]
NOT_READ = [
    "README.md",
    "LICENSE.txt",
    "figure.png",
    ".gitattributes",
    ".cache/huggingface/config.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "model.onnx",
    "onnx/config.json",
    "openvino/openvino_model.json",
    "original/params.json",
    "checkpoint-5/model.safetensors",
    "runs/events.json",
    "trainer_state.json",
    "eval_results.json",
    "training_args.bin",
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a model; its weights are no weights, and are never loaded."""
    return filled(tmp_path / "model", "config.json", "tokenizer.json", "model.safetensors")


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


def digest(folder: Path, **spec: Any) -> str:
    return fingerprint(ModelSpec(name=str(folder), dtype="float32", **spec), "cpu")["digest"]


def settle(path: Path) -> None:
    """Make a file old enough for its digest to be remembered, then have it digested."""
    real = digests._STEP
    digests._STEP = -1.0
    try:
        file_digest(path)
    finally:
        digests._STEP = real


@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_in_the_digest(folder: Path, name: str) -> None:
    before = digest(folder)
    filled(folder, name)
    (folder / name).write_text('{"other": 1}')
    assert digest(folder) != before


@pytest.mark.parametrize("name", READ_OF_EMBEDDERS)
def test_what_the_modules_of_an_embedder_read_is_in_its_digest(folder: Path, name: str) -> None:
    filled(folder, "modules.json", name)
    before = digest(folder)
    (folder / name).write_text('{"other": 1}')
    assert digest(folder) != before


@pytest.mark.parametrize("embedder", [False, True])
@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_not_read_changes_nothing(folder: Path, name: str, embedder: bool) -> None:
    if embedder:
        filled(folder, "modules.json")
    before = digest(folder)
    filled(folder, name)
    assert digest(folder) == before


def test_code_in_any_folder_counts_where_it_may_run(folder: Path) -> None:
    filled(folder, "inner/modeling.py")
    before = digest(folder), digest(folder, trust_remote_code=True)
    (folder / "inner" / "modeling.py").write_text("pass")
    assert digest(folder) == before[0]
    assert digest(folder, trust_remote_code=True) != before[1]


def sources(package: str, pattern: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    folder = Path(next(iter(spec.submodule_search_locations)))
    return "\n".join(path.read_text(encoding="utf-8") for path in folder.glob(pattern))


def test_every_file_that_a_tokenizer_names_counts(tmp_path: Path) -> None:
    text = sources("transformers", "models/*/tokenization_*.py")
    tables = re.findall(r"(?i)vocab_files_names\s*=\s*\{(.*?)\}", text, re.DOTALL)
    names = {name for table in tables for name in re.findall(r':\s*"([^"/]+\.[^"/]+)"', table)}
    assert {"vocab.txt", "merges.txt", "spiece.model"} <= names
    filled(tmp_path, *names)
    assert {path.name for path in counted_files(tmp_path)} == names


@pytest.mark.pinned
def test_every_file_that_a_module_of_an_embedder_names_counts(tmp_path: Path) -> None:
    text = sources("sentence_transformers", "**/modules/**/*.py")
    names = set(re.findall(r'"([\w-]+\.(?:json|txt|safetensors))"', text))
    assert {"model.safetensors", "wordembedding_config.json"} <= names
    filled(tmp_path, *names)
    assert {path.name for path in counted_files(tmp_path)} == names


def test_what_counts_is_what_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    there = [*READ, *READ_OF_EMBEDDERS, *NOT_READ, "modeling.py"]

    def download(name: str, **options: Any) -> str:
        patterns = {key: options[key] for key in ("allow_patterns", "ignore_patterns")}
        kept = huggingface_hub.utils.filter_repo_objects(there, **patterns)
        return str(filled(tmp_path / "snapshot", *kept))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = find_model(ModelSpec(name="org/model")).folder
    files = {path for path in found.rglob("*") if path.is_file()}
    names = {path.relative_to(found).as_posix() for path in files}
    assert names == {*READ, *READ_OF_EMBEDDERS}
    assert set(counted_files(found)) == files


def test_a_file_of_equal_size_and_time_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(b"weights")
    settle(path)
    before, times = file_digest(path), path.stat()
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_digest(path) != before


def test_the_digest_of_a_file_that_has_just_changed_is_not_remembered(folder: Path) -> None:
    path = folder / "model.safetensors"
    file_digest(path)
    assert not list((folder.parent / "cache").rglob("*"))
    settle(path)
    assert len(list((folder.parent / "cache" / "digests").iterdir())) == 1


def test_a_part_of_a_remembered_digest_is_none(folder: Path) -> None:
    path = folder / "model.safetensors"
    settle(path)
    known = file_digest(path)
    (memory,) = (folder.parent / "cache" / "digests").iterdir()
    memory.write_text(known[:20])
    assert file_digest(path) == known


def test_bytes_that_changed_without_a_trace_are_found_when_they_are_loaded(folder: Path) -> None:
    model = ModelFolder("folder", "", folder)
    path = folder / "model.safetensors"
    settle(path)
    (memory,) = (folder.parent / "cache" / "digests").iterdir()
    memory.write_text("0" * 64)  # as after a flipped bit on the disk
    with (
        pytest.raises(ModelError, match=r"model\.safetensors' holds other bytes"),
        unchanged(model),
    ):
        pass
    with unchanged(model):  # it was read anew
        pass


@pytest.mark.parametrize("name", ["model.safetensors", "generation_config.json"])
def test_a_model_that_changes_while_it_is_loaded_is_an_error(folder: Path, name: str) -> None:
    with (
        pytest.raises(ModelError, match="changed while the model was loaded"),
        unchanged(ModelFolder("folder", "", folder)),
    ):
        (folder / name).write_text("[]")


def test_what_is_read_from_elsewhere_or_from_a_pickle_is_refused(folder: Path) -> None:
    filled(folder, "modules.json", "2_Dense/pytorch_model.bin")
    with pytest.raises(ModelError, match="module '2_Dense' in a pickle; expected safetensors"):
        digest(folder)
    filled(folder, "2_Dense/model.safetensors")
    digest(folder)
    code = {"auto_map": {"AutoModel": "org/other--modeling.Model"}}
    (folder / "config.json").write_text(json.dumps(code))
    with pytest.raises(ModelError, match="code of another repository, 'org/other'"):
        digest(folder, trust_remote_code=True)
    filled(folder, "adapter_config.json")
    with pytest.raises(ModelError, match="holds an adapter; expected whole weights"):
        digest(folder)
