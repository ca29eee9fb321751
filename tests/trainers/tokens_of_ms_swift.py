"""What ms-swift trains on, by the script that stands beside the data. The rows change their order.

The script runs with a `swift` that notes its arguments, and leaves the model as a checkpoint.
"""

import json
import os
import subprocess
import sys

from each_job import Job, Rows, answer, tokens_of

_NOTES = "MS_SWIFT_NOTES"
_SWIFT = """\
#!{python}
import json, os, pathlib, shutil, sys
given = sys.argv[2:]
with open(os.environ["{notes}"], "a") as notes:
    notes.write(json.dumps(given) + "\\n")
options = dict(zip(given, given[1:]))
shutil.copytree(options["--model"], pathlib.Path(options["--output_dir"], "checkpoint-3"))
"""
_HERE = [
    *("--torch_dtype", "float32"),
    *("--model_type", "qwen3", "--template", "qwen3"),  # the family, which a name would tell
    *("--load_from_cache_file", "false"),
    *("--report_to", "none"),
]


def rows_of(job: Job) -> dict[str, Rows]:
    from swift.arguments import SftArguments
    from swift.pipelines import SwiftSft
    from swift.utils import parse_args

    found = {}
    for given in _calls(job):
        os.chdir(job.dataset)
        arguments, rest = parse_args(SftArguments, [*given, *_HERE])
        assert not rest, rest
        made, _ = SwiftSft(arguments)._prepare_dataset()
        split = given[given.index("--output_dir") + 1].rpartition("/")[2]
        found[split] = tokens_of(made[n] for n in range(len(made)))
    return found


def _calls(job: Job) -> list[list[str]]:
    """Return the arguments of each call of `swift sft` in the script."""
    folder, notes = job.scratch / "bin", job.scratch / "notes.jsonl"
    folder.mkdir()
    swift = folder / "swift"
    swift.write_text(_SWIFT.format(python=sys.executable, notes=_NOTES), encoding="utf-8")
    swift.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", str(job.guides / "ms-swift.sh"), str(job.model)],
        env={**os.environ, "PATH": path, _NOTES: str(notes)},
        check=True,
    )
    return [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    answer(rows_of)
