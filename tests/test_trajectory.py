"""Tests of loss trajectories: the same rows under several checkpoints, and what has no loss."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pools import Turns, asked, runtime_of, table_of
from tiny_models import tiny_model, tiny_tokenizer
from tolerances import nats

from siftline.contracts import progress
from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Usage
from siftline.models import loading
from siftline.models.engine.tokenisation import PairTokenizer
from siftline.models.likelihood import Pair, ResponseLikelihood
from siftline.models.loading import load_language_model, open_language_model
from siftline.models.store import pretrained
from siftline.models.training import checkpoints as checkpoints_module
from siftline.models.training.checkpoints import score_checkpoints
from siftline.models.training.proxy import Proxy, ProxyTraining
from siftline.scorers import trajectory
from siftline.scorers.trajectory import Loss, Trajectory

torch = pytest.importorskip("torch")

PAIRS = [Pair("Question: the cat?\nAnswer:", " sat"), Pair("a", " b cat"), Pair("a", " ")]


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[ModelSpec]:
    """Three moments of a training run that adds a little to every weight."""
    model = tiny_model("Llama")
    specs = []
    for step in range(3):
        for weight in model.parameters():
            weight.data.add_(0.01)
        folder = tmp_path / f"checkpoint-{step}"
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        specs.append(ModelSpec(name=str(folder), dtype="float32"))
    return specs


def test_each_checkpoint_scores_as_it_does_alone(
    checkpoints: list[ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    encode = PairTokenizer.encode

    def counted(self: PairTokenizer, *arguments: Any) -> Any:
        calls.append(1)
        return encode(self, *arguments)

    monkeypatch.setattr(PairTokenizer, "encode", counted)
    found = list(score_checkpoints(checkpoints, PAIRS, device="cpu", score_eos=True))
    assert len(calls) == 1
    for spec, likelihoods in zip(checkpoints, found, strict=True):
        alone = load_language_model(spec, "cpu").log_likelihood(PAIRS, score_eos=True)
        assert likelihoods == alone
        assert likelihoods.rows[2].status == "empty_response"
    assert len({each.rows[0].sum_logprob for each in found}) == 3


def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the models whose weights are read from now on."""
    seen: list[str] = []
    plain = pretrained.load_causal_model

    def counted(spec: ModelSpec, folder: Path, dtype: str) -> Any:
        seen.append(folder.name)
        return plain(spec, folder, dtype)

    monkeypatch.setattr(loading, "load_causal_model", counted)
    return seen


def numbers_of(checkpoints: list[ModelSpec]) -> list[Any]:
    return [each.rows for each in score_checkpoints(checkpoints, PAIRS, device="cpu")]


