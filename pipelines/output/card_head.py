"""The head of the dataset card: what the Hub and `datasets` read of it."""

from collections.abc import Sequence
from typing import Any

import yaml

from siftline.contracts.names import NOT_STATED
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.manifest import Summary
from siftline.pipelines.output.dataset import DATA
from siftline.pipelines.output.formats.known import LINES
from siftline.pipelines.output.licences import card_licence

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
)
_LARGEST = "n>1B"
_WORTH_TELLING = 0.01  # share of the rows, below which the card does not name a language


def card_head(summary: Summary, inputs: Sequence[Input]) -> str:
    """Return the head as YAML, without the lines around it.

    Args:
        summary: Of the run, with what was exported.
        inputs: Of its recipe.
    """
    used = [item for item in inputs if rows_of_source(summary, item.source)] or list(inputs)
    languages = sorted({code for item in used for code in item.language} | _told(summary))
    head: dict[str, Any] = {
        "pretty_name": summary.recipe,
        **card_licence(item.license for item in used),
        **({"language": languages} if languages else {}),
        "task_categories": ["text-generation"],
        "size_categories": [_size(summary.export.rows)],
        "tags": ["siftline", "instruction-tuning"],
        "configs": [
            {
                "config_name": "default",
                # The cache of `datasets` tells folders of one name apart by this, not by their
                # files: without it, it gives the rows of an earlier version for those of a later.
                "description": f"{summary.recipe} {summary.version} {summary.export.digest}",
                "data_files": [
                    {"split": name, "path": _path(name, summary.export.format)}
                    for name in summary.export.splits
                ],
            }
        ],
    }
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip()


def _told(summary: Summary) -> set[str]:
    """Return the languages of a share of the rows that is worth telling, if a stage has told them.

    A few rows in a hundred thousand are in a language by mistake.
    """
    told = {code: n for code, n in summary.export.languages.items() if code != NOT_STATED}
    return {code for code, n in told.items() if n >= _WORTH_TELLING * sum(told.values())}


def rows_of_source(summary: Summary, source: str) -> int:
    """Return how many rows of a source were curated, each counted once."""
    if summary.stages:
        last = summary.stages[-1].sources.get(source)
        return last.kept if last else 0
    return summary.ingest.summary.sources[source].examples


def _path(split: str, name: str) -> str:
    return f"{DATA}/{split}.jsonl" if name in LINES else f"{DATA}/{split}-*.parquet"


def _size(rows: int) -> str:
    return next((name for limit, name in _SIZES if rows < limit), _LARGEST)
