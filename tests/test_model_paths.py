"""What a run says of the path that a model takes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_likelihood import PAIRS
from tiny_models import engine, tiny_model, tiny_tokenizer

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.models.likelihood import Pair
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.reports.write import write_reports


class Hearing(progress.Silent):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def hearing() -> Iterator[Hearing]:
    listener = Hearing()
    progress.listen(listener)
    yield listener
    progress.listen(progress.Silent())


def test_a_run_is_told_once_which_path_a_model_takes(hearing: Hearing) -> None:
    packed, padded = engine(), engine("Gemma2")
    with progress.hearing() as heard:
        packed.log_likelihood(PAIRS)
        packed.log_likelihood(PAIRS)
        padded.log_likelihood(PAIRS)
    assert heard == hearing.lines
    assert heard[0] == "Llama, likelihood on cpu in float32: packed, blockwise"
    assert heard[1].startswith("Gemma2, likelihood on cpu in float32: padded: NotImplementedError")
    assert len(heard) == 2
    with progress.hearing() as again:
        packed.log_likelihood(PAIRS)
    assert again == heard[:1]  # for the record of what comes later


def test_rows_beyond_a_window_say_why_they_are_padded() -> None:
    scorer = engine("Mistral", sliding_window=32)
    long = Pair("the cat sat on the mat " * 8, " a cat on the mat")
    with progress.hearing() as heard:
        scorer.log_likelihood([*PAIRS, long])
    assert [line.partition(": ")[2] for line in heard] == [
        "packed, blockwise",
        "padded: rows of more than 32 tokens, its window of attention",
    ]


def test_why_layers_are_not_compiled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = engine()
    scorer.network.compile_from(1.0)
    monkeypatch.setattr(scorer.network, "_canary", lambda compiled: "no compiler")
    with progress.hearing() as heard:
        scorer.log_likelihood(PAIRS)
    assert heard[0].endswith("packed, blockwise, not compiled: no compiler")


def test_the_record_of_a_run_has_the_paths_of_every_process(
    tmp_path: Path, hearing: Hearing
) -> None:
    model = tmp_path / "<b>model"
    tiny_model("Llama").save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    rows = "".join(f'{{"prompt": "the cat {n}", "completion": "sat"}}\n' for n in range(6))
    (tmp_path / "data.jsonl").write_text(rows, encoding="utf-8")
    recipe = parse_recipe(
        {
            "name": "told",
            "inputs": [{"path": "data.jsonl", "source": "made"}],
            "models": {"target": {"name": str(model)}},
            "stages": [{"kind": "grape", "model": "target", "template": "plain"}],
        },
        "r",
    )
    done = run(recipe, tmp_path, tmp_path / "runs", Runtime(shard_rows=3, device="cpu,cpu"))
    (line,) = done.stages[0].models
    assert line == f"{model}, likelihood on cpu in {dtype_of(line)}: packed, blockwise"
    assert hearing.lines == [line]
    write_reports(done.folder)
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert "packed, blockwise" in page
    assert "<b>model" not in page
    report = json.loads((done.folder / "report.json").read_text(encoding="utf-8"))
    assert report["stages"][0]["models"] == [line]


def dtype_of(line: str) -> str:
    """That which suits this machine."""
    return line.partition(" in ")[2].partition(":")[0]
