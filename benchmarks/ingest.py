"""Ingest five public sources in one go, and see that memory does not grow with a file.

    SIFTLINE_DATA=folder python benchmarks/ingest.py --out benchmarks/results/ingest.json

Beside it the same files go through `json.loads` on whole files, the least that any reader does.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from siftline.pipelines.ingestion.ingest import IngestSummary, ingest
from siftline.pipelines.ingestion.inputs import Input

SOURCES = (
    "alpaca_random_9k.json",
    "dolly_3k.json",
    "gsm8k_train.jsonl",
    "gpteacher_codegen.json",
    "gpteacher_roleplay.json",
)
GROWTH = (20_000, 200_000)  # rows of the arrays whose memory is compared
PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from ingest import run
def peak():  # of this program; getrusage would count the one that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("VmHWM"))
before = peak()
run([Path(sys.argv[1])], Path(sys.argv[2]))
print(before, peak())
"""


def run(files: list[Path], folder: Path) -> IngestSummary:
    """Ingest files, each as a source of its own."""
    return ingest(
        [Input(path=str(path)) for path in files],
        folder,
        folder,
        max_bad_rows=0.05,
        max_row_bytes=1 << 20,
        shard_rows=4096,
    )


def whole_file_seconds(files: list[Path]) -> float:
    """Parse each file in one piece and keep nothing."""
    started = time.perf_counter()
    for path in files:
        text = path.read_text(encoding="utf-8")
        pieces = [text] if path.suffix == ".json" else text.splitlines()
        for piece in pieces:
            json.loads(piece)
    return time.perf_counter() - started


def peak_mebibytes(rows: int, folder: Path) -> dict[str, float]:
    """Return the memory of a process before and at the peak of ingesting a made array."""
    path = folder / f"{rows}.json"
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = {"instruction": f"Count to {number}. " + "x" * 300, "output": "one, two " * 60}
            file.write(("[" if number == 0 else ",\n") + json.dumps(row))
        file.write("]")
    out = folder / f"out-{rows}"
    out.mkdir()
    script = PEAK.format(here=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, str(path), str(out)]
    before, peak = subprocess.run(command, check=True, capture_output=True).stdout.split()
    megabytes = path.stat().st_size / 1e6
    return {
        "rows": rows,
        "file_mb": round(megabytes, 1),
        "before_mib": int(before) // 1024,
        "peak_mib": int(peak) // 1024,
    }


def processor() -> str:
    """Return the processor's name and number."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} x {names[0] if names else platform.processor()}"


def measure(data: Path) -> dict[str, Any]:
    """Return all figures."""
    files = [data / name for name in SOURCES]
    seconds, whole = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for turn in range(3):  # interleaved, since machines are noisy
            folder = Path(temporary) / str(turn)
            folder.mkdir()
            started = time.perf_counter()
            summary = run(files, folder)
            seconds.append(time.perf_counter() - started)
            whole.append(whole_file_seconds(files))
        growth = [peak_mebibytes(rows, Path(temporary)) for rows in GROWTH]
    sources = {}
    for name, source in summary.sources.items():
        quarantined = sum(source.quarantined.values())
        assert source.rows == source.examples + quarantined, name
        sources[name] = {
            "rows": source.rows,
            "examples": source.examples,
            "quarantined": quarantined,
        }
    rows = sum(source["rows"] for source in sources.values())
    return {
        "command": "python benchmarks/ingest.py --out benchmarks/results/ingest.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": processor(),
        "python": platform.python_version(),
        "sources": sources,
        "rows": rows,
        "seconds": [round(value, 2) for value in seconds],
        "rows_per_second": round(rows / min(seconds)),
        "times_json_loads": round(min(seconds) / min(whole), 1),
        "memory": growth,
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not (data := os.environ.get("SIFTLINE_DATA")):
        sys.exit("SIFTLINE_DATA is not set; expected the folder that holds " + ", ".join(SOURCES))
    figures = json.dumps(measure(Path(data)), indent=2)
    sys.stdout.write(figures + "\n")
    if arguments.out:
        arguments.out.write_text(figures + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
