"""Count the surface faults of public answers, and the time that it takes to look for them.

    SIFTLINE_DATA=folder python benchmarks/hygiene.py --out benchmarks/results/hygiene.json

Seconds are the processor's, the best of three rounds; reading the rows is no part of them.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.parquet import read_table
from siftline.contracts.runtime import Runtime
from siftline.pipelines.ingestion.ingest import ingest
from siftline.pipelines.ingestion.inputs import Input
from siftline.scorers.flat_turns import flat_turns
from siftline.scorers.hygiene import FAULTS, HygieneFaults

SOURCES = (
    "alpaca_random_9k.json",
    "dolly_3k.json",
    "gsm8k_train.jsonl",
    "gpteacher_codegen.json",
    "gpteacher_roleplay.json",
    "alpaca_eval_responses.jsonl",
)
ROUNDS = 3


def main() -> None:
    """Count, measure, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/hygiene.json"))
    out = parser.parse_args().out
    if "SIFTLINE_DATA" not in os.environ:
        sys.exit(f"SIFTLINE_DATA is not set; expected the folder of {', '.join(SOURCES)}.")
    tables = {name: rows_of(Path(os.environ["SIFTLINE_DATA"]) / name) for name in SOURCES}
    rows = pa.concat_tables(tables.values())
    result = {
        "command": f"SIFTLINE_DATA=... python benchmarks/hygiene.py --out {out}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, one thread of a shared machine",
        "rows": {name: len(table) for name, table in tables.items()},
        "faults": {name: faults(table) for name, table in tables.items()},
        "microseconds_per_row": micros(rows, lambda: HygieneFaults().score(rows, Runtime())),
        "of_these_for_the_table_of_turns": micros(rows, lambda: flat_turns(rows)),
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def rows_of(path: Path) -> pa.Table:
    """Return the examples of a file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ingest(
            [Input(path=str(path))],
            folder,
            folder,
            max_bad_rows=0.05,
            max_row_bytes=1 << 20,
            shard_rows=1 << 20,
        )
        return pa.concat_tables(map(read_table, sorted(folder.rglob("part-*.parquet"))))


def faults(rows: pa.Table) -> dict[str, int]:
    """Return how many rows have each fault."""
    table = HygieneFaults().score(rows, Runtime()).table
    return {slug: int(pc.sum(pc.is_valid(table[slug])).as_py()) for slug in FAULTS}


def micros(rows: pa.Table, work: Callable[[], object]) -> float:
    """Return the microseconds of the processor that something takes for a row."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return round(min(taken) / len(rows) * 1e6, 2)


if __name__ == "__main__":
    main()
