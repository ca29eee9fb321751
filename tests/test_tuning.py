"""Tests of fine-tuning on a tiny model: it learns, it repeats itself, and folds keep rows apart."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tiny_models import tiny_model, tiny_tokenizer

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.parquet import write_table
from siftline.contracts.runtime import Runtime, Usage
from siftline.models.likelihood import Pair
from siftline.models.loading import load_tuned
from siftline.models.training import tuning as tuning_module
from siftline.models.training.tuning import Tuning

pytest.importorskip("peft")

QUESTIONS = [f"how {'very ' * n}cat" for n in range(6)]
ANSWER = "the cat sat on the mat."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model("Llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def corpus_in(folder: Path, order: list[int]) -> Corpus:
    rows = [
        {
            "id": f"r{n}",
            "content_hash": f"h{n}",
            "prompt_id": f"p{n}",
            "messages": [
                {"role": "user", "content": QUESTIONS[n]},
                {"role": "assistant", "content": ANSWER},
            ],
            "source": "s",
            "metadata": "{}",
        }
        for n in order
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), folder / "a.parquet")
    return Corpus.open(folder)


def runtime(base: Path, **model: Any) -> Runtime:
    spec = ModelSpec(name=str(base), dtype="float32", **model)
    return Runtime(models={"m": spec}, device="cpu")


def tuning(**fields: Any) -> Tuning:
    rate = {"lora": 0.02, "full": 0.003}[fields.get("weights", "lora")]
    return Tuning(
        model="m", template="plain", learning_rate=rate, epochs=8, batch_rows=2, rank=4, **fields
    )


def surprise(base: Path, folder: Path | None) -> float:
    """Return the negative mean log-likelihood of the answer to a question."""
    from siftline.models.loading import open_language_model

    spec = ModelSpec(name=str(base), dtype="float32")
    model = load_tuned(spec, folder, "cpu") if folder else open_language_model(spec, "cpu")
    (row,) = model.log_likelihood([Pair(f"Question: {QUESTIONS[0]}\nAnswer:", f" {ANSWER}")]).rows
    assert row.sum_logprob is not None
    assert row.scored_tokens
    return -row.sum_logprob / row.scored_tokens


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_the_model_learns_what_it_is_trained_on(base: Path, tmp_path: Path, weights: Any) -> None:
    corpus = corpus_in(tmp_path / "data", [0, 1, 2, 3])
    usage = tuning(folds=1, weights=weights).fit(corpus, runtime(base), tmp_path / "out")
    assert usage.model_calls >= 8 * 2
    adapter = (tmp_path / "out" / "fold-0" / "adapter_config.json").exists()
    assert adapter == (weights == "lora")
    assert surprise(base, tmp_path / "out" / "fold-0") < surprise(base, None) - 1


@pytest.mark.parametrize(
    ("weights", "dtype", "expected"),
    [
        ("lora", "float32", "float32"),
        ("lora", "bfloat16", "bfloat16"),
        ("lora", "float16", "float32"),
        ("full", "bfloat16", "float32"),
        ("full", "float16", "float32"),
    ],
)
def test_the_number_type_of_what_is_trained(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: Any,
    dtype: Any,
    expected: str,
) -> None:
    seen: list[tuple[str, bool]] = []

    def train(model: Any, rows: Any, settings: Any, **rest: Any) -> Usage:
        kinds = {str(each.dtype) for name, each in model.named_parameters() if "lora" not in name}
        seen.extend((kind.removeprefix("torch."), settings.bfloat16) for kind in kinds)
        return Usage()

    monkeypatch.setattr(tuning_module, "train", train)
    spec = ModelSpec(name=str(base), dtype=dtype)
    tuning(folds=1, weights=weights).fit(
        corpus_in(tmp_path / "data", [0]),
        Runtime(models={"m": spec}, device="cpu"),
        tmp_path / "out",
    )
    assert seen == [(expected, weights == "full" and dtype == "bfloat16")]


def test_the_order_of_the_rows_does_not_matter(base: Path, tmp_path: Path) -> None:
    method = tuning(folds=1)
    for name, order in (("one", [0, 1, 2, 3]), ("two", [3, 1, 0, 2])):
        method.fit(corpus_in(tmp_path / f"{name}-data", order), runtime(base), tmp_path / name)
    one, two = (
        (tmp_path / name / "fold-0" / "adapter_model.safetensors").read_bytes()
        for name in ("one", "two")
    )
    assert one == two


def test_each_fold_is_trained_without_its_own_prompts(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[tuple[int, ...]]] = []
    train = Tuning._train

    def spy(self: Tuning, spec: Any, rows: Any, *rest: Any) -> Any:
        seen.append({row.ids for row in rows})
        return train(self, spec, rows, *rest)

    monkeypatch.setattr(Tuning, "_train", spy)
    method = tuning(folds=2)
    folds = [method.fold_of(f"p{n}") for n in range(6)]
    assert set(folds) == {0, 1}
    corpus = corpus_in(tmp_path / "data", list(range(6)))
    method.fit(corpus, runtime(base), tmp_path / "out")
    assert [len(each) for each in seen] == [folds.count(1), folds.count(0)]
    assert not seen[0] & seen[1]


def test_a_fold_learns_from_so_many_rows_at_most(base: Path, tmp_path: Path) -> None:
    few = tuning(folds=1, max_rows=2)
    few.fit(corpus_in(tmp_path / "data", [3, 2, 1, 0]), runtime(base), tmp_path / "few")
    tuning(folds=1).fit(corpus_in(tmp_path / "two", [0, 1]), runtime(base), tmp_path / "all")
    ours, theirs = (
        (tmp_path / name / "fold-0" / "adapter_model.safetensors").read_bytes()
        for name in ("few", "all")
    )
    assert ours == theirs


def test_a_fold_without_rows_has_no_model(base: Path, tmp_path: Path) -> None:
    method = tuning(folds=2)
    corpus = corpus_in(tmp_path / "data", [0])
    method.fit(corpus, runtime(base), tmp_path / "out")
    own = method.fold_of("p0")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"fold-{1 - own}"]


def test_rows_that_cannot_be_learned_from_are_an_error(base: Path, tmp_path: Path) -> None:
    method = tuning(folds=1).model_copy(update={"max_tokens": 2})
    with pytest.raises(ModelError, match="prompts of less than 2 tokens"):
        method.fit(corpus_in(tmp_path / "data", [0]), runtime(base), tmp_path / "out")


def test_finished_folds_are_not_trained_again(base: Path, tmp_path: Path) -> None:
    method = tuning(folds=2)
    corpus = corpus_in(tmp_path / "data", list(range(6)))
    method.fit(corpus, runtime(base), tmp_path / "out")
    before = (tmp_path / "out" / "fold-0" / "adapter_model.safetensors").read_bytes()
    (tmp_path / "out" / "fold-1" / "adapter_model.safetensors").unlink()
    (tmp_path / "out" / "fold-1").rename(tmp_path / "gone")
    usage = method.fit(corpus, runtime(base), tmp_path / "out")
    assert usage.tokens > 0
    assert (tmp_path / "out" / "fold-0" / "adapter_model.safetensors").read_bytes() == before
    assert (tmp_path / "out" / "fold-1" / "adapter_model.safetensors").exists()


def test_a_damaged_fold_is_trained_again(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    method = tuning(folds=1)
    corpus = corpus_in(tmp_path / "data", [0, 1])
    method.fit(corpus, runtime(base), tmp_path / "out")
    path = tmp_path / "out" / "fold-0" / "adapter_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    method.fit(corpus, runtime(base), tmp_path / "out")
    assert path.read_bytes() == whole
    assert "It is trained again" in caplog.text


def test_a_model_without_weights_here_is_refused(tmp_path: Path) -> None:
    toy = Runtime(models={"m": ModelSpec(name="builtin:toy")})
    with pytest.raises(ModelError, match="no weights here"):
        tuning().fit(corpus_in(tmp_path / "data", [0]), toy, tmp_path / "out")
