"""How well CLEAR's confidence tells wrong responses from right ones, beside simpler scores.

    SIFTLINE_DATA=... python benchmarks/clear.py
    SIFTLINE_DATA=... python benchmarks/clear.py --model org/model --server http://localhost:8000/v1
    python benchmarks/clear.py --data samples

The data are GSM8K questions, each with four models' solutions that are known to be right or wrong;
or the samples of this repository with the defects planted there. Everything goes through the
runner, so a second call with the same `--runs` asks the model nothing, but for the marks.
"""

import argparse
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.contracts.runtime import Runtime
from siftline.models.generation import Sampling
from siftline.models.loading import load_language_model
from siftline.pipelines.calibration.detection import Detection, detection
from siftline.pipelines.recipe import Recipe, parse_recipe
from siftline.pipelines.run import run
from siftline.scorers.judges.judging import ask

WRITERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
SAMPLES = Path(__file__).parents[1] / "data_samples"
# Of the defects of data_samples, those that make a response bad in itself.
DEFECTS = ("wrong_answer", "truncated", "refusal", "repetition", "copied_prompt", "boilerplate")

Bools = npt.NDArray[np.bool_]


class Data(NamedTuple):
    """What is judged: a recipe's inputs, the folder they lie in, and which examples are bad."""

    inputs: list[dict[str, Any]]
    folder: Path
    bad: Callable[[pa.Table], Bools]


def solutions(folder: Path, questions: int) -> Data:
    """Write GSM8K's solutions as chats, with their labels as a column."""
    if "SIFTLINE_DATA" not in os.environ:
        sys.exit("SIFTLINE_DATA is not set; expected the folder of gsm8k_model_solutions.jsonl.")
    source = Path(os.environ["SIFTLINE_DATA"]) / "gsm8k_model_solutions.jsonl"
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for line in source.read_text(encoding="utf-8").splitlines()[:questions]:
            record = json.loads(line)
            for writer in WRITERS:
                row = {
                    "instruction": record["question"],
                    "output": record[writer]["solution"],
                    "generator": writer,
                    "correct": record[writer]["is_correct"],
                }
                file.write(json.dumps(row) + "\n")
    return Data([{"path": "rows.jsonl", "source": "gsm8k"}], folder, _is_wrong)


def _is_wrong(examples: pa.Table) -> Bools:
    return np.array([not json.loads(text)["correct"] for text in examples["metadata"].to_pylist()])


def samples() -> Data:
    """Return the samples of this repository; rows with a defect that a judge might see are bad."""
    names = ("arithmetic.jsonl", "facts.json", "rewriting.csv", "code.jsonl.gz", "candidates.jsonl")
    return Data([{"path": n, "source": n.partition(".")[0]} for n in names], SAMPLES, _is_defective)


def _is_defective(examples: pa.Table) -> Bools:
    labels = [json.loads(line) for line in (SAMPLES / "labels.jsonl").read_text().splitlines()]
    bad = {(each["file"], each["row"]) for each in labels if each["defect"] in DEFECTS}
    places = zip(examples["file"].to_pylist(), examples["row"].to_pylist(), strict=True)
    return np.array([place in bad for place in places])


def recipe_of(arguments: argparse.Namespace, data: Data) -> Recipe:
    """Return the recipe: CLEAR, and GRAPE for the mean log-likelihood, which drops nothing here."""
    judge: dict[str, Any] = {"name": arguments.model}
    if arguments.server:
        judge["server"] = {"url": arguments.server, "key_env": arguments.key_env}
    clear = {
        "kind": "clear",
        "model": "judge",
        "consistency": {"kind": arguments.consistency},
        "max_tokens": arguments.max_tokens,
        "threshold": {"policy": "absolute", "value": 0.0},
        "reading": "letter" if arguments.letters else "probabilities",
    }
    stages: list[dict[str, Any]] = [clear]
    if not arguments.server:
        stages.append({"kind": "grape", "model": "judge", "k": 100})
    models = {"judge": judge, "embedder": {"name": "builtin:minilm"}}
    recipe = {"name": "clear", "inputs": data.inputs, "models": models, "stages": stages}
    return parse_recipe(recipe, "benchmark")


def ratings(recipe: Recipe, rows: pa.Table) -> npt.NDArray[np.float64]:
    """Ask for a mark from 0 to 10, greedily; NaN where the reply holds no number."""
    model = load_language_model(recipe.models["judge"])
    questions = [
        ask(
            f"Question:\n{turns[0]['content']}\n\nProposed answer:\n{turns[1]['content']}\n\n"
            "How correct is the proposed answer, from 0 (wrong) to 10 (right)? "
            "Reply with the number only."
        )
        for turns in rows["messages"].to_pylist()
    ]
    found = model.generate(questions, Sampling(temperature=0, max_tokens=8))
    marks = []
    for row in found.rows:
        number = re.search(r"\d+", row[0].text) if isinstance(row, list) else None
        marks.append(min(10.0, float(number.group())) if number else np.nan)
    return np.array(marks)


