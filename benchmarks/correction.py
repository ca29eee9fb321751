"""What CLEAR's corrections do to known arithmetic errors: wrong responses fixed, right ones harmed.

    python benchmarks/correction.py
    SIFTLINE_DATA=... python benchmarks/correction.py --data gsm8k --rows 200

The data are the arithmetic samples of this repository with the errors planted there, or GSM8K with
the last number changed in a fifth of the answers (the share of noise in CLEAR's SQuAD-N). A
response is right when its last number is. The filter drops half of the rows, by reflection alone
unless `--samples`: a small model's samples are cut too often to judge by. Candidates for these come
from the model as it is, and from the model tuned on what passed; each is shown with the judge's
gate eta, without it (both orders prefer the candidate), and without a judge (every finished
candidate replaces).
"""

import argparse
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from siftline.contracts.examples import Message
from siftline.contracts.runtime import Runtime
from siftline.pipelines.calibration.corruption import plant
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run

SAMPLES = Path(__file__).parents[1] / "data_samples"
NOISE = 0.2
GATES = ("no judge", "no eta", "eta 0.8")

Bools = npt.NDArray[np.bool_]


_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def last_number(text: str) -> Decimal | None:
    """Return the last number in a text, as GSM8K's own evaluation reads it; None without one."""
    numbers = _NUMBER.findall(text)
    return Decimal(numbers[-1].replace(",", "")) if numbers else None


class Row(NamedTuple):
    """A question, the response of the dataset, and the number that is right."""

    question: str
    response: str
    right: Any


def sample_rows() -> list[Row]:
    """Return the arithmetic samples that are clean or hold a wrong number."""
    labels = [json.loads(line) for line in (SAMPLES / "labels.jsonl").read_text().splitlines()]
    defects = {each["row"]: each for each in labels if each["file"] == "arithmetic.jsonl"}
    rows = []
    # Bytes, because some rows are broken on purpose; labels count from 1.
    lines = (SAMPLES / "arithmetic.jsonl").read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        label = defects.get(number)
        if label and label["defect"] != "wrong_answer":
            continue
        record = json.loads(line)
        right = last_number(label["right"] if label else record["answer"])
        rows.append(Row(record["question"], record["answer"], right))
    return rows


def gsm8k_rows(count: int) -> list[Row]:
    """Return GSM8K's first training rows, with the last number changed in a fifth of them."""
    if "SIFTLINE_DATA" not in os.environ:
        sys.exit("SIFTLINE_DATA is not set; expected the folder of gsm8k_train.jsonl.")
    source = next(Path(os.environ["SIFTLINE_DATA"]).glob("gsm8k_train*.jsonl"))
    random = np.random.default_rng(0)
    rows = []
    for line in source.read_text(encoding="utf-8").splitlines()[:count]:
        record = json.loads(line)
        response = record["answer"]
        if random.random() < NOISE:
            turns: list[Message] = [
                {"role": "user", "content": record["question"]},
                {"role": "assistant", "content": response},
            ]
            planted = plant(["number"], turns, [], random)
            response = planted.response if planted else response
        rows.append(Row(record["question"], response, last_number(record["answer"])))
    return rows


def recipe_of(arguments: argparse.Namespace, tuned: bool) -> dict[str, Any]:
    """Return the recipe of one arm."""
    judge: dict[str, Any] = {"name": arguments.model}
    if arguments.server:
        judge["server"] = {"url": arguments.server, "key_env": arguments.key_env}
    correct: dict[str, Any] = {
        "max_tokens": arguments.max_tokens,
        "judgements": arguments.judgements,
        "max_share": 1.0,
    }
    if tuned:
        correct["tuning"] = {"model": "judge", "epochs": arguments.epochs}
    clear = {
        "kind": "clear",
        "model": "judge",
        "max_tokens": arguments.max_tokens,
        **({} if arguments.samples else {"gate": 0.5}),
        "correct": correct,
    }
    return {
        "name": "correction",
        "inputs": [{"path": "rows.jsonl", "source": "arithmetic"}],
        "models": {"judge": judge, "embedder": {"name": "builtin:minilm"}},
        "stages": [clear],
    }


