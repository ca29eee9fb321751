"""All that only a GPU can tell, in one table: is it right, how fast is it, what is short.

    benchmarks/device_check.sh [PART ...]

Each part is a command of its own, so that it has the whole memory and its failure is one line.
What it found goes to `results/device_<name>.json`; `gates.yaml` holds it to ratios.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gates
import torch
import transformers
import yaml

HERE = Path(__file__).parent
# Seconds of one part; what takes longer hangs.
LIMIT = 150
PARTS: dict[str, list[str]] = {
    "tests": [],
    "likelihood": ["likelihood_cuda.py", "--rounds", "1"],
    "generation": ["generation.py", "--device", "cuda", "--shape", "smollm2"],
    "generation_8B": ["generation.py", "--device", "cuda", "--shape", "8B"],
    "training": ["training.py", "--device", "cuda", "--synthetic"],
    "trajectories": ["device_parts.py", "trajectories"],
    "curation": ["device_parts.py", "curation"],
    "long_rows": ["device_parts.py", "long_rows"],
}


def tests() -> dict[str, Any]:
    """Run the tests that need a GPU; files without any may need packages that are not there."""
    files = [
        str(path)
        for path in sorted((HERE.parent / "tests").glob("test_*.py"))
        if "mark.gpu" in path.read_text(encoding="utf-8")
    ]
    quiet = ["-W", "ignore"]  # the versions there may warn of one another
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *quiet]
    if find_spec("xdist"):
        command += ["-n", "4"]
    command += files
    done = subprocess.run(
        command, cwd=HERE.parent, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    sys.stdout.write(done.stdout[-3000:])
    last = (done.stdout.strip().splitlines() or [""])[-1]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last)}
    names = ("passed", "failed", "error", "errors", "skipped")
    return {name: counts[name] for name in names if name in counts}


def part(name: str, folder: Path) -> dict[str, Any]:
    """Run one part and return what it found, or its error."""
    started = time.perf_counter()
    out = folder / f"{name}.json"
    try:
        if name == "tests":
            found = tests()
        else:
            script, *arguments = PARTS[name]
            command = [sys.executable, str(HERE / script), *arguments, "--out", str(out)]
            subprocess.run(command, check=True, timeout=LIMIT, capture_output=True, text=True)
            found = json.loads(out.read_text(encoding="utf-8"))
    except subprocess.CalledProcessError as error:
        found = {"error": (error.stdout + error.stderr)[-1500:]}
    except (OSError, subprocess.SubprocessError) as error:
        found = {"error": str(error)}
    return {**found, "check_seconds": round(time.perf_counter() - started, 1)}


def table(result: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return one line for each gate of the parts that ran."""
    ran = {
        kind: {path: bound for path, bound in wanted.get(kind, {}).items() if _part(path) in result}
        for kind in gates.KINDS
    }
    return "".join(f"{line}\n" for _, line in gates.check(result, ran))


def _part(path: str) -> str:
    return path.split(".")[0]


def main() -> None:
    """Run the parts, print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(PARTS)):
        sys.exit(f"There is no part {unknown}; expected some of {list(PARTS)}.")
    if not torch.cuda.is_available():
        sys.exit("No CUDA device is visible; the device check needs one.")
    device = torch.cuda.get_device_name()
    result: dict[str, Any] = {
        "command": " ".join(["benchmarks/device_check.sh", *options.parts]),
        "date": time.strftime("%Y-%m-%d"),
        "device": device,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    label = re.sub(r"[^a-z0-9]+", "_", device.lower()).strip("_")
    path = options.results / f"device_{label}.json"
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts or PARTS:
            result[name] = part(name, Path(folder))
            sys.stdout.write(f"{name}: {json.dumps(result[name])}\n")
            sys.stdout.flush()
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    wanted = yaml.safe_load((HERE / "gates.yaml").read_text(encoding="utf-8"))["device_check"]
    sys.stdout.write(f"\n{device}\n{table(result, wanted)}{path}\n")


if __name__ == "__main__":
    main()
