"""Tests of models in memory: they are those of the files as they are now, and no older ones."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from pools import asked, runtime_of, save_tiny, table_of
from tiny_models import tiny_model, tiny_tokenizer

from siftline.contracts.errors import ModelError, RunError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.models.fingerprint import fingerprint
from siftline.models.likelihood import Pair
from siftline.models.loading import load_embedder, load_transformer, load_tuned
from siftline.models.store import hub
from siftline.models.token_counter import load_counter
from siftline.pipelines.scores import work
from siftline.pipelines.scores.named_files import digest_of_named
from siftline.pipelines.scores.store import ScoreStore
from siftline.pipelines.scores.work import Work, score_work
from siftline.scorers.likelihood import Likelihood
from siftline.scorers.membership import Membership

PAIR = Pair("the cat", " sat on the mat.")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "model")


def spec_of(folder: Path) -> ModelSpec:
    return ModelSpec(name=str(folder), dtype="float32")


def replace_weights(folder: Path) -> None:
    model = tiny_model("Llama")
    for weight in model.parameters():
        weight.data.mul_(1.5)
    model.save_pretrained(folder)


def likelihood(model: Any) -> float:
    return float(model.log_likelihood([PAIR]).rows[0].sum_logprob)


def gone(reference: "weakref.ref[Any]") -> bool:
    gc.collect()
    return reference() is None


def test_a_replaced_model_is_loaded_anew_and_the_old_one_let_go(folder: Path) -> None:
    spec = spec_of(folder)
    old = load_transformer(spec, "cpu")
    assert load_transformer(spec, "cpu") is old
    before, held = likelihood(old), weakref.ref(old)
    del old
    replace_weights(folder)
    new = load_transformer(spec, "cpu")
    assert likelihood(new) != pytest.approx(before, abs=0.1)
    assert gone(held)


def test_a_file_that_decides_where_a_response_ends_is_read_again(folder: Path) -> None:
    before = load_transformer(spec_of(folder), "cpu")
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 7]}')
    model: Any = load_transformer(spec_of(folder), "cpu")
    assert model is not before
    assert model.network.model.generation_config.eos_token_id == [1, 7]


def test_a_replaced_embedder_is_loaded_anew(folder: Path) -> None:
    old = load_embedder(spec_of(folder), "cpu")
    vectors = old.embed(["the cat"]).vectors
    held = weakref.ref(old)
    del old
    replace_weights(folder)
    assert not (load_embedder(spec_of(folder), "cpu").embed(["the cat"]).vectors == vectors).all()
    assert gone(held)


def test_replaced_whole_weights_of_a_tuned_model_are_loaded_anew(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    tuned = tmp_path / "tuned"
    tiny_model("Llama").save_pretrained(tuned)
    old = load_tuned(spec_of(folder), tuned, "cpu")
    assert load_tuned(spec_of(folder), tuned, "cpu") is old
    before, held = likelihood(old), weakref.ref(old)
    del old
    replace_weights(tuned)
    assert likelihood(load_tuned(spec_of(folder), tuned, "cpu")) != pytest.approx(before, abs=0.1)
    assert gone(held)


def test_a_replaced_tokenizer_counts_anew(folder: Path) -> None:
    spec = spec_of(folder)
    assert load_counter(spec) is load_counter(spec)
    (before,) = load_counter(spec)(["the cat sat"])
    tiny_tokenizer(bos=True).save_pretrained(folder)
    (after,) = load_counter(spec)(["the cat sat"])
    assert before is not None
    assert after == before + 1


def test_a_branch_that_moves_is_another_model_and_a_commit_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    first, second = "a" * 40, "b" * 40
    for commit in (first, second):
        save_tiny(tmp_path / commit)
    replace_weights(tmp_path / second)
    head, calls = [first], []

    def download(name: str, revision: str | None, **options: Any) -> str:
        calls.append(revision)
        return str(tmp_path / (revision or head[0]))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    hub._at_commit.cache_clear()
    spec = ModelSpec(name="org/model", dtype="float32")
    prints = fingerprint(spec, "cpu")
    old = likelihood(load_transformer(spec, "cpu"))
    head[0] = second
    pinned = spec.model_copy(update={"revision": prints["revision"]})
    calls.clear()
    assert [likelihood(load_transformer(pinned, "cpu")) for _ in range(3)] == [old] * 3
    assert fingerprint(pinned, "cpu") == prints
    assert calls == [first]
    assert fingerprint(spec, "cpu") != prints
    assert likelihood(load_transformer(spec, "cpu")) != pytest.approx(old, abs=0.1)
    hub._at_commit.cache_clear()


def test_scores_of_a_model_that_changed_during_a_run_are_not_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = runtime_of(folder)
    store = ScoreStore(tmp_path, {"m": fingerprint(runtime.models["m"], "cpu")}, runtime)
    scorer, rows = Likelihood(model="m"), table_of({"a": asked("the cat", "sat on the mat.")})
    score_rows = work.score_rows

    def replaced_before(*arguments: Any) -> Any:
        replace_weights(folder)
        return score_rows(*arguments)

    monkeypatch.setattr(work, "score_rows", replaced_before)
    with pytest.raises(RunError, match=r"'.*model' changed during the run"):
        score_work(rows, Work(0, scorer, 0, (0,)), store)
    assert not list((tmp_path / "likelihood").rglob("*.parquet"))
    monkeypatch.undo()
    store = ScoreStore(tmp_path, {"m": fingerprint(runtime.models["m"], "cpu")}, runtime)
    assert score_work(rows, Work(0, scorer, 0, (0,)), store).rows == 1
    assert list((tmp_path / "likelihood").rglob("*.parquet"))


def test_scores_of_a_file_that_changed_during_a_run_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "golds.csv").write_text("id,answer\n1,2\n")
    prints = {"golds.csv": {"digest": digest_of_named(tmp_path / "golds.csv")}}
    store = ScoreStore(tmp_path, prints, Runtime(base=tmp_path))
    scorer = Membership(file="golds.csv")
    store.require_unchanged(scorer)
    (tmp_path / "golds.csv").write_text("id,answer\n1,3\n")
    with pytest.raises(RunError, match=r"'golds\.csv' changed during the run"):
        store.require_unchanged(scorer)


@pytest.mark.parametrize("kept", [0, 5, 200])
def test_weights_that_were_cut_are_one_sentence(tmp_path: Path, kept: int) -> None:
    tiny_model("Llama").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"cannot be loaded; expected .* Got: \S"):
        load_transformer(ModelSpec(name=str(tmp_path)), "cpu")
