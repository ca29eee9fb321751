r"""Clean a pool beside Data-Juicer: rules on the surface and near-duplicates, JSONL to Parquet.

    SIFTLINE_DATA=folder python benchmarks/cleaning.py --peer venv/bin/dj-process \
        --out benchmarks/results/cleaning.json

Data-Juicer 1.6.1 lives in an environment of its own: `pip install py-data-juicer==1.6.1 aiohttp`.
Both read the same lines and hold the response to its length, its words, its special characters,
its repeated characters, and MinHash at Jaccard 0.8 over words in windows of five. Each is one
process that is started, reads, cleans and writes; they take turns. The public set is Alpaca five
times over with a changed tail; the made one has planted duplicates, whose similarity the generator
counts by itself.

`--floor ROWS` measures the machinery instead: ingestion, `rules`, `exact_duplicates` and `random`
beside the barest way from JSON lines to Parquet.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ingest import processor
from planted_duplicates import Pool, jaccard, write_pool

ALPACA = "alpaca_random_9k.json"
COPIES = 5
MAX_CHARS, MAX_WORDS, MAX_SPECIAL, MAX_REPEATED = 32_000, 10_000, 0.5, 0.5
THRESHOLD = 0.8

RECIPE = f"""
name: cleaning
inputs: [{{path: pool.jsonl, source: pool}}]
stages:
  - kind: rules
    min_chars: 1
    max_chars: {MAX_CHARS}
    min_words: 1
    max_words: {MAX_WORDS}
    max_special_chars: {MAX_SPECIAL}
    max_repeated_chars: {MAX_REPEATED}
    max_repeated_ngrams: null
    max_prompt_coverage: null
    refusals: []
    boilerplate: []
    placeholders: []
  - {{kind: near_duplicates, over: response, threshold: {THRESHOLD}}}
"""

FLOOR_RECIPE = """
name: floor
inputs: [{path: pool.jsonl, source: pool}]
stages:
  - {kind: rules}
  - {kind: exact_duplicates}
  - {kind: random, budget: 10%}
"""

PEER_RECIPE = f"""
project_name: cleaning
dataset_path: {{folder}}/pool.jsonl
export_path: {{folder}}/peer/curated.parquet
export_type: parquet
np: 2
text_keys: output
use_cache: false
process:
  - text_length_filter: {{{{min_len: 1, max_len: {MAX_CHARS}}}}}
  - words_num_filter: {{{{min_num: 1, max_num: {MAX_WORDS}}}}}
  - special_characters_filter: {{{{min_ratio: 0.0, max_ratio: {MAX_SPECIAL}}}}}
  - character_repetition_filter: {{{{rep_len: 10, min_ratio: 0.0, max_ratio: {MAX_REPEATED}}}}}
  - document_minhash_deduplicator:
      {{{{tokenization: space, window_size: 5, jaccard_threshold: {THRESHOLD}}}}}
"""

BARE = """
import json, sys
import pyarrow as pa, pyarrow.parquet as pq
writer, rows = None, []
def flush():
    global writer
    table = pa.Table.from_pylist(rows)
    writer = writer or pq.ParquetWriter(sys.argv[2], table.schema, compression="zstd")
    writer.write_table(table)
    rows.clear()
with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        rows.append(json.loads(line))
        if len(rows) == 4096:
            flush()
if rows:
    flush()
