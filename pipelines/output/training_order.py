"""`training_order.json`: which split comes first, how large each is, what two have in common."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus
from siftline.pipelines.output.splits import Split

TRAINING_ORDER = "training_order.json"

_COLUMNS = {
    "response_chars": "statistics.response_chars",
    "response_tokens": "token_counts.response_tokens",
}
_NOTE = (
    "Train on the splits in this order, each from the last checkpoint of the one before. Optimizer "
    "and learning rate schedule start anew with each split."
)


def training_order(
    corpus: Corpus, splits: list[Split], files: dict[str, list[str]]
) -> dict[str, Any]:
    """Return what stands in the file.

    Args:
        corpus: What every stage has kept.
        splits: In the order in which they are to be used.
        files: The names of each split's files.
    """
    described = [
        {"name": each.name, "files": files[each.name], **_sizes(corpus, each)} for each in splits
    ]
    if len(splits) == 1:
        return {"splits": described, "note": "The other split has no rows."}
    common = np.intersect1d(splits[0].rows, splits[1].rows)
    return {
        "splits": described,
        "overlap": {
            "ids": len(common),
            **{f"share_of_{each.name}": _share(common, each) for each in splits},
            "listed": "decisions.parquet: kept rows with both splits.stage1 and splits.stage2",
        },
        "note": _NOTE,
    }


def _sizes(corpus: Corpus, split: Split) -> dict[str, int]:
    """Return rows, and characters and tokens of responses where stages have counted them."""
    rows = pa.array(split.rows)
    sums = {
        name: pc.sum(corpus.column(column).take(rows)).as_py() or 0
        for name, column in _COLUMNS.items()
        if column in corpus.score_columns
    }
    return {"rows": len(split.rows), **sums}


def _share(common: Any, split: Split) -> float:
    """Return the share of a split's rows that are in another one too."""
    inside = np.isin(split.rows, common)
    return round(float(inside.mean()), 6) if len(inside) else 0.0
