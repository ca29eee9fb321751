r"""Tell paraphrases of benchmark questions by cosines: what is found, and what wrongly.

    SIFTLINE_DATA=folder python benchmarks/paraphrases.py --out benchmarks/results/paraphrases.json

Of 30 questions in paraphrases.json, each with a paraphrase and with another question on the same
topic: which of both are found, from which cosine on? And how many rows of public data are found for
a benchmark, with the rule on numbers and without it, and for a control of recombined questions?
Results hold figures alone, no text of the data.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from decontamination import GENERAL, POOL, TEST, TRAIN, lines
from ingest import processor

from siftline.contracts.examples import normalise
from siftline.contracts.model_spec import ModelSpec
from siftline.models.embedding import Embedder
from siftline.models.loading import load_embedder
from siftline.scorers.leaks.benchmark_files import Item
from siftline.scorers.leaks.question_vectors import Nearest, QuestionVectors

MODEL = "builtin:minilm"
COSINES = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
PIECES, APART = 5, 7


def asked(row: dict[str, Any]) -> str:
    """Return what a row of these data asks."""
    if "question" in row:
        return normalise(row["question"])
    return normalise("\n\n".join(filter(None, [row["instruction"], row.get("input")])))


def recombined(questions: Sequence[str]) -> list[str]:
    """Return as many questions, put together from fifths of those of a similar length."""
    order = sorted({question: None for question in questions}, key=lambda text: len(text.split()))
    made = []
    for place in range(len(order)):
        words: list[str] = []
        for piece in range(PIECES):
            of = order[(place + APART * piece) % len(order)].split()
            words += of[len(of) * piece // PIECES : len(of) * (piece + 1) // PIECES]
        made.append(" ".join(words))
    return made


def items_of(questions: Sequence[str]) -> list[Item]:
    """Return questions as a benchmark."""
    return [Item(f"b#{number}", text) for number, text in enumerate(questions, start=1)]


def from_each(cosines: Sequence[float]) -> dict[str, int]:
    """Return how many cosines are at least each of some."""
    return {f"{least:.2f}": sum(cosine >= least for cosine in cosines) for least in COSINES}


def own(embedder: Embedder, path: Path) -> dict[str, Any]:
    """Return how many paraphrases, and other questions of the topic, are found."""
    held = lines(path)
    questions = [row["question"] for row in held]
    vectors = QuestionVectors(items_of(questions), 8, embedder, None)
    found: dict[str, Any] = {"questions": len(held)}
    for name in ("paraphrase", "other"):
        texts = [row[name] for row in held]
        near = vectors.nearest(texts, embedder.embed(texts).vectors)
        found[f"found of each one's {name}"] = from_each(measured(near))
        if name == "paraphrase":
            wrong = [
                each.item.name
                for number, each in enumerate(near, start=1)
                if each is not None and each.item.name != f"b#{number}"
            ]
            found["paraphrases found as another item"] = len(wrong)
    return found


def measured(near: Sequence[Nearest | None]) -> list[float]:
    """Return the cosines of what is found."""
    return [each.cosine for each in near if each is not None]


def public(
    embedder: Embedder, rows: Sequence[str], *benchmarks: tuple[str, Sequence[str]]
) -> dict[str, Any]:
    """Return how many rows are found for benchmarks."""
    started = time.process_time()
    vectors = embedder.embed(rows).vectors
    taken = time.process_time() - started
    found = {name: against(embedder, rows, vectors, texts) for name, texts in benchmarks}
    return {"milliseconds a row to embed": round(1000 * taken / len(rows), 1), **found}


def against(
    embedder: Embedder, rows: Sequence[str], embedded: Any, questions: Sequence[str]
) -> dict[str, Any]:
    """Return how many rows are found for a benchmark, and for its control."""
    made = {
        name: QuestionVectors(items_of(texts), 8, embedder, None)
        for name, texts in {"benchmark": questions, "control": recombined(questions)}.items()
    }
    started = time.process_time()
    near = {name: vectors.nearest(rows, embedded) for name, vectors in made.items()}
    nearest_seconds = time.process_time() - started
    compared = embedder.embed([item.question for item in made["benchmark"].items]).vectors
    most = (embedded @ compared.T).max(axis=1)
    return {
        "rows": len(rows),
        "questions compared": len(compared),
        "rows found": from_each(measured(near["benchmark"])),
        "rows found, whatever their numbers": from_each(np.round(most, 4).tolist()),
        "rows found for the control": from_each(measured(near["control"])),
        "milliseconds a row to compare, with the control": round(
            1000 * nearest_seconds / len(rows), 2
        ),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if "SIFTLINE_DATA" not in os.environ:
        sys.exit(f"SIFTLINE_DATA is not set; expected the folder of {TRAIN}.")
    data = Path(os.environ["SIFTLINE_DATA"]).resolve()
    embedder = load_embedder(ModelSpec(name=MODEL), "cpu")
    texts = {name: [asked(row) for row in lines(data / name)] for name in (TEST, TRAIN, POOL[0])}
    general = list(dict.fromkeys(asked(row) for row in lines(data / GENERAL)))
    results: dict[str, Any] = {
        "command": "python benchmarks/paraphrases.py",
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "model": MODEL,
        "versions": {name: version(name) for name in ("siftline", "sentence-transformers")},
        "questions of our own": own(embedder, Path(__file__).with_name("paraphrases.json")),
        "GSM8K train": public(embedder, texts[TRAIN], ("GSM8K test", texts[TEST])),
        "Alpaca": public(
            embedder, texts[POOL[0]], ("AlpacaEval", general), ("GSM8K test", texts[TEST])
        ),
    }
    text = json.dumps(results, indent=1)
    sys.stdout.write(text + "\n")
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