def outcomes(rows: Sequence[Row], decisions: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return by gate what became of the wrong responses and of the right ones."""
    by_question = {row.question: row for row in rows}
    truth = [by_question[each["question"]] for each in decisions]
    was_right = np.array([last_number(row.response) == row.right for row in truth])
    kept = np.array([each["decision"] == "keep" for each in decisions])
    candidate_right = np.array(
        [
            bool(each["candidate"]) and last_number(each["candidate"]) == row.right
            for each, row in zip(decisions, truth, strict=True)
        ]
    )
    judged = np.array([each["preference"] for each in decisions], dtype=float)
    finished = np.array([each["candidate_status"] == "ok" for each in decisions])
    replaced = dict(zip(GATES, (finished, judged > 0, judged > 0.8), strict=True))
    return {
        gate: _outcome(was_right, kept, candidate_right, chosen & ~kept)
        for gate, chosen in replaced.items()
    }


def _outcome(was_right: Bools, kept: Bools, candidate_right: Bools, new: Bools) -> dict[str, float]:
    wrong = ~was_right
    out = np.where(new, candidate_right, was_right)[kept | new]
    return {
        "wrong": int(wrong.sum()),
        "wrong_fixed": int((wrong & new & candidate_right).sum()),
        "wrong_replaced_by_wrong": int((wrong & new & ~candidate_right).sum()),
        "wrong_kept": int((wrong & kept).sum()),
        "right": int(was_right.sum()),
        "right_harmed": int((was_right & new & ~candidate_right).sum()),
        "right_replaced_by_right": int((was_right & new & candidate_right).sum()),
        "right_kept": int((was_right & kept).sum()),
        "wrong_share_before": round(float(wrong.mean()), 4),
        "wrong_share_after": round(float(1 - out.mean()), 4) if len(out) else float("nan"),
    }


def arm(rows: Sequence[Row], arguments: argparse.Namespace, tuned: bool) -> dict[str, Any]:
    """Run one arm, and return its outcomes and its cost."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
            for row in rows:
                record = {"instruction": row.question, "output": row.response}
                file.write(json.dumps(record) + "\n")
        done = run(
            parse_recipe(recipe_of(arguments, tuned), "benchmark"),
            folder,
            arguments.runs,
            Runtime(),
        )
        table = pq.read_table(done.folder / "decisions.parquet")
        examples = pq.read_table(done.folder / "00-ingest" / "examples")
    assert examples["id"].equals(table["id"])
    decisions = [
        {
            "question": turns[0]["content"],
            "decision": each["decision"],
            "candidate": each.get("candidate.text"),
            "candidate_status": each.get("candidate.status"),
            "preference": each.get("confidence.preference"),
        }
        for turns, each in zip(examples["messages"].to_pylist(), table.to_pylist(), strict=True)
    ]
    stage = done.stages[0]
    return {
        "gates": outcomes(rows, decisions),
        "candidates": sum(each["candidate_status"] is not None for each in decisions),
        "tokens": stage.tokens,
        "seconds": round(stage.seconds, 1),
        "corrections": stage.diagnosis["corrections"],
    }


def lines_of(name: str, found: dict[str, Any]) -> list[str]:
    """Write the table of one arm."""
    lines = [f"candidates of the {name} model: {found['candidates']}, {found['seconds']:.0f} s"]
    for gate, each in found["gates"].items():
        lines.append(
            f"  {gate:9} wrong: {each['wrong_fixed']}/{each['wrong']} fixed, "
            f"{each['wrong_replaced_by_wrong']} replaced by wrong, {each['wrong_kept']} kept;  "
            f"right: {each['right_harmed']}/{each['right']} harmed, "
            f"{each['right_replaced_by_right']} replaced by right, {each['right_kept']} kept;  "
            f"share wrong {each['wrong_share_before']:.3f} -> {each['wrong_share_after']:.3f}"
        )
    return lines


def main() -> None:
    """Run both arms, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="samples", choices=("samples", "gsm8k"))
    parser.add_argument("--rows", type=int, default=200, help="of GSM8K")
    parser.add_argument("--model", default="builtin:smollm2")
    parser.add_argument("--server", help="only the arm without tuning is run")
    parser.add_argument("--key-env")
    parser.add_argument(
        "--samples",
        action="store_true",
        help="filter by sampled answers too, and not by reflection alone",
    )
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--judgements", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--runs", type=Path, help="the arms share samples there")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = sample_rows() if arguments.data == "samples" else gsm8k_rows(arguments.rows)
    rows = list({row.question: row for row in rows}.values())
    with tempfile.TemporaryDirectory() as temporary:
        arguments.runs = arguments.runs or Path(temporary)
        arms = {"untuned": arm(rows, arguments, tuned=False)}
        if not arguments.server:
            arms["tuned"] = arm(rows, arguments, tuned=True)
    lines = [f"{len(rows)} rows of {arguments.data}; {arguments.model}"]
    for name, found in arms.items():
        lines += lines_of(name, found)
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.out:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "model": arguments.model,
            "rows": len(rows),
            "filter": "samples and reflection" if arguments.samples else "reflection",
            "arms": arms,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
