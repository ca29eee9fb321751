"""Flip single bits in every kind of file that a run leaves, and count those that pass unnoticed.

    python benchmarks/flipped_bits.py --flips 400

A version with four stages is made from synthetic rows, with the toy model. For each kind of file,
`siftline verify` is asked after each flip, and whoever reads the file in a run reads it: the next
run of a finished version, of an unfinished one, and of one whose scores are in the cache. A flip
counts as unnoticed where the reader neither fails nor gives what it gave before.
"""

import argparse
import contextlib
import json
import logging
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest import processor

from siftline.contracts.errors import DamagedError
from siftline.contracts.parquet import read_table
from siftline.contracts.records import read_record
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.pipelines.verification import verify

RECIPE: dict[str, Any] = {
    "name": "flips",
    "inputs": [{"path": "data.jsonl", "source": "made"}],
    "models": {"toy": {"name": "builtin:toy"}},
    "stages": [
        {"kind": "rules"},
        {"kind": "exact_duplicates"},
        {"kind": "grape", "model": "toy"},
        {"kind": "diversity", "model": "toy", "budget": "60%"},
    ],
}
KINDS = {
    "examples": "00-ingest/examples/part-00000.parquet",
    "quarantine": "00-ingest/quarantine.parquet",
    "manifest of ingestion": "00-ingest/manifest.json",
    "verdicts": "01-rules/verdicts.parquet",
    "scores of a stage": "03-grape/scores/likelihood-00000.parquet",
    "manifest of a stage": "03-grape/manifest.json",
    "dataset": "curated/data/train-00000-of-00001.parquet",
    "dataset card": "curated/README.md",
    "decisions": "decisions.parquet",
    "recipe": "recipe.yaml",
    "key": "version.json",
    "report": "report.json",
    "cached likelihoods": "cache/likelihood",
    "cached embeddings": "cache/prompt_embedding",
}


def measure(flips: int, runs: int) -> dict[str, Any]:
    """Return all figures, by kind of file and together."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        _write_rows(base)
        version = _run(base)
        before = _results(version)
        kinds = {
            kind: _flips_of(kind, _path(base, version, name), base, version, before, flips, runs)
            for kind, name in KINDS.items()
        }
    names = ("flips", "found_by_verify", "read_unnoticed", "runs", "wrong_runs")
    return {
        "command": f"python benchmarks/flipped_bits.py --flips {flips} --runs {runs} --out "
        "benchmarks/results/flipped_bits.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": processor(),
        "python": platform.python_version(),
        "seconds": round(time.monotonic() - started),
        "kinds": kinds,
        "all": {name: sum(each[name] for each in kinds.values()) for name in names},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--flips", type=int, default=400, help="of each kind of file")
    parser.add_argument("--runs", type=int, default=4, help="of the flips, followed by a run")
    options = parser.parse_args()
    logging.getLogger("siftline").setLevel(logging.ERROR)
    text = json.dumps(measure(options.flips, options.runs), indent=2) + "\n"
    sys.stdout.write(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


def _flips_of(
    kind: str,
    path: Path,
    base: Path,
    version: Path,
    before: dict[str, bytes],
    flips: int,
    runs: int,
) -> dict[str, int]:
    written, draw = path.read_bytes(), random.Random(kind)
    expected = _read(path)
    place = path.parent if "cache" in path.parts else version
    found = unnoticed = wrong = 0
    for number in range(flips):
        _flip(path, written, draw.randrange(8 * len(written)))
        found += str(path) in verify(place).damaged
        with contextlib.suppress(DamagedError):
            unnoticed += _read(path) != expected
        if number < runs:
            wrong += _rerun(base, path, version) != before
        path.write_bytes(written)
    return {
        "bytes": len(written),
        "flips": flips,
        "found_by_verify": found,
        "read_unnoticed": unnoticed,
        "runs": runs,
        "wrong_runs": wrong,
    }


def _rerun(base: Path, path: Path, version: Path) -> dict[str, bytes]:
    """Return what a run makes of a copy in which the version is not finished."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(base, copy, symlinks=True)
        made = copy / version.relative_to(base)
        if "cache" in path.parts:
            shutil.rmtree(made)
        else:
            (made / "report.json").unlink()
        return _results(_run(copy))


def _read(path: Path) -> Any:
    """Read a file as a run does; what a run never reads is its bytes, which verify compares."""
    readers: dict[str, Callable[[Path], Any]] = {".parquet": read_table, ".json": read_record}
    return readers[path.suffix](path) if path.suffix in readers else None


def _path(base: Path, version: Path, name: str) -> Path:
    if not name.startswith("cache"):
        return version / name
    return next((base / "runs" / name).glob("*/scores-000000.parquet"))


def _flip(path: Path, written: bytes, bit: int) -> None:
    data = bytearray(written)
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def _results(version: Path) -> dict[str, bytes]:
    paths = version.rglob("*.parquet")
    return {path.relative_to(version).as_posix(): path.read_bytes() for path in paths}


def _write_rows(base: Path) -> None:
    draw = random.Random(0)
    words = ["tide", "moon", "harbour", "rope", "salt", "why", "count", "blue", "seven", "north"]
    lines = []
    for number in range(150):
        question = f"Question {number}: {' '.join(draw.choices(words, k=8))}?"
        for _ in range(2):
            lines.append({"question": question, "answer": " ".join(draw.choices(words, k=20))})
    text = "".join(json.dumps(line) + "\n" for line in lines) + "{\n"
    (base / "data.jsonl").write_text(text, encoding="utf-8")


def _run(base: Path) -> Path:
    return run(parse_recipe(RECIPE, "r"), base, base / "runs", Runtime(shard_rows=200)).folder


if __name__ == "__main__":
    main()
