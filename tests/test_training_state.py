"""Tests of what a training leaves behind to go on from."""

from pathlib import Path
from typing import Any

import pytest

from siftline.contracts.errors import DamagedError, RunError
from siftline.models.training.state import load_state, remove_state, save_state

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
SafetensorError = pytest.importorskip("safetensors").SafetensorError


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
    save_state(tmp_path, weights, optimizer, 3, {1: 0.1, 2: 1 / 3, 3: 2.0})
    others, fresh = learned(0)
    assert load_state(tmp_path, others, fresh) == (3, {1: 0.1, 2: 1 / 3, 3: 2.0})
    for name, weight in weights.items():
        assert torch.equal(weight, others[name])
        kept = {key: value.tolist() for key, value in fresh.state[others[name]].items()}
        assert kept == {key: value.tolist() for key, value in optimizer.state[weight].items()}
    assert set(optimizer.state[weights["a.b"]]) == {"step", "exp_avg", "exp_avg_sq"}
    assert not fresh.state[others["rest"]]


def test_without_a_state_a_training_begins(tmp_path: Path) -> None:
    weights, optimizer = learned(0)
    assert load_state(tmp_path, weights, optimizer) == (0, {})
    assert weights["a.b"].tolist() == [1, 1, 1]


def test_a_write_that_fails_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, optimizer = learned(1)
    save_state(tmp_path, weights, optimizer, 1, {1: 0.5})

    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors, "save_file", full)
    with pytest.raises(RunError, match=r"Cannot write '.*safetensors': No space left.*Make room"):
        save_state(tmp_path, weights, optimizer, 2, {})
    assert load_state(tmp_path, *learned(0))[0] == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_later_state_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for step in (1, 2):
        save_state(tmp_path, *learned(step), step, {})
    assert load_state(tmp_path, *learned(0))[0] == 2
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "state-0000002.safetensors",
        "state.json",
    ]
    remove_state(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["state-0000001.safetensors", "state.json"])
@pytest.mark.parametrize("flipped", [True, False])
def test_a_damaged_state_is_not_gone_on_from(tmp_path: Path, name: str, flipped: bool) -> None:
    save_state(tmp_path, *learned(1), 1, {1: 0.5})
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data if flipped else data[: len(data) // 2])
    weights, optimizer = learned(0)
    with pytest.raises(DamagedError):
        load_state(tmp_path, weights, optimizer)
    assert weights["a.b"].tolist() == [1, 1, 1]
    assert not optimizer.state
