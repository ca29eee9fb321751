"""What a stage counts of its rows: statuses of their scores, reasons of their verdicts, sources."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Request
from siftline.pipelines.manifest import SourceCount


def count_statuses(corpus: Corpus, requests: Iterable[Request]) -> dict[str, dict[str, int]]:
    """Count the rows that were asked for by their status, in each score table that has statuses."""
    counts = {}
    for request in requests:
        table = corpus.tables[request.scorer.table]
        if "status" in table.column_names and request.rows.any():
            asked = table["status"].filter(pa.array(request.rows))
            counts[request.scorer.table] = count_values(asked)
    return counts


def count_values(column: Any) -> dict[str, int]:
    """Count the values of a text column, most frequent first."""
    counted = pc.value_counts(column)
    values = zip(
        counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
    )
    return dict(sorted(values, key=lambda item: (-item[1], item[0])))


def count_sources(corpus: Corpus, verdicts: pa.Table) -> dict[str, SourceCount]:
    """Count the rows of each source by verdict and reason, the sources by name."""
    judged = pa.table(
        {"source": corpus.rows["source"], "keep": verdicts["keep"], "reason": verdicts["reason"]}
    )
    counted = judged.group_by(["source", "keep", "reason"]).aggregate([([], "count_all")])
    reasons: dict[str, dict[bool, dict[str, int]]] = {}
    for row in sorted(counted.to_pylist(), key=lambda row: (-row["count_all"], row["reason"])):
        of_source = reasons.setdefault(row["source"], {True: {}, False: {}})
        of_source[row["keep"]][row["reason"]] = row["count_all"]
    return {
        source: SourceCount(
            rows=sum(found[True].values()) + sum(found[False].values()),
            kept=sum(found[True].values()),
            reasons_kept=found[True],
            reasons_dropped=found[False],
        )
        for source, found in sorted(reasons.items())
    }
