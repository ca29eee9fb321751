#!/usr/bin/env bash
# Everything that only a GPU can tell, in under five minutes on one, without a network: the tests
# marked `gpu`, likelihood, generation, training, trajectories, a whole run, and rows up to 30,000
# tokens. It prints one table and writes benchmarks/results/device_<name>.json. It needs the `models`
# extra (but not openai) and pytest; PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
export SIFTLINE_CACHE="${SIFTLINE_CACHE:-$PWD/.cache/siftline}"
exec "${PYTHON:-python3}" benchmarks/device_check.py "$@"
