"""What one trainer is to be told, and what of a dataset decides it."""

from collections.abc import Mapping
from typing import NamedTuple

from siftline.pipelines.manifest import ExportManifest

FOLDER = "trainers"  # of the files, beside the data


class Guide(NamedTuple):
    """What one trainer is to be told.

    Attributes:
        note: A sentence or two of the card: how to start it, or what is in the way.
        files: Their text, by their path in the folder of the dataset.
    """

    note: str
    files: Mapping[str, str] = {}


def has_reasoning_field(export: ExportManifest) -> bool:
    """Return whether thoughts stand in a field of their own."""
    return export.format in ("messages", "openai") and "reasoning" in export.turn_fields


def has_weights(export: ExportManifest) -> bool:
    """Return whether some turn says whether it is to be trained on."""
    return "weight" in export.turn_fields


def files_of(export: ExportManifest, split: str) -> list[str]:
    """Return the paths of a split's files."""
    return [path for path in export.files if path.startswith((f"data/{split}-", f"data/{split}."))]


def one_each(export: ExportManifest, name: str, suffix: str) -> dict[str, str]:
    """Return the path of a file for each split: `name.yaml` for a single one.

    Args:
        export: What was written.
        name: Of the trainer.
        suffix: Of the file, with its dot.
    """
    if len(export.splits) == 1:
        return {split: f"{FOLDER}/{name}{suffix}" for split in export.splits}
    return {split: f"{FOLDER}/{name}-{split}{suffix}" for split in export.splits}
