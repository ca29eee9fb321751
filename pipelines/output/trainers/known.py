"""What each trainer is to be told about a dataset: files beside the data, and a line of the card.

The settings put the loss on the turns of the model and on nothing else; `docs/trainers.md` has what
was checked. Names that stand in a file are those of splits, files and the recipe, whose characters
are restricted; they are quoted all the same.
"""

from collections.abc import Callable, Mapping

from siftline.pipelines.manifest import Summary
from siftline.pipelines.output.trainers.axolotl import axolotl
from siftline.pipelines.output.trainers.guide import Guide
from siftline.pipelines.output.trainers.llamafactory import llamafactory
from siftline.pipelines.output.trainers.ms_swift import ms_swift
from siftline.pipelines.output.trainers.trl import trl

TRAINERS: Mapping[str, Callable[[Summary], Guide]] = {
    "TRL": trl,
    "axolotl": axolotl,
    "LLaMA-Factory": llamafactory,
    "ms-swift": ms_swift,
}


def guides(summary: Summary) -> dict[str, Guide]:
    """Return what each trainer is to be told.

    Args:
        summary: Of the run, with what was exported.
    """
    if not summary.export.rows:
        return {}
    return {name: guide(summary) for name, guide in TRAINERS.items()}
