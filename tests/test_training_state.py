"""Tests of what a training leaves behind to go on from."""

from pathlib import Path
from typing import Any

import pytest

from siftline.models.training.state import load_state, save_state

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")


def learned(steps: int) -> tuple[dict[str, Any], Any]:
    """Return two weights after some steps, the second of which nothing depends on."""
    weights = {name: torch.nn.Parameter(torch.ones(3)) for name in ("a.b", "rest")}
    optimizer = torch.optim.AdamW(weights.values(), lr=0.1)
    for step in range(steps):
        (weights["a.b"] * torch.tensor([1.0, 2.0, step])).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return weights, optimizer


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    weights, optimizer = learned(3)
    save_state(tmp_path / "state", weights, optimizer, 3, {1: 0.1, 2: 1 / 3, 3: 2.0})
    others, fresh = learned(0)
    assert load_state(tmp_path / "state", others, fresh) == (3, {1: 0.1, 2: 1 / 3, 3: 2.0})
    for name, weight in weights.items():
        assert torch.equal(weight, others[name])
        kept = {key: value.tolist() for key, value in fresh.state[others[name]].items()}
        assert kept == {key: value.tolist() for key, value in optimizer.state[weight].items()}
    assert set(optimizer.state[weights["a.b"]]) == {"step", "exp_avg", "exp_avg_sq"}
    assert not fresh.state[others["rest"]]


def test_without_a_state_a_training_begins(tmp_path: Path) -> None:
    weights, optimizer = learned(0)
    assert load_state(tmp_path / "state", weights, optimizer) == (0, {})
    assert weights["a.b"].tolist() == [1, 1, 1]


def test_a_write_that_fails_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, optimizer = learned(1)
    save_state(tmp_path / "state", weights, optimizer, 1, {1: 0.5})

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(safetensors, "save_file", full)
    with pytest.raises(OSError, match="no space"):
        save_state(tmp_path / "state", weights, optimizer, 2, {})
    assert load_state(tmp_path / "state", *learned(0))[0] == 1
