"""What a device says when it has no memory left, or is lost: one sentence, and the run goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import exit_code
from pools import save_tiny
from test_embedding import Stub
from test_entailment import entailment
from test_run import data_bytes
from tiny_models import engine

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models import device_errors, holding
from siftline.models.device_errors import device_errors_told, is_lost, is_out_of_memory
from siftline.models.embedding import SentenceEmbedder
from siftline.models.engine import passes
from siftline.models.engine.answering import Answers
from siftline.models.engine.forward import Network
from siftline.models.engine.pooling import MeanStateEmbedder
from siftline.models.generation import Sampling
from siftline.models.likelihood import Pair
from siftline.models.loading import load_transformer
from siftline.models.training.loop import _Optimisation

torch = pytest.importorskip("torch")

ASSERTED = "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA` to enable."
FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError("Unable to allocate 3.00 GiB for an array"),
]
LOST = [
    torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors ..."),
    RuntimeError(ASSERTED),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA driver error: the GPU has fallen off the bus"),
]
OTHERS = [RuntimeError("shape mismatch"), ValueError("CUDA out of memory"), KeyError("CUDA error")]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_lack_of_memory_names_the_model_its_bytes_and_what_is_free(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_errors, "_free_bytes", lambda device: 3_200_000_000)
    with (
        pytest.raises(ModelError) as told,
        device_errors_told("org/model", "was loaded", "cuda:1", lambda: 16_060_000_000),
    ):
        raise error
    assert str(told.value).startswith(
        "'org/model' (16.1 GB of weights) does not fit the memory of cuda:1, of which 3.2 GB are "
        "free, as it was loaded: "
    )
    assert "lower --batch-tokens" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_a_device_that_is_lost_is_one_sentence(error: Exception) -> None:
    with pytest.raises(ModelError) as told, device_errors_told("org/model", "was run"):
        raise error
    assert str(told.value).startswith("The device failed while 'org/model' was run: ")
    assert "What was scored is kept: run again" in str(told.value)
    assert ("--device cpu says which" in str(told.value)) == ("assert" in str(error))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    assert not is_lost(error)
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as told, device_errors_told("org/model", "was run"):
        raise error
    assert told.value is error


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


PAIR = [Pair("the cat", " sat on the mat.")]
QUESTION: Any = [[{"role": "user", "content": "the cat"}]]
DOORS: dict[str, tuple[Any, str, Callable[[], Any]]] = {
    "likelihood": (passes.Passes, "_run_packed", lambda: engine().log_likelihood(PAIR)),
    "options": (
        passes.Passes,
        "_run_packed",
        lambda: engine().choose(QUESTION, ["a"], template="plain"),
    ),
    "generation": (
        Answers,
        "to",
        lambda: engine().generate(QUESTION, Sampling(max_tokens=2), template="plain"),
    ),
    "mean states": (Network, "mean_states", lambda: MeanStateEmbedder(engine()).embed(["a"])),
    "trial of packs": (Network, "score_padded", lambda: engine().log_likelihood(PAIR)),
}


@pytest.mark.parametrize("error", [FULL[1], LOST[0]], ids=["full", "lost"])
@pytest.mark.parametrize("door", DOORS)
def test_every_front_door_tells_it(
    door: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, name, call = DOORS[door]
    if door == "trial of packs":  # when a model is loaded
        with device_errors_told("Llama", "was loaded"):
            monkeypatch.setattr(place, name, failing(error))
            with pytest.raises(type(error)):
                engine().log_likelihood(PAIR)
        return
    call()
    monkeypatch.setattr(place, name, failing(error))
    with pytest.raises(ModelError, match="'Llama'"):
        call()


@pytest.mark.parametrize("error", [FULL[1], LOST[0]], ids=["full", "lost"])
def test_embedders_and_entailment_tell_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = SentenceEmbedder(Stub(), "stub")  # type: ignore[arg-type]
    monkeypatch.setattr(Stub, "encode", failing(error))
    with pytest.raises(ModelError, match="'stub'"):
        embedder.embed(["a"])
    judge = entailment()
    monkeypatch.setattr(type(judge._model), "forward", failing(error))
    with pytest.raises(ModelError, match="'Bert'"):
        judge.contradictions([("w1", "w2")])


@pytest.mark.parametrize("error", [FULL[0], LOST[0]], ids=["full", "lost"])
@pytest.mark.parametrize("step", ["weights", "device"])
def test_a_model_that_is_loaded_tells_it(
    step: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(holding, "_held", {})
    save_tiny(tmp_path / "tiny")
    spec = ModelSpec(name=str(tmp_path / "tiny"), dtype="float32")
    with monkeypatch.context() as patch:
        if step == "weights":
            from transformers import AutoModelForCausalLM

            patch.setattr(AutoModelForCausalLM, "from_pretrained", failing(error))
        else:
            patch.setattr(torch.nn.Module, "to", failing(error))
        with pytest.raises(ModelError) as told:
            load_transformer(spec, "cpu")
    assert str(spec.name) in str(told.value)
    assert ("MB of weights) does not fit the memory of cpu" in str(told.value)) == (
        error is FULL[0]
    )
    assert load_transformer(spec, "cpu").log_likelihood(PAIR).rows[0].sum_logprob is not None


def write(folder: Path, stages: str) -> Path:
    rows = [{"prompt": f"the cat {n}", "completion": f"a mat {n * n}"} for n in range(24)]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_tiny(folder / "tiny")
    (folder / "r.yaml").write_text(
        "name: r\ninputs: [{path: d.jsonl}]\n"
        f"models: {{tiny: {{name: '{folder / 'tiny'}', dtype: float32}}}}\nstages: [{stages}]\n"
    )
    return folder / "r.yaml"


def curate(recipe: Path, runs: str) -> int:
    holding._held.clear()
    where = ["--runs", str(recipe.parent / runs), "--shard-rows", "6", "--device", "cpu"]
    return exit_code("run", str(recipe), "--no-prefect", *where)


GRAPE = "{kind: grape, model: tiny, template: plain}"
S2L = (
    "{kind: s2l, model: tiny, budget: 8, clusters: 2, fewest_per_cluster: 1, "
    "training: {epochs: 1, batch_rows: 8, checkpoints: 3, learning_rate: 0.01}}"
)


@pytest.mark.parametrize(
    ("stages", "place", "name", "after", "told"),
    [
        (GRAPE, passes.Passes, "run", 2, "tiny' was run: CUDA error: unspecified launch failure"),
        (S2L, _Optimisation, "step", 1, "tiny' was trained: CUDA error: unspecified launch"),
    ],
    ids=["scoring", "training"],
)
def test_a_run_whose_device_is_lost_leaves_nothing_half_and_the_next_goes_on(
    stages: str,
    place: Any,
    name: str,
    after: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))
    recipe = write(tmp_path, stages)
    assert curate(recipe, "undisturbed") == 0
    working, calls = getattr(place, name), 0

    def lost(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise LOST[0]
        return working(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, lost)
        assert curate(recipe, "runs") == 1
    said = capsys.readouterr().err
    assert told in " ".join(said.split())
    assert "Traceback" not in said
    (version,) = (tmp_path / "runs" / "r").glob("v*")
    left = {path.name for path in version.rglob("*") if "00-ingest" not in path.parts}
    assert not left & {"manifest.json", "verdicts.parquet", "decisions.parquet", "report.json"}
    assert curate(recipe, "runs") == 0
    assert data_bytes(version) == data_bytes(tmp_path / "undisturbed" / "r" / "v0001")
