r"""Decontaminate public rows, and rows with planted leaks: what is found, and what is chance.

    SIFTLINE_DATA=folder python benchmarks/decontamination.py \
        --out benchmarks/results/decontamination.json

Five questions. What of GSM8K's train questions is found in 660 of its test questions? How many rows
of a clean pool (Alpaca, Dolly, GPTeacher) are found for the same benchmark, and for the short and
general instructions of AlpacaEval? Of test questions that are planted in rows of Alpaca with an
edit, which share is found, and as what? What if the benchmark is the other half of the data, so
that common language is at its worst? Results hold figures alone, no text of the data.
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ingest import processor

from siftline.pipelines.manifest import Summary
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import run

TEST, TRAIN = "gsm8k_model_solutions.jsonl", "gsm8k_train.jsonl"
GENERAL = "alpaca_eval_responses.jsonl"
POOL = (
    "alpaca_random_9k.json",
    "dolly_3k.json",
    "gpteacher_codegen.json",
    "gpteacher_roleplay.json",
)
SHARES = (0.3, 0.5, 0.8)
SYNONYMS = {"how": "tell me how", "many": "numerous", "much": "large", "each": "every"}

Edit = Callable[[str, random.Random], str]


def punctuation(text: str, draw: random.Random) -> str:
    """Take signs away but those inside of numbers, and put others at random places."""
    bare = re.sub(r"(?<!\d)[^\w\s]|[^\w\s](?!\d)", " ", text)
    return "".join(f"{word}{draw.choice([' ', ' - ', '; '])}" for word in bare.split())


def numbers(text: str, draw: random.Random) -> str:
    """Give every number in digits another value."""
    return re.sub(
        r"\d+(?:[.,]\d+)*", lambda found: str(int(found[0][0]) + draw.randrange(11, 99)), text
    )


def one_word(text: str, draw: random.Random) -> str:
    """Leave one word out."""
    words = text.split()
    place = draw.randrange(len(words))
    return " ".join([*words[:place], *words[place + 1 :]])


EDITS: dict[str, Edit] = {
    "to the letter": lambda text, _: text,
    "case": lambda text, _: text.upper(),
    "white space": lambda text, draw: "".join(
        f"{w}{draw.choice([' ', '  ', chr(10)])}" for w in text.split()
    ),
    "punctuation": punctuation,
    "inside a longer text": lambda text, _: (
        f"Consider this carefully.\n\nQ: {text}\n\nThink step by step."
    ),
    "one word left out": one_word,
    "first half": lambda text, _: " ".join(text.split()[: len(text.split()) // 2]),
    "other numbers": numbers,
}


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of JSON lines or of a JSON array."""
    text = path.read_text(encoding="utf-8")
    return (
        json.loads(text)
        if text.startswith("[")
        else [json.loads(each) for each in text.splitlines()]
    )


def decontaminated(
    folder: Path, inputs: list[Path], benchmark: dict[str, Any], **fields: Any
) -> Summary:
    """Run the method over files, and return what the run says."""
    recipe = {
        "name": "decontamination",
        "inputs": [{"path": str(path)} for path in inputs],
        "stages": [{"kind": "decontamination", "benchmarks": [benchmark], **fields}],
    }
    return run(parse_recipe(recipe, "recipe"), folder, folder / "runs")


def by_share(folder: Path, inputs: list[Path], benchmark: dict[str, Any]) -> dict[str, Any]:
    """Return what is found at several shares, with and without the rule on common n-grams."""
    found: dict[str, Any] = {}
    for most in (10, None):
        for share in SHARES:
            stage = decontaminated(
                folder, inputs, benchmark, min_share=share, max_common=most
            ).stages[0]
            name = f"share {share}" + ("" if most else ", every n-gram counts")
            found[name] = {
                "rows": stage.rows,
                **stage.diagnosis["rows_by_tier"],
                "control": stage.diagnosis["control"],
            }
    return found


