"""What the report says of personal data: rows and finds of each kind, and what became of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.scorers.personal.finding import find_all, with_signs
from siftline.scorers.personal.finds import Options
from siftline.scorers.personal.spans import counts_of


def figures(
    corpus: Corpus,
    decided: pa.Table,
    columns: Mapping[str, Sequence[pa.Array]],
    actions: Mapping[str, str],
    options: Options,
) -> dict[str, Any]:
    """Return rows and finds by kind and source, rows by action, and what to know of them.

    Args:
        corpus: The rows.
        decided: Their verdicts.
        columns: By kind, columns of places of personal data.
        actions: By kind.
        options: What counts.
    """
    sources = np.array(corpus.rows["source"].to_pylist(), dtype=object)
    finds = {
        kind: np.sum([counts_of(each) for each in found], axis=0) for kind, found in columns.items()
    }
    rows = {kind: counts > 0 for kind, counts in finds.items()}
    keep = decided["keep"].to_numpy()
    by_action = {
        action: np.logical_or.reduce(
            [np.zeros(len(corpus), dtype=bool)]
            + [rows[kind] for kind, each in actions.items() if each == action]
        )
        for action in ("drop", "mask", "flag")
    }
    flagged = {kind: int((rows[kind] & keep).sum()) for kind in rows if actions[kind] == "flag"}
    return {
        "rows_dropped": int((~keep).sum()),
        "rows_masked": int((by_action["mask"] & keep).sum()),
        "rows_flagged": int((by_action["flag"] & keep).sum()),
        "rows_by_kind": {kind: int(found.sum()) for kind, found in rows.items() if found.any()},
        "finds_by_kind": {kind: int(n.sum()) for kind, n in finds.items() if n.any()},
        "rows_by_source": {
            str(source): {
                kind: int(found[sources == source].sum())
                for kind, found in rows.items()
                if found[sources == source].any()
            }
            for source in sorted(set(sources), key=str)
        },
        "warnings": [*_warnings(flagged), *_warnings_of_ids(corpus, options)],
    }


def _warnings(flagged: Mapping[str, int]) -> list[str]:
    """Say what is kept as it is."""
    counts = {kind: rows for kind, rows in flagged.items() if rows}
    if not counts:
        return []
    listed = ", ".join(f"{kind} {rows:,}" for kind, rows in counts.items())
    first = max(counts, key=lambda kind: counts[kind])
    return [
        f"Rows with personal data are kept as they are: {listed}. The columns personal_*.* of "
        f"decisions.parquet say where; '{first}: mask' replaces it."
    ]


def _warnings_of_ids(corpus: Corpus, options: Options) -> list[str]:
    """Say how many ids hold personal data, which no stage can change."""
    ids = corpus.rows["id"]
    signs = ids.filter(with_signs(ids)).to_pylist()
    count = sum(bool(find_all(each, "", options)) for each in signs)
    if not count:
        return []
    return [
        f"The ids of {count:,} rows hold personal data. They are never masked, and stand in every "
        "file of the run and in the dataset: give these rows other ids before ingestion."
    ]
