#!/usr/bin/env bash
# Make an environment of its own for each trainer that is named, in .cache/trainers/NAME.
# Without a name: for all of them. An environment that is there in the same version is kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
uv() { "$python" -m uv "$@"; }

# pip knows where wheels of this machine lie; uv reads a variable of its own.
export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}

names=("$@")
[ $# -gt 0 ] || names=(trl llamafactory axolotl ms_swift)
for name in "${names[@]}"; do
    wanted=$here/$name.txt
    folder=$root/.cache/trainers/$name
    if cmp --silent "$wanted" "$folder/installed.txt"; then
        continue
    fi
    rm -rf "$folder"
    uv venv --quiet --python "$python" "$folder"
    uv pip install --quiet --python "$folder" --override "$here/overrides.txt" -r "$wanted"
    cp "$wanted" "$folder/installed.txt"
done
