"""The whole chain on rows of six public datasets: rows, tokens and seconds of each stage.

    SIFTLINE_DATA=... python benchmarks/whole_chain.py --folder chain --out results.json

The stages are those of data_samples/recipe.yaml. The rows are a seeded draw: prompts with ten
models' responses each, so that GRAPE has a choice, and rows with one. The folder keeps the run,
whose report and decisions are there to be looked at; a second call scores nothing anew.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from siftline.contracts.runtime import Runtime
from siftline.models.store.packages import require
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run

RECIPE = Path(__file__).parent.parent / "data_samples" / "recipe.yaml"
CANDIDATES = "alpaca_eval_responses.jsonl"
# Source: file, and its share of the rows.
SOURCES = {
    "alpaca_eval": (CANDIDATES, 0.20),
    "alpaca": ("alpaca_random_9k.json", 0.25),
    "dolly": ("dolly_3k.json", 0.15),
    "gsm8k": ("gsm8k_train.jsonl", 0.15),
    "codegen": ("gpteacher_codegen.json", 0.15),
    "roleplay": ("gpteacher_roleplay.json", 0.10),
}


def draw(data: Path, rows: int, folder: Path) -> None:
    """Write each source's rows, drawn at random, as they are; candidates by whole prompts."""
    for source, (name, share) in SOURCES.items():
        text = (data / name).read_text(encoding="utf-8")
        lines = text.splitlines() if name.endswith("l") else []
        records = [json.loads(line) for line in lines] if lines else json.loads(text)
        key = "instruction" if name == CANDIDATES else None
        groups: dict[Any, list[Any]] = {}
        for number, record in enumerate(records):
            groups.setdefault(record[key] if key else number, []).append(record)
        found: list[Any] = []
        for number in np.random.default_rng(0).permutation(len(groups)):
            if len(found) >= round(share * rows):
                break
            found += list(groups.values())[number]
        written = "".join(json.dumps(record) + "\n" for record in found)
        (folder / f"{source}.jsonl").write_text(written, encoding="utf-8")


def curate(folder: Path) -> RunResult:
    """Run the recipe of the samples on the rows that were drawn."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    recipe["name"] = "whole_chain"
    recipe["inputs"] = [{"path": f"{source}.jsonl", "source": source} for source in SOURCES]
    return run(parse_recipe(recipe, RECIPE.name), folder, folder / "runs", Runtime())


def figures(done: RunResult) -> dict[str, Any]:
    """Return what each stage has done and cost."""
    told: dict[str, Any] = {
        "ingest": {
            "rows": sum(each.rows for each in done.ingest.summary.sources.values()),
            "examples": done.stages[0].rows,
            "seconds": done.ingest.seconds,
        }
    }
    for stage in done.stages:
        told[stage.folder] = {
            "rows": stage.rows,
            "kept": stage.kept,
            "revised": stage.revised,
            "dropped": stage.reasons_dropped,
            "sources_kept": {name: each.kept for name, each in stage.sources.items()},
            "scored": stage.scored,
            "cached": stage.cached,
            "tokens": stage.tokens,
            "seconds": stage.seconds,
        }
    told["export"] = {"rows": done.export.rows, "seconds": done.export.seconds}
    return told


def main() -> None:
    """Draw, curate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--folder", type=Path, required=True, help="where rows and run are kept")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if "SIFTLINE_DATA" not in os.environ:
        sys.exit("SIFTLINE_DATA is not set; expected the folder of the public datasets.")
    require("torch", "transformers", "peft")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    draw(Path(os.environ["SIFTLINE_DATA"]), arguments.rows, arguments.folder)
    done = curate(arguments.folder)
    result = {
        "command": " ".join(["python", *sys.argv]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads",
        "stages": figures(done),
    }
    text = json.dumps(result, indent=1) + "\n"
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
