"""Run the benchmarks, and say which of their gates (gates.yaml) they miss.

    SIFTLINE_DATA=... python benchmarks/gates.py [NAME ...] [--committed]

With `--committed` nothing is run: the committed results are held against the gates. Ends with 1
when something fell short. What needs a GPU (device_check.sh) is run by hand; its committed results,
one for each device, are held here always.
"""

import argparse
import json
import operator
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
KINDS: dict[str, Callable[[Any, Any], bool]] = {
    "exactly": operator.eq,
    "at_least": operator.ge,
    "at_most": operator.le,
}


def value_at(result: dict[str, Any], path: str) -> Any:
    """Return what a path such as `responses.rows` leads to; None where it leads nowhere."""
    found: Any = result
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def check(result: dict[str, Any], gates: dict[str, Any]) -> Iterator[tuple[bool, str]]:
    """Yield, for each gate, whether it holds, and a line that says so."""
    for kind, holds in KINDS.items():
        for path, wanted in gates.get(kind, {}).items():
            found = value_at(result, path)
            passed = found is not None and holds(found, wanted)
            words = kind.replace("_", " ")
            yield passed, f"{'ok   ' if passed else 'SHORT'} {path}: {found}, {words} {wanted}"


def run(script: str, arguments: list[str]) -> dict[str, Any]:
    """Run a benchmark and return its result."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, str(HERE / f"{script}.py"), *arguments, "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--committed", action="store_true")
    options = parser.parse_args()
    gates = yaml.safe_load((HERE / "gates.yaml").read_text(encoding="utf-8"))
    if unknown := sorted(set(options.names) - set(gates)):
        sys.exit(f"There is no benchmark {unknown}; expected some of {sorted(gates)}.")
    short = 0
    for name in options.names or gates:
        committed = gates[name].get("committed")
        if options.committed or committed:
            paths = sorted((HERE / "results").glob(committed or f"{name}.json"))
            results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
            if not results:
                short += 1
                sys.stdout.write(f"{name}: SHORT there is no committed result\n")
        else:
            script = gates[name].get("script", name)
            results = {name: run(script, gates[name]["arguments"])}
        for label, result in results.items():
            for passed, line in check(result, gates[name]):
                short += not passed
                sys.stdout.write(f"{label}: {line}\n")
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
