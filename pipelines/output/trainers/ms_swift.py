"""ms-swift: a script that trains on each split in its order."""

import shlex

from siftline.pipelines.manifest import ExportManifest, Summary
from siftline.pipelines.output.trainers.guide import FOLDER, Guide, files_of, has_reasoning_field

_PATH = f"{FOLDER}/ms-swift.sh"
_HEAD = f"""\
#!/bin/sh
# Train on this dataset with ms-swift: sh {_PATH} MODEL
set -eu
cd "$(dirname "$0")/.."
model="$1"
"""
_SPLIT = """\
swift sft --model "$model" --tuner_type full --add_version false --max_length 8192 \\
    --output_dir tuned/{split} --dataset {files}
"""
_NEXT = 'model="$(ls -d tuned/{split}/checkpoint-* | sort -V | tail -n 1)"\n'
_INLINE = "ms-swift drops `reasoning_content`. Export with `--reasoning inline`."


def ms_swift(summary: Summary) -> Guide:
    """Return what ms-swift is to be told."""
    export = summary.export
    if export.format != "messages":
        return Guide("Export the format `messages`.")
    if has_reasoning_field(export):
        return Guide(_INLINE)
    note = f"`sh {_PATH} MODEL`. It joins turns of the model that follow one another."
    return Guide(note, {_PATH: _script(export)})


def _script(export: ExportManifest) -> str:
    script = _HEAD
    for number, split in enumerate(export.splits):
        if number:
            script += _NEXT.format(split=list(export.splits)[number - 1])
        files = " ".join(shlex.quote(path) for path in files_of(export, split))
        script += _SPLIT.format(split=split, files=files)
    return script