def planted(folder: Path, data: Path, benchmark: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return, by edit, the share of planted questions that is found, by its reason."""
    questions = [row["question"] for row in lines(data / TEST)]
    hosts = lines(data / POOL[0])
    found = {}
    for edit, change in EDITS.items():
        draw = random.Random(7)
        rows = [
            {
                "id": f"{number}",
                "instruction": change(text, draw),
                "output": hosts[number]["output"],
            }
            for number, text in enumerate(questions)
        ]
        hidden = [
            {
                "id": f"h{number}",
                "instruction": hosts[number]["instruction"],
                "output": change(text, draw),
            }
            for number, text in enumerate(questions)
        ]
        path = folder / "planted.jsonl"
        path.write_text(
            "".join(json.dumps(row) + "\n" for row in [*rows, *hidden]), encoding="utf-8"
        )
        summary = decontaminated(folder, [path, data / POOL[0]], benchmark)
        record = RunRecord(folder / "runs" / "decontamination" / summary.version)
        verdicts = record.stages[0].verdicts.to_pylist()
        of_planted = [row for row in verdicts if row["id"].removeprefix("h").isdigit()]
        right = [
            row for row in of_planted if row["match"] == f"b#{int(row['id'].removeprefix('h')) + 1}"
        ]
        reasons = Counter(row["reason"] for row in of_planted)
        count = len(of_planted)
        found[edit] = {
            "planted": count,
            **{reason: round(number / count, 4) for reason, number in sorted(reasons.items())},
            "as the right item": round(len(right) / count, 4),
            "rows of the pool found": sum(row["match"] is not None for row in verdicts)
            - sum(row["match"] is not None for row in of_planted),
        }
    return found


def choices(folder: Path, data: Path) -> dict[str, float]:
    """Return the share of short questions with options that is found with these in any order."""
    draw = random.Random(9)
    places = [row["question"].split()[:4] for row in lines(data / TEST)]
    items = [
        {
            "question": f"Where is {words[0]} {number}?",
            "options": [f"{' '.join(words)} {n}" for n in range(4)],
        }
        for number, words in enumerate(places)
    ]
    (folder / "options.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in items), encoding="utf-8"
    )
    rows = []
    for number, item in enumerate(items):
        listed = draw.sample(list(item["options"]), 4 if number % 2 else 3)
        prompt = "\n".join(
            [str(item["question"]), *(f"({n}) {each}" for n, each in enumerate(listed))]
        )
        rows.append({"id": f"{number}", "prompt": prompt, "completion": "(1)"})
    path = folder / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    summary = decontaminated(folder, [path], {"name": "b", "path": str(folder / "options.jsonl")})
    record = RunRecord(folder / "runs" / "decontamination" / summary.version)
    reasons = {row["id"]: row["reason"] for row in record.stages[0].verdicts.to_pylist()}
    whole = [reasons[str(n)] == "contaminated_options" for n in range(1, len(items), 2)]
    part = [reasons[str(n)] != "kept" for n in range(0, len(items), 2)]
    return {
        "all four options, in any order": round(sum(whole) / len(whole), 4),
        "three of four": round(sum(part) / len(part), 4),
    }


def halves(folder: Path, data: Path, name: str) -> dict[str, Any]:
    """Take every second row of a file for a benchmark of the others."""
    for half, suffix in enumerate(("pool", "benchmark")):
        text = "".join(json.dumps(row) + "\n" for row in lines(data / name)[half::2])
        (folder / f"{suffix}.jsonl").write_text(text, encoding="utf-8")
    benchmark = {"name": "b", "path": str(folder / "benchmark.jsonl"), "question": "instruction"}
    return by_share(folder, [folder / "pool.jsonl"], benchmark)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if "SIFTLINE_DATA" not in os.environ:
        sys.exit(f"SIFTLINE_DATA is not set; expected the folder of {TRAIN}.")
    data = Path(os.environ["SIFTLINE_DATA"]).resolve()
    benchmark = {"name": "b", "path": str(data / TEST), "answer": "ground_truth"}
    general = {"name": "b", "path": str(data / GENERAL), "question": "instruction"}
    pool = [data / name for name in POOL]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        started = time.process_time()
        results: dict[str, Any] = {
            "command": "python benchmarks/decontamination.py",
            "date": datetime.now(UTC).date().isoformat(),
            "processor": processor(),
            "versions": {name: version(name) for name in ("siftline", "numpy", "pyarrow")},
            "train questions against test questions": by_share(folder, [data / TRAIN], benchmark),
            "clean pool against test questions": by_share(folder, pool, benchmark),
            "clean pool against general instructions": by_share(folder, pool, general),
            "planted, by edit": planted(folder, data, benchmark),
            "options": choices(folder, data),
            "halves of GPTeacher's code": halves(folder, data, POOL[2]),
            "halves of Alpaca": halves(folder, data, POOL[0]),
        }
        results["processor_seconds"] = round(time.process_time() - started, 1)
    text = json.dumps(results, indent=1)
    sys.stdout.write(text + "\n")
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