@pytest.mark.parametrize("room", [0, 10**9])
def test_weights_are_read_once_where_they_fit_and_scores_are_the_same(
    checkpoints: list[ModelSpec], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(checkpoints_module, "_KEPT_BYTES", room)
    read = loads(monkeypatch)
    first = numbers_of(checkpoints)
    assert numbers_of(checkpoints) == first
    assert numbers_of(checkpoints) == first
    # The first one is made into the model, and read for its weights when they are wanted again.
    names = [Path(each.name).name for each in checkpoints]
    assert read == [*names, *(names if not room else names[:1]), *([] if room else names)]
    alone = [open_language_model(each, "cpu").log_likelihood(PAIRS).rows for each in checkpoints]
    assert first == alone


def test_weights_that_are_replaced_are_read_again(checkpoints: list[ModelSpec]) -> None:
    before = numbers_of(checkpoints)
    model = tiny_model("Llama")
    model.save_pretrained(checkpoints[1].name)
    after = numbers_of(checkpoints)
    assert [after[0], after[2]] == [before[0], before[2]]
    assert after[1] == open_language_model(checkpoints[1], "cpu").log_likelihood(PAIRS).rows


def test_a_checkpoint_of_another_shape_is_a_model_of_its_own(checkpoints: list[ModelSpec]) -> None:
    tiny_model("Qwen2", num_hidden_layers=1).save_pretrained(checkpoints[1].name)
    found = numbers_of(checkpoints)
    for spec, rows in zip(checkpoints, found, strict=True):
        assert rows == open_language_model(spec, "cpu").log_likelihood(PAIRS).rows


def test_another_tokenizer_is_refused(checkpoints: list[ModelSpec]) -> None:
    tiny_tokenizer(bos=True).save_pretrained(checkpoints[1].name)
    with pytest.raises(ModelError, match="another tokenizer"):
        list(score_checkpoints(checkpoints, PAIRS, device="cpu"))
    with pytest.raises(ModelError, match="no weights here"):
        list(score_checkpoints([ModelSpec(name="builtin:toy")], PAIRS))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """What a proxy leaves: three checkpoints, the second of which is another model."""
    folder = tmp_path / "artifact"
    steps = [1, 20, 300]
    for step in steps:
        model = tiny_model("Llama")
        for weight in model.parameters():
            weight.data.add_(0.01 * len(str(step)))
        model.save_pretrained(folder / f"step-{step:07d}")
        tiny_tokenizer().save_pretrained(folder / f"step-{step:07d}")
    told = {"rows": 1, "steps": 300, "checkpoints": steps}
    (folder / "training.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def scored(artifact: Path, talks: dict[str, Turns], **training: Any) -> tuple[pa.Table, Usage]:
    scorer = Trajectory(
        model="m",
        proxy=Proxy(model="m", training=ProxyTraining.model_validate(training)),
        trained_on="rows",
    )
    found = scorer.score(table_of(talks), runtime_of(artifact, artifact=artifact))
    assert found.table["content_hash"].to_pylist() == [f"h-{name}" for name in talks]
    return found.table, found.usage


def surprises(folder: Path, text: str, answer: str, end: bool = True) -> list[float]:
    """Return the surprise of each token of an answer, and of its end, by a plain forward pass."""
    tokenizer = tiny_tokenizer()
    start = len(tokenizer(text)["input_ids"])
    ids = tokenizer(text + answer)["input_ids"] + [tokenizer.eos_token_id] * end
    model = type(tiny_model("Llama")).from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0]
    chances = torch.log_softmax(logits.double(), -1)
    return [-float(chances[place - 1][ids[place]]) for place in range(start, len(ids))]


def test_a_loss_is_the_mean_surprise_of_the_response_and_its_end(artifact: Path) -> None:
    questions = {"a": ("the cat?", "sat on"), "b": ("a", "the mat. a cat!"), "c": ("mat", "x")}
    table, usage = scored(artifact, {name: asked(*each) for name, each in questions.items()})
    assert table.schema.field("losses").type == pa.large_list(pa.float32())
    assert usage.model_calls >= 3
    for row, (question, answer) in zip(table.to_pylist(), questions.values(), strict=True):
        assert row["status"] == "ok"
        assert row["truncated"] is False
        for loss, step in zip(row["losses"], (1, 20, 300), strict=True):
            text = f"Question: {question}\nAnswer:"
            parts = surprises(artifact / f"step-{step:07d}", text, f" {answer}")
            assert row["tokens"] == len(parts)
            assert loss == pytest.approx(sum(parts) / len(parts), abs=nats())
        assert [row["first_loss"], row["last_loss"]] == [row["losses"][0], row["losses"][2]]
        assert len(set(row["losses"])) == 3


def test_the_turns_of_a_conversation_are_pooled(artifact: Path) -> None:
    first = asked("the cat?", "sat on")
    second = asked("a", "the mat. a cat!")
    table, _ = scored(artifact, {"talk": [*first, *second]})
    (row,) = table.to_pylist()
    opening = "Question: the cat?\nAnswer:"
    following = f"{opening} sat on\nQuestion: a\nAnswer:"
    for loss, step in zip(row["losses"], (1, 20, 300), strict=True):
        folder = artifact / f"step-{step:07d}"
        parts = surprises(folder, opening, " sat on")
        parts += surprises(folder, following, " the mat. a cat!")
        assert row["tokens"] == len(parts)
        assert loss == pytest.approx(sum(parts) / len(parts), abs=nats())


def test_rows_without_a_loss_have_a_status_and_no_number(artifact: Path) -> None:
    odd = {
        "good": asked("the cat?", "sat on"),
        "empty": asked("the cat?", " "),
        "long": asked("the cat " * 99, "sat"),
        "cut": asked("the cat", "mat. " * 99),
    }
    table, _ = scored(artifact, odd, max_tokens=40)
    good, empty, long, cut = table.to_pylist()
    assert [row["status"] for row in (good, empty, long, cut)] == [
        "ok",
        "empty_response",
        "prompt_too_long",
        "ok",
    ]
    for row in (empty, long):
        numbers = ("tokens", "response_tokens", "truncated", "first_loss", "last_loss")
        assert {row[name] for name in numbers} == {None}
        assert row["losses"] is None
    text = "Question: the cat\nAnswer:"
    parts = surprises(artifact / "step-0000001", text, " " + "mat. " * 99, end=False)
    prompt = len(tiny_tokenizer()(text)["input_ids"])
    assert cut["truncated"] is True
    assert cut["tokens"] == 40 - prompt
    assert cut["response_tokens"] == len(parts)
    kept = parts[: 40 - prompt]
    assert cut["first_loss"] == pytest.approx(sum(kept) / len(kept), abs=nats())
    alone, _ = scored(artifact, {"empty": odd["empty"]})
    assert alone["status"].to_pylist() == ["empty_response"]


def test_a_checkpoint_that_gives_no_number_spoils_the_row(artifact: Path) -> None:
    model = tiny_model("Llama")
    model.model.embed_tokens.weight.data[tiny_tokenizer()("x")["input_ids"]] = math.nan
    model.save_pretrained(artifact / "step-0000020")
    table, _ = scored(artifact, {"x": asked("x", "sat"), "good": asked("the cat?", "sat on")})
    bad, good = table.to_pylist()
    assert bad["status"] == "nan"
    assert bad["losses"] is None
    assert bad["last_loss"] is None
    assert good["status"] == "ok"


def likelihood(status: str, total: float | None = None) -> ResponseLikelihood:
    tokens = None if total is None else 4
    return ResponseLikelihood(status, total, tokens, 1, 4, False, True)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([likelihood("ok", -2.0), likelihood("ok", -6.0)], Loss("ok", 1.0, 8, 8, False)),
        (["template_mismatch", likelihood("ok", -6.0)], Loss("ok", 1.5, 4, 4, False)),
        ([likelihood("boundary"), likelihood("ok", -6.0)], Loss("ok", 1.5, 4, 8, False)),
        # An earlier turn without a number at one checkpoint would else be missing there alone.
        ([likelihood("nan"), likelihood("ok", -6.0)], "nan"),
        # What lies behind the window is cut off.
        ([likelihood("ok", -2.0), likelihood("prompt_too_long")], Loss("ok", 0.5, 4, 8, True)),
        ([likelihood("prompt_too_long")], "prompt_too_long"),
        (["template_mismatch", likelihood("prompt_too_long")], "prompt_too_long"),
        ([likelihood("ok", -2.0), "empty_response"], "empty_response"),
    ],
)
def test_which_turns_are_pooled(turns: Sequence[Any], expected: Loss | str) -> None:
    found = trajectory._pooled(turns)
    assert found == expected if isinstance(expected, Loss) else found.status == expected


def test_a_missing_checkpoint_is_named(artifact: Path) -> None:
    (artifact / "step-0000020" / "config.json").unlink()
    with pytest.raises(ModelError, match="step-0000020 are missing"):
        scored(artifact, {"a": asked("the cat?", "sat on")})


def test_progress_reaches_every_row_once(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    monkeypatch.setattr(progress, "advance", lambda count, tokens=0: rows.append(count))
    scored(artifact, {f"r{n}": asked("the cat?", "sat on " + "x" * n) for n in range(4)})
    assert sum(rows) == 4
