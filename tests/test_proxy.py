"""Tests of the proxy: when checkpoints are made, what is in them, and going on after a kill."""

import json
from pathlib import Path
from typing import Any

import pytest
from pools import asked, corpus_in, runtime_of, save_tiny
from pydantic import ValidationError

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Usage
from siftline.models.likelihood import Pair
from siftline.models.loading import open_language_model
from siftline.models.training import proxy as proxy_module
from siftline.models.training.proxy import SHAPES, Proxy, ProxyTraining, checkpoints_in

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

TALKS = {f"r{n}": asked(f"how {'very ' * n}cat", "the cat sat.") for n in range(6)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"), tie_word_embeddings=True)


def training(**fields: Any) -> ProxyTraining:
    settings = {"epochs": 2, "batch_rows": 2, "learning_rate": 0.01, "checkpoints": 3}
    return ProxyTraining.model_validate({**settings, **fields})


def fit(
    base: Path, folder: Path, talks: dict[str, Any] = TALKS, dtype: Any = "float32", **fields: Any
) -> Usage:
    folder.mkdir(parents=True, exist_ok=True)
    corpus = corpus_in(folder.with_name(f"{folder.name}-data"), talks)
    return Proxy(model="m", training=training(**fields)).fit(
        corpus, runtime_of(base, dtype), folder
    )


def weights(folder: Path) -> list[bytes]:
    return [(path / "model.safetensors").read_bytes() for path in checkpoints_in(folder)]


@pytest.mark.parametrize(
    ("fields", "steps", "expected"),
    [
        ({"checkpoints": 4}, 10, [2, 5, 8, 10]),
        ({"checkpoints": 12}, 24, list(range(2, 25, 2))),
        ({"checkpoints": 12}, 5, [1, 2, 3, 4, 5]),
        ({"checkpoints": 1}, 7, [7]),
        ({"checkpoints": [0.1, 0.5, 1]}, 20, [2, 10, 20]),
        ({"checkpoints": [0.5, 0.25]}, 20, [5, 10]),
        ({"checkpoints": [0.001, 1.0]}, 10, [1, 10]),
        ({"every_steps": 500}, 6141, list(range(500, 6001, 500))),  # the paper's twelve
        ({"every_steps": 500}, 300, [300]),
    ],
)
def test_where_checkpoints_are_made(
    fields: dict[str, Any], steps: int, expected: list[int]
) -> None:
    assert ProxyTraining.model_validate(fields).stops(steps) == expected


@pytest.mark.parametrize("checkpoints", [0, -1, 1001, [], [0, 0.5], [0.5, 1.5]])
def test_checkpoints_are_somewhere_in_the_training(checkpoints: Any) -> None:
    with pytest.raises(ValidationError, match="parts of the training above 0"):
        ProxyTraining(checkpoints=checkpoints)


def test_random_weights_learn_faster_unless_a_rate_is_stated() -> None:
    assert ProxyTraining().hyperparameters(False).learning_rate == 2e-5
    assert ProxyTraining(from_scratch="tiny").hyperparameters(False).learning_rate == 1e-3
    assert (
        ProxyTraining(from_scratch="tiny", learning_rate=0.5).hyperparameters(False).learning_rate
        == 0.5
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_checkpoints_load_with_a_tokenizer_of_their_own(
    base: Path, tmp_path: Path, dtype: Any
) -> None:
    usage = fit(base, tmp_path / "out", dtype=dtype)
    assert usage.model_calls >= 6
    folders = checkpoints_in(tmp_path / "out")
    assert [folder.name for folder in folders] == ["step-0000002", "step-0000004", "step-0000006"]
    pair = Pair("Question: how cat\nAnswer:", " the cat sat.")
    found = []
    for folder in (base, *folders):
        model = open_language_model(ModelSpec(name=str(folder), dtype=dtype), "cpu")
        assert model.tokenizer.eos_token == "<end>"
        stored = safetensors.load_file(folder / "model.safetensors")
        if folder != base:
            assert {str(each.dtype) for each in stored.values()} == {f"torch.{dtype}"}
            assert "lm_head.weight" not in stored  # it is the embedding, once
        (row,) = model.log_likelihood([pair], score_eos=True).rows
        assert row.sum_logprob is not None
        found.append(row.sum_logprob)
    assert found == sorted(found)  # it learns
    assert len(set(found)) == 4
    assert found[-1] > found[0] + 1


def test_the_last_checkpoint_is_the_model_that_was_trained(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    write = proxy_module._write_checkpoint

    def spy(model: Any, *rest: Any) -> None:
        kept.append({name: value.clone() for name, value in model.state_dict().items()})
        write(model, *rest)

    monkeypatch.setattr(proxy_module, "_write_checkpoint", spy)
    fit(base, tmp_path / "out")
    for folder, state in zip(checkpoints_in(tmp_path / "out"), kept, strict=True):
        model = open_language_model(ModelSpec(name=str(folder), dtype="float32"), "cpu")
        for name, value in model.network.model.state_dict().items():
            assert torch.equal(value, state[name]), name


def test_the_order_of_the_rows_does_not_matter(base: Path, tmp_path: Path) -> None:
    fit(base, tmp_path / "one")
    fit(base, tmp_path / "two", dict(reversed(TALKS.items())))
    assert weights(tmp_path / "one") == weights(tmp_path / "two")


def test_random_weights_have_the_named_shape_and_come_from_the_seed(
    base: Path, tmp_path: Path
) -> None:
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        torch.manual_seed(len(name))
        fit(base, tmp_path / name, from_scratch="tiny", seed=seed, epochs=1, checkpoints=1)
    assert weights(tmp_path / "one") == weights(tmp_path / "same") != weights(tmp_path / "other")
    (folder,) = checkpoints_in(tmp_path / "one")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape = (config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"])
    assert shape == SHAPES["tiny"]


def test_random_weights_have_a_place_for_every_token(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "base")
    path = folder / "tokenizer.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    (end,) = (token for token in told["added_tokens"] if token["content"] == "<end>")
    end["id"] = told["model"]["vocab"]["<end>"] = 400  # as where numbers are left for later
    path.write_text(json.dumps(told), encoding="utf-8")
    fit(folder, tmp_path / "out", from_scratch="tiny", epochs=1)
    (*_, last) = checkpoints_in(tmp_path / "out")
    config = json.loads((last / "config.json").read_text(encoding="utf-8"))
    assert config["vocab_size"] == 401


def test_a_proxy_that_was_killed_goes_on(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(base, tmp_path / "whole")
    write = proxy_module._write_checkpoint

    def killed(model: Any, tokenizer: Any, kind: str, folder: Path, step: int) -> None:
        if step == 4:
            (folder / ".step-0000004.tmp").mkdir()
            (folder / ".step-0000004.tmp" / "half").touch()
            raise KeyboardInterrupt
        write(model, tokenizer, kind, folder, step)

    monkeypatch.setattr(proxy_module, "_write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(base, tmp_path / "part")
    monkeypatch.undo()
    with pytest.raises(ModelError, match="checkpoints step-0000004, step-0000006 are missing"):
        checkpoints_in(tmp_path / "part")
    left = fit(base, tmp_path / "part")
    assert left.tokens < whole.tokens
    assert weights(tmp_path / "part") == weights(tmp_path / "whole")
    assert not list((tmp_path / "part").rglob("half"))


def test_what_is_left_out_does_not_stop_the_rest(base: Path, tmp_path: Path) -> None:
    odd = {"empty": asked("how", " "), "long": asked("how " * 200, "cat")}
    fit(base, tmp_path / "some", {**TALKS, **odd})
    fit(base, tmp_path / "good")
    assert weights(tmp_path / "some") == weights(tmp_path / "good")
    told = json.loads((tmp_path / "some" / "training.json").read_text(encoding="utf-8"))
    assert told == {"rows": 6, "steps": 6, "checkpoints": [2, 4, 6]}
    with pytest.raises(ModelError, match="No row can be learned from"):
        fit(base, tmp_path / "none", odd)


def test_a_model_without_weights_here_is_refused(tmp_path: Path) -> None:
    runtime = runtime_of(Path("builtin:toy"))
    with pytest.raises(ModelError, match="no weights here"):
        Proxy(model="m").fit(corpus_in(tmp_path, TALKS), runtime, tmp_path)
