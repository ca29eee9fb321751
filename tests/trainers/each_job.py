"""What the scripts that ask a trainer have in common: `SCRIPT JOBS RESULTS`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Rows = list[dict[str, list[int]]]


class Job(NamedTuple):
    """Something to be trained on.

    Attributes:
        dataset: The folder that siftline has written.
        model: The folder of the model.
        scratch: A folder to write into.
    """

    dataset: Path
    model: Path
    scratch: Path

    @property
    def guides(self) -> Path:
        """Return the folder of what siftline has written for the trainers."""
        return self.dataset / "trainers"


def answer(rows_of: Callable[[Job], dict[str, Rows]]) -> None:
    """Ask a trainer for the tokens and labels of every job.

    Args:
        rows_of: Returns by split the `input_ids` and `labels` of each row.
    """
    jobs, results = map(Path, sys.argv[1:])
    found = {}
    for name, job in json.loads(jobs.read_text(encoding="utf-8")).items():
        scratch = results.parent / f"scratch-{name}"
        scratch.mkdir()
        found[name] = rows_of(Job(Path(job["dataset"]), Path(job["model"]), scratch))
    results.write_text(json.dumps(found), encoding="utf-8")


def tokens_of(rows: Any) -> Rows:
    """Return the tokens and labels of rows that hold more than these."""
    return [{name: list(row[name]) for name in ("input_ids", "labels")} for row in rows]


def split_of(path: Path) -> str:
    """Return the split that a file `NAME-SPLIT.yaml` is about, or `train` for `NAME.yaml`."""
    return path.stem.partition("-")[2] or "train"