writer.close()
"""


def timed(command: Sequence[str | Path], folder: Path) -> dict[str, float]:
    """Run a command to its end, and return its seconds and its memory, children included."""
    log = folder / "log.txt"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        before = os.times()
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            time.sleep(0.02)
    seconds, after = time.monotonic() - started, os.times()
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    used = after.children_user - before.children_user
    used += after.children_system - before.children_system
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(used, 2),
        "peak_mib": peak >> 20,
    }


def resident(process: int) -> int:
    """Return the bytes that a process and its children have in memory; shared pages count each."""
    total, waiting = 0, [process]
    while waiting:
        number = waiting.pop()
        try:
            pages = Path(f"/proc/{number}/statm").read_text().split()[1]
            for task in Path(f"/proc/{number}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, IndexError):  # it has ended meanwhile
            continue
        total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total


def siftline(folder: Path, recipe: str) -> dict[str, float]:
    """Run a recipe in a new run directory."""
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    shutil.rmtree(folder / "runs", ignore_errors=True)
    command = Path(sys.executable).with_name("siftline")
    return timed([command, "run", "recipe.yaml", "--no-prefect"], folder)


def data_juicer(folder: Path, command: Path) -> dict[str, float]:
    """Run the peer."""
    (folder / "peer.yaml").write_text(PEER_RECIPE.format(folder=folder), encoding="utf-8")
    shutil.rmtree(folder / "peer", ignore_errors=True)
    return timed([command.absolute(), "--config", "peer.yaml"], folder)


def public_pool(data: Path, path: Path) -> Pool:
    """Write Alpaca five times over, each copy with a tail of its own."""
    rows = json.loads((data / ALPACA).read_text(encoding="utf-8"))
    with path.open("w", encoding="utf-8") as file:
        for number in range(COPIES * len(rows)):
            copy, place = divmod(number, len(rows))
            row = {key: rows[place][key] for key in ("instruction", "input", "output")}
            row["output"] += f" (copy {copy})" if copy else ""
            file.write(json.dumps({"id": f"r{number}", **row}, ensure_ascii=False) + "\n")
    return Pool(path, COPIES * len(rows), {})


def found(pool: Pool, runs: Path) -> dict[str, Any]:
    """Hold what siftline has dropped to what was planted, and every match to the texts."""
    decisions = pq.read_table(
        runs / "cleaning" / "latest" / "decisions.parquet",
        columns=["id", "reason", "match", "similarity"],
    )
    dropped = decisions.filter(pa.compute.equal(decisions["reason"], "near_duplicate"))
    matched = dict(zip(dropped["id"].to_pylist(), dropped["match"].to_pylist(), strict=True))
    texts = _texts(pool.path, {*matched, *matched.values()})
    true = [jaccard(texts[row], texts[twin]) for row, twin in matched.items()]
    told = dropped["similarity"].to_numpy()
    figures: dict[str, Any] = {
        "dropped": len(dropped),
        "false_below_half": sum(value < 0.5 for value in true),
        "false_below_threshold": sum(value < THRESHOLD for value in true),
        "largest_error_of_similarity": round(float(np.abs(told - true).max()), 6) if true else 0,
    }
    for low, high in ((95, 101), (90, 95), (80, 90)):
        pairs = {
            row: twin for row, (twin, near) in pool.planted.items() if low <= 100 * near < high
        }
        hit = sum(f"r{row}" in matched or f"r{twin}" in matched for row, twin in pairs.items())
        if pairs:
            figures[f"recall_{low}_to_{min(high, 100)}"] = round(hit / len(pairs), 4)
    return figures


def _texts(path: Path, ids: set[str]) -> dict[str, str]:
    with path.open(encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines)
        return {row["id"]: row["output"] for row in rows if row["id"] in ids}


def peer_found(pool: Pool, folder: Path) -> dict[str, Any]:
    """Return how many rows the peer has kept, and which planted pairs it has left whole."""
    kept = set(pq.read_table(folder / "peer" / "curated.parquet", columns=["id"])["id"].to_pylist())
    figures: dict[str, Any] = {"dropped": pool.rows - len(kept)}
    pairs = [(row, twin) for row, (twin, near) in pool.planted.items() if near >= 0.9]
    if pairs:
        whole = sum(f"r{row}" in kept and f"r{twin}" in kept for row, twin in pairs)
        figures["recall_from_90"] = round(1 - whole / len(pairs), 4)
    return figures


def compared(pool: Pool, folder: Path, peer: Path | None, rounds: int) -> dict[str, Any]:
    """Let both clean a pool in turn."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(siftline(folder, RECIPE))
        if peer is not None:
            theirs.append(data_juicer(folder, peer))
    figures: dict[str, Any] = {
        "rows": pool.rows,
        "mb": round(pool.path.stat().st_size / 1e6, 1),
        "siftline": _best(ours, pool.rows) | found(pool, folder / "runs"),
    }
    if peer is not None:
        figures["data_juicer"] = _best(theirs, pool.rows) | peer_found(pool, folder)
        figures["times_as_fast"] = round(
            figures["data_juicer"]["seconds"] / figures["siftline"]["seconds"], 1
        )
        figures["times_as_fast_by_processor"] = round(
            figures["data_juicer"]["processor_seconds"] / figures["siftline"]["processor_seconds"],
            1,
        )
    return figures


def _best(runs: Sequence[dict[str, float]], rows: int) -> dict[str, Any]:
    best = min(runs, key=lambda run: run["seconds"])
    return {**best, "rows_per_second": round(rows / best["seconds"])}


def floor(rows: int, folder: Path) -> dict[str, Any]:
    """Run three stages that ask for little beside a bare pass over the same lines."""
    pool = write_pool(folder / "pool.jsonl", rows)
    ours = siftline(folder, FLOOR_RECIPE)
    bare = timed([sys.executable, "-c", BARE, "pool.jsonl", "bare.parquet"], folder)
    return {
        "rows": rows,
        "mb": round(pool.path.stat().st_size / 1e6, 1),
        "siftline": ours,
        "bare": bare,
        "times_bare_by_processor": round(ours["processor_seconds"] / bare["processor_seconds"], 1),
        "times_bare": round(ours["seconds"] / bare["seconds"], 1),
    }


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return all figures."""
    figures: dict[str, Any] = {
        "command": "python " + " ".join(["benchmarks/cleaning.py", *_told(sys.argv[1:])]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": processor(),
        "python": platform.python_version(),
        "rensa": version("rensa"),
    }
    if arguments.floor:
        return figures | {"floor": {str(rows): floor(rows, folder) for rows in arguments.floor}}
    if data := os.environ.get("SIFTLINE_DATA"):
        pool = public_pool(Path(data), folder / "pool.jsonl")
        figures["alpaca"] = compared(pool, folder, arguments.peer, arguments.rounds)
    for rows in arguments.rows:
        pool = write_pool(folder / "pool.jsonl", rows)
        peer = arguments.peer if rows <= arguments.peer_rows else None
        figures[str(rows)] = compared(pool, folder, peer, 1)
    return figures


def _told(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without where the peer lives on this machine."""
    kept = list(arguments)
    if "--peer" in kept:
        kept[kept.index("--peer") + 1] = "venv/bin/dj-process"
    return kept


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="dj-process of an environment with Data-Juicer")
    parser.add_argument("--rounds", type=int, default=3, help="on the public set")
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000], help="made")
    parser.add_argument("--peer-rows", type=int, default=100_000, help="most that the peer cleans")
    parser.add_argument("--floor", type=int, nargs="*", help="measure the machinery on made rows")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = json.dumps(measure(arguments, Path(temporary)), indent=2)
    sys.stdout.write(figures + "\n")
    if arguments.out:
        arguments.out.write_text(figures + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
