"""Paraphrases of benchmarks: found in other words, told apart by numbers, and never a failure."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_decontamination import SHEEP, page_of, rows_of, turns, write

from siftline.contracts.errors import RecipeError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime, Usage
from siftline.models.embedding import Embeddings
from siftline.models.toy import ToyEmbedder
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import run
from siftline.scorers.benchmark_paraphrase import BenchmarkParaphrase
from siftline.scorers.leaks import question_vectors
from siftline.scorers.leaks.benchmark_files import Item
from siftline.scorers.leaks.question_vectors import QuestionVectors

LIGHT = "Why does the sky look blue on a clear day and red when the sun goes down?"
ITEMS: list[dict[str, Any]] = [
    {"question": SHEEP},
    {"question": LIGHT},
    {"question": "What is the capital of France?"},
]
# The same words in another order share no 8-gram; the toy embedder counts trigrams of letters.
SHEEP_AGAIN = (
    "If 2 of them ran away on the road, how many sheep does she have now? A farmer bought 7 more "
    "at the market and had 12 sheep."
)
LIGHT_AGAIN = "When the sun goes down and on a clear day, why does the sky look red and blue?"
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
ROWS: dict[str, tuple[list[dict[str, Any]], str, str | None]] = {
    "with numbers": (turns(SHEEP_AGAIN), "contaminated_paraphrase", "b#1"),
    "without numbers": (turns(LIGHT_AGAIN), "contaminated_paraphrase", "b#2"),
    "as a last question": (
        [*turns("Hello there.", "Hello."), *turns(LIGHT_AGAIN)],
        "contaminated_paraphrase",
        "b#2",
    ),
    "numbers as words": (
        turns(SHEEP_AGAIN.replace("had 12", "had twelve")),
        "contaminated_paraphrase",
        "b#1",
    ),
    "other numbers": (
        turns(SHEEP_AGAIN.replace("12", "31").replace("7", "9").replace("2 of", "4 of")),
        "kept",
        None,
    ),
    "to the letter": (turns(SHEEP), "contaminated_exact", "b#1"),
    "a template": (turns(SHEEP.replace("12", "31").replace("7", "9")), "same_template", "b#1"),
    "a short question": (turns("Of France, what is the capital?"), "kept", None),
    "something else": (turns("Write a haiku."), "kept", None),
    "in the response": (turns("Ask me something.", LIGHT_AGAIN), "kept", None),
    "with an image": (turns([{"type": "text", "text": LIGHT_AGAIN}, IMAGE]), "kept", None),  # type: ignore[arg-type]
}


def recipe(**stage: Any) -> Any:
    return parse_recipe(
        {
            "name": "r",
            "inputs": [{"path": "data.jsonl", "source": "s"}],
            "models": {"embedder": {"name": "builtin:toy"}},
            "stages": [
                {
                    "kind": "decontamination",
                    "benchmarks": [{"name": "b", "path": "b.jsonl"}],
                    "embedder": "embedder",
                    **stage,
                }
            ],
        },
        "recipe",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, ITEMS)
    rows = [{"id": name, "messages": talk} for name, (talk, _, _) in ROWS.items()]
    write(tmp_path, rows, "data.jsonl")
    return tmp_path


def verdicts(folder: Path, **stage: Any) -> dict[str, dict[str, Any]]:
    summary = run(recipe(**stage), folder, folder / "runs")
    record = RunRecord(folder / "runs" / "r" / summary.version)
    return {row["id"]: row for row in record.stages[0].verdicts.to_pylist()}


def test_paraphrases_are_found_and_reported(folder: Path) -> None:
    found = verdicts(folder)
    assert {name: row["reason"] for name, row in found.items()} == {
        name: reason for name, (_, reason, _) in ROWS.items()
    }
    assert {name: row["match"] for name, row in found.items()} == {
        name: match for name, (_, _, match) in ROWS.items()
    }
    for row in found.values():
        if row["reason"] == "contaminated_paraphrase":
            assert row["keep"]
            assert 0.75 <= row["similarity"] <= 1


def test_paraphrases_are_dropped_where_the_recipe_says_so(folder: Path) -> None:
    found = verdicts(folder, paraphrase="drop")
    for name, (_, reason, _) in ROWS.items():
        assert found[name]["reason"] == reason
        assert found[name]["keep"] == (reason in ("kept", "same_template")), name


def test_without_an_embedder_nothing_is_looked_for(folder: Path) -> None:
    found = verdicts(folder, embedder=None)
    assert {row["reason"] for row in found.values()} == {
        "kept",
        "contaminated_exact",
        "same_template",
    }
    with pytest.raises(RecipeError, match="got 'drop' without an embedder"):
        recipe(embedder=None, paraphrase="drop")


def test_what_cannot_be_embedded_is_counted(folder: Path) -> None:
    summary = run(recipe(), folder, folder / "runs")
    figures = summary.stages[0].diagnosis
    assert figures["rows_without_a_vector"] == {"not_text_only": 1}
    assert figures["rows_by_tier"]["paraphrase"] == 4
    by_cosine = list(figures["rows_by_cosine_at_least"].values())
    assert by_cosine == sorted(by_cosine, reverse=True)
    assert any("4 rows ask, by their embeddings," in each for each in summary.stages[0].warnings)


def test_a_row_without_a_question_has_a_status(folder: Path) -> None:
    talks = {"empty": turns(" "), "nobody": turns(LIGHT)[1:], "asks": turns(LIGHT)}
    scorer = BenchmarkParaphrase(benchmarks=[{"name": "b", "path": "b.jsonl"}], model="m")
    runtime = Runtime(models={"m": ModelSpec(name="builtin:toy")}, base=folder)
    found = scorer.score(rows_of(talks), runtime).table
    assert found["status"].to_pylist() == ["no_question", "no_question", "ok"]
    assert found["item"].to_pylist() == [None, None, "b#2"]
    assert found["cosine"].to_pylist() == [None, None, 1.0]


def test_a_changed_cosine_is_decided_without_embedding_again(folder: Path) -> None:
    first = run(recipe(), folder, folder / "runs")
    again = run(recipe(min_cosine=1.0), folder, folder / "runs")
    assert again.version != first.version
    assert again.stages[0].scored == 0
    assert again.stages[0].diagnosis["rows_by_tier"]["paraphrase"] == 0


def test_a_changed_benchmark_is_embedded_again(folder: Path) -> None:
    assert verdicts(folder)["without numbers"]["match"] == "b#2"
    write(folder, ITEMS[1:])
    assert verdicts(folder)["without numbers"]["match"] == "b#1"


def test_questions_are_embedded_once_for_all_shards(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    embed = ToyEmbedder.embed

    def counted(self: ToyEmbedder, texts: Sequence[str], **options: Any) -> Embeddings:
        seen.append(list(texts))
        return embed(self, texts, **options)

    monkeypatch.setattr(ToyEmbedder, "embed", counted)
    write(folder, [*ITEMS, {"question": f"{LIGHT} Say so briefly."}])
    run(recipe(), folder, folder / "runs", Runtime(shard_rows=3))
    assert sum(f"{LIGHT} Say so briefly." in texts for texts in seen) == 1
    assert len(seen) > 3


def test_an_embedder_on_a_server_is_refused() -> None:
    data = recipe().model_dump(mode="json", exclude_unset=True)
    data["models"]["embedder"] = {"name": "some", "server": {"url": "http://localhost:1/v1"}}
    with pytest.raises(RecipeError, match="'embedder' is on a server"):
        parse_recipe(data, "recipe")


def test_the_report_shows_both_texts(folder: Path) -> None:
    hostile = f"{LIGHT_AGAIN} <script>alert(1)</script>"
    write(folder, [{"messages": turns(hostile)}], "data.jsonl")
    run(recipe(min_cosine=0.6), folder, folder / "runs")
    page = page_of(folder)
    assert "contaminated_paraphrase, kept, cosine" in page
    assert "<mark>" in page
    assert "<script>" not in page


class Given:
    """An embedder whose vectors are given."""

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors

    def embed(self, texts: Sequence[str], **options: Any) -> Embeddings:
        return Embeddings(self.vectors[: len(texts)], Usage())


def test_every_question_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, and with the first of equals, as all at once."""
    draw = np.random.default_rng(3)
    vectors = draw.normal(size=(90, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[40] = vectors[11]
    # Numbers as words in front, so that each question is long enough and has none in digits.
    items = [Item(f"b#{n}", "this one is a question of eight words") for n in range(50)]
    embedder: Any = Given(vectors[:50])
    questions = QuestionVectors(items, 8, embedder, None)
    rows = np.concatenate([vectors[50:], vectors[11:12]])
    monkeypatch.setattr(question_vectors, "_BLOCK", 150)  # three rows
    found = questions.nearest(["text"] * len(rows), rows)
    cosines = np.round(rows @ vectors[:50].T, 4)
    for near, cosine in zip(found, cosines, strict=True):
        best = cosine.max()
        assert (near is None) == (best < np.float32(0.6))
        if near:
            assert near.item.name == f"b#{cosine.argmax()}"
            assert near.cosine == pytest.approx(best, abs=1e-4)
    last = found[-1]
    assert last is not None
    assert last.item.name == "b#11"
    assert last.cosine == 1


def test_decontamination_without_an_embedder_needs_no_torch(folder: Path) -> None:
    text = json.dumps(recipe(embedder=None).model_dump(mode="json", exclude={"models"}))
    code = (
        "import json, sys; from pathlib import Path\n"
        "from siftline.pipelines.recipe import parse_recipe\n"
        "from siftline.pipelines.run import run\n"
        "run(parse_recipe(json.loads(sys.argv[1]), 'recipe'), Path('.'), Path('runs'))\n"
        "assert not {'torch', 'sentence_transformers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, text], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
