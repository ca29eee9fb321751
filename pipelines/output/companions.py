"""What stands beside the data: the card, and what the trainers want to be told."""

import json
from collections.abc import Sequence
from pathlib import Path

from siftline.contracts.records import write_text
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.manifest import Summary
from siftline.pipelines.output.card import dataset_card
from siftline.pipelines.output.trainers.known import guides
from siftline.pipelines.output.training_order import TRAINING_ORDER


def complete(folder: Path, summary: Summary, inputs: Sequence[Input]) -> None:
    """Write what stands beside the data of a dataset.

    Args:
        folder: Of the dataset.
        summary: Of the run, with what was exported.
        inputs: Of its recipe.
    """
    path = folder / TRAINING_ORDER
    order = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    for guide in guides(summary).values():
        for name, text in guide.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            write_text(folder / name, text)
    write_text(folder / "README.md", dataset_card(summary, inputs, order))
