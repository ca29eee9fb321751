"""Peak memory of a run over rows of a megabyte, few and many, in a process each.

    python benchmarks/large_rows.py --out benchmarks/results/large_rows.json

The rows compress to next to nothing, so that the file is small and what it unpacks to is not. They
are read, deduplicated and exported; no model is run.
"""

import argparse
import gzip
import json
import platform
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ingest import processor

from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run

ROWS = (300, 1200)
CHARS = 1_000_000
SUFFIXES = ("jsonl.gz", "parquet")


def row(number: int) -> dict[str, str]:
    """Return a row of a megabyte."""
    return {"question": f"question {number}", "answer": f"{number} " + "word " * (CHARS // 5)}


def write(path: Path, rows: int) -> None:
    """Write rows; Parquet in one row group, which holds all of them."""
    if path.suffix == ".gz":
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row(number)) + "\n" for number in range(rows))
        return
    schema = pa.schema([("question", pa.string()), ("answer", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        writer.write_table(pa.Table.from_pylist([row(n) for n in range(rows)], schema))


def peak(path: Path) -> int:
    """Curate a file, and return the peak memory of this process in MiB."""
    data = {
        "name": "large",
        "inputs": [{"path": path.name}],
        "max_row_bytes": 1 << 21,
        "stages": [{"kind": "exact_duplicates"}],
    }
    run(parse_recipe(data, "recipe"), path.parent, path.parent / f"runs-{path.name}")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def call(*arguments: str) -> str:
    """Run this script in a process of its own, and return what it prints."""
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure() -> dict[str, Any]:
    """Return all figures."""
    peaks: dict[str, dict[str, int]] = {}
    bytes_on_disk: dict[str, int] = {}
    for suffix in SUFFIXES:
        peaks[suffix] = {}
        for rows in ROWS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{rows}.{suffix}"
                call("--write", str(path), "--rows", str(rows))
                bytes_on_disk[path.name] = path.stat().st_size
                peaks[suffix][str(rows)] = int(call("--read", str(path)))
    return {
        "command": "python benchmarks/large_rows.py --out benchmarks/results/large_rows.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": processor(),
        "python": platform.python_version(),
        "row_chars": CHARS,
        "file_bytes": bytes_on_disk,
        "peak_mib": peaks,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--write", type=Path, help="write so many rows there")
    parser.add_argument("--read", type=Path, help="curate that file here, and print the peak")
    options = parser.parse_args()
    if options.write:
        write(options.write, options.rows)
    elif options.read:
        sys.stdout.write(f"{peak(options.read)}\n")
    else:
        text = json.dumps(measure(), indent=2) + "\n"
        sys.stdout.write(text)
        if options.out:
            options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
