"""Tests of conversions from GGUF: made once, held to their digest, and anew for other settings."""

from pathlib import Path

import pytest

from siftline.models.store import conversion
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.digests import ModelFolder


@pytest.fixture
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stand for what converts, and list what it has converted."""
    done: list[Path] = []

    def convert(gguf: Path, target: Path) -> None:
        target.mkdir()
        (target / "model.safetensors").write_bytes(gguf.read_bytes())
        done.append(gguf)

    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(conversion, "convert_gguf", convert)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.gguf").write_bytes(b"weights")
    return done


def test_a_conversion_is_made_once_for_each_content(tmp_path: Path, converted: list[Path]) -> None:
    model = ModelFolder("folder", "", tmp_path / "model")
    first = loadable_folder(model)
    assert loadable_folder(model) == first
    assert len(converted) == 1
    (tmp_path / "model" / "generation_config.json").write_text('{"eos_token_id": 7}')
    assert loadable_folder(model) != first
    assert len(converted) == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_conversion_is_made_again(
    tmp_path: Path, converted: list[Path], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = ModelFolder("folder", "", tmp_path / "model")
    folder = loadable_folder(model)
    weights = folder / "model.safetensors"
    if damage == "gone":
        (folder / "digest").unlink()
    else:
        weights.write_bytes({"flipped": b"weighTs", "cut": b"wei"}[damage])
    assert loadable_folder(model) == folder
    assert weights.read_bytes() == b"weights"
    assert len(converted) == 2
    assert "is damaged, and is made again from 'm.gguf'" in caplog.text
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
