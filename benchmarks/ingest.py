"""Ingest five public sources in one go, and conversations with tools; watch the memory.

    SIFTLINE_DATA=folder python benchmarks/ingest.py --out benchmarks/results/ingest.json

Beside it the same files go through `json.loads`, the least that any reader does: arrays whole,
lines one by one. Seconds are the processor's. The conversations with tools are made here: two
calls, their results, and the tools on offer.
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
PLAIN_ROWS = (100_000, 400_000)
TOOL_ROWS = 100_000
PEAK = """
import sys
import time
from pathlib import Path
sys.path.insert(0, {here!r})
from ingest import run
def peak():  # of this program; getrusage would count the one that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("VmHWM"))
before = peak()
started = time.process_time()
run([Path(sys.argv[1])], Path(sys.argv[2]))
print(before, peak(), time.process_time() - started)
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
    started = time.process_time()
    for path in files:
        text = path.read_text(encoding="utf-8")
        pieces = [text] if path.suffix == ".json" else text.splitlines()
        for piece in pieces:
            json.loads(piece)
    return time.process_time() - started


def in_a_process(path: Path, rows: int) -> dict[str, float]:
    """Ingest a file in a process of its own, and return its memory before and at the peak."""
    out = path.with_suffix(f".{rows}.out")
    out.mkdir()
    script = PEAK.format(here=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, str(path), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, peak, seconds = done.stdout.split()
    return {
        "rows": rows,
        "file_mb": round(path.stat().st_size / 1e6, 1),
        "seconds": round(float(seconds), 2),
        "before_mib": int(before) // 1024,
        "peak_mib": int(peak) // 1024,
    }


def growth(rows: int, folder: Path) -> dict[str, float]:
    """Ingest a made array of so many rows."""
    path = folder / f"{rows}.json"
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = {"instruction": f"Count to {number}. " + "x" * 300, "output": "one, two " * 60}
            file.write(("[" if number == 0 else ",\n") + json.dumps(row))
        file.write("]")
    return in_a_process(path, rows)


def tool_conversation(number: int) -> dict[str, Any]:
    """Return a conversation that calls two tools and answers."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}, "day": {}}}
    tools = [
        {"type": "function", "function": {"name": name, "parameters": parameters}}
        for name in ("weather", "trains")
    ]
    place = f"Town {number % 977}"
    asked = json.dumps({"city": place, "day": None})
    calls = [
        {
            "id": f"call_{number}_{name}",
            "type": "function",
            "function": {"name": name, "arguments": asked},
        }
        for name in ("weather", "trains")
    ]
    said = json.dumps({"degrees": number % 31})
    results = [{"role": "tool", "tool_call_id": call["id"], "content": said} for call in calls]
    return {
        "id": f"row-{number}",
        "tools": tools,
        "messages": [
            {"role": "system", "content": "You plan days out, and look up what you do not know."},
            {"role": "user", "content": f"Is {place} worth a visit on day {number}? " * 4},
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "The weather and the trains decide. " * 4,
                "tool_calls": calls,
            },
            *results,
            {"role": "assistant", "content": f"Yes: it is warm in {place}, and trains go. " * 6},
        ],
    }


def plain_lines(rows: int, folder: Path) -> dict[str, float]:
    """Ingest made rows of one prompt and one response, as JSON lines, which go in columns."""
    path = folder / "plain.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = {"instruction": f"Count to {number}.", "input": "", "output": "one, two " * 30}
            file.write(json.dumps(row) + "\n")
    return beside_json_loads(path, rows)


def with_tools(rows: int, folder: Path) -> dict[str, float]:
    """Ingest made conversations with tools, as JSON lines."""
    path = folder / "tools.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(json.dumps(tool_conversation(number)) + "\n")
    return beside_json_loads(path, rows)


def beside_json_loads(path: Path, rows: int) -> dict[str, float]:
    """Ingest a file in a process of its own, and compare its time with that of `json.loads`."""
    figures = in_a_process(path, rows)
    whole = min(whole_file_seconds([path]) for _ in range(3))
    return {
        **figures,
        "microseconds_a_row": round(1e6 * figures["seconds"] / rows, 1),
        "times_json_loads": round(figures["seconds"] / whole, 1),
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
            started = time.process_time()
            summary = run(files, folder)
            seconds.append(time.process_time() - started)
            whole.append(whole_file_seconds(files))
        memory = [growth(rows, Path(temporary)) for rows in GROWTH]
        plain = [plain_lines(rows, Path(temporary)) for rows in PLAIN_ROWS]
        tools = with_tools(TOOL_ROWS, Path(temporary))
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
        "microseconds_a_row": round(1e6 * min(seconds) / rows, 1),
        "memory": memory,
        "plain_lines": plain,
        "tool_conversations": tools,
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