def scores_of(recipe: Recipe, folder: Path) -> tuple[pa.Table, dict[str, npt.NDArray[np.float64]]]:
    """Return the rows and every score, high for good."""
    decisions = pq.read_table(folder / "decisions.parquet")
    decisions = decisions.filter(pc.is_valid(decisions["id"]))  # quarantined rows come last
    examples = pq.read_table(folder / "00-ingest" / "examples")
    assert examples["id"].equals(decisions["id"])

    def column(name: str) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = decisions[name].cast(pa.float64()).to_numpy()
        return found

    responses = [turns[-1]["content"] for turns in examples["messages"].to_pylist()]
    scores = {
        "C, the confidence": column("confidence.value"),
        "O, consistency": column("confidence.consistency"),
        "   agreement only": column("consistency.agreement"),
        "   exact match only": column("consistency.match"),
        "S, reflection": column("confidence.reflection"),
        "   first look only": column("reflection.first"),
        "a mark from 0 to 10": ratings(recipe, examples),
        "length, short is good": -np.array([float(len(text)) for text in responses]),
    }
    if "likelihood.sum_logprob" in decisions.column_names:
        tokens = column("likelihood.scored_tokens")
        scores["mean log-likelihood"] = column("likelihood.sum_logprob") / tokens
    return examples, scores


def cost_of(folder: Path, spent: Any, seconds: float) -> dict[str, float] | None:
    """Return what a thousand rows cost; None where the cache had a part of it."""
    parts = sorted((folder / "01-clear" / "scores").glob("samples-*.parquet"))
    samples = pa.concat_tables([pq.read_table(part) for part in parts])
    examples = sum(source.examples for source in spent.ingest.summary.sources.values())
    # Candidates for one prompt share its samples.
    generated = sum(
        {
            tuple(row["texts"]): row["generated_tokens"] or 0
            for row in samples.to_pylist()
            if row["texts"]
        }.values()
    )
    if spent.stages[0].tokens < generated:
        return None
    return {
        "generated_tokens": round(1000 * generated / examples),
        "prefill_tokens": round(1000 * (spent.stages[0].tokens - generated) / examples),
        "model_calls": round(1000 * spent.stages[0].model_calls / examples),
        "seconds": round(1000 * seconds / examples, 1),
    }


def table_line(name: str, found: Detection | None) -> str:
    """Write one line of the table."""
    if found is None:
        return f"{name:24}  nothing to tell apart"
    auroc, precision = found.auroc, found.average_precision
    return (
        f"{name:24}  {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}]   "
        f"{precision.value:.3f} [{precision.low:.3f}, {precision.high:.3f}]   {found.rows}"
    )


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="gsm8k", choices=("gsm8k", "samples"))
    parser.add_argument("--questions", type=int, default=660, help="of GSM8K")
    parser.add_argument("--model", default="builtin:smollm2")
    parser.add_argument("--server")
    parser.add_argument("--key-env")
    parser.add_argument("--letters", action="store_true", help="read letters off generated text")
    parser.add_argument("--consistency", choices=("numeric", "embedding"))
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.consistency is None:
        arguments.consistency = "numeric" if arguments.data == "gsm8k" else "embedding"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = samples() if arguments.data == "samples" else solutions(folder, arguments.questions)
        recipe = recipe_of(arguments, data)
        started = time.monotonic()
        done = run(recipe, data.folder, arguments.runs or folder / "runs", Runtime())
        elapsed = time.monotonic() - started
        cost = cost_of(done.folder, done, done.stages[0].seconds)
        examples, scores = scores_of(recipe, done.folder)
    bad = data.bad(examples)
    units = np.array(examples["prompt_id"].to_pylist(), dtype=object)
    found = {name: detection(score, bad, units) for name, score in scores.items()}
    lines = [
        f"{len(bad)} responses to {len(set(units))} prompts, {bad.mean():.1%} bad; "
        f"{arguments.model}, consistency by {arguments.consistency}",
        f"{'score':24}  AUROC [95 %]           average precision of the bad     rows",
        *[table_line(name, each) for name, each in found.items()],
        f"cost per 1,000 rows: {cost}; this call: {done.model_calls} model calls, {elapsed:.0f} s",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.out:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "model": arguments.model,
            "rows": len(bad),
            "bad": int(bad.sum()),
            "model_calls": done.model_calls,
            "seconds": round(elapsed, 1),
            "table": {name: each._asdict() if each else None for name, each in found.items()},
            "cost_per_1000_rows": cost,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
