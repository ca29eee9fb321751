"""What a stage has found of benchmarks: each find with both texts, and what they share marked."""

from typing import Any

import pyarrow.compute as pc

from siftline.pipelines.record import StageRecord
from siftline.reports.shared_passages import shared_passages

SHOWN = 500  # finds on the page; all of them are in the table of decisions
_PARAPHRASE_WORDS = 2  # in a row that are marked where both texts have them, in a paraphrase


def finds_of(stage: StageRecord) -> dict[str, Any]:
    """Return the finds of a stage as its page shows them; nothing for stages that look for none.

    Args:
        stage: What it has left. Its picture `finds` names a sample that is to be read.

    Returns:
        `sample` and `others`, lists of finds, and the number of all, `count`.
    """
    wanted = stage.manifest.pictures.get("finds")
    if not wanted:
        return {}
    found = stage.verdicts.append_column("place", [range(len(stage.verdicts))])
    found = found.filter(pc.is_valid(found["match"])).sort_by("id")
    rows = {row["id"]: row for row in found.to_pylist()}
    rest = [row_id for row_id in rows if row_id not in wanted["sample"]]
    others = rest[: max(0, SHOWN - len(wanted["sample"]))]
    n = wanted["ngram_words"]
    return {
        "count": len(rows),
        "sample": [_find(stage, rows[row_id], n) for row_id in wanted["sample"]],
        "others": [_find(stage, rows[row_id], n) for row_id in others],
    }


def _find(stage: StageRecord, row: dict[str, Any], n: int) -> dict[str, Any]:
    """Return a find with the benchmark's text and the row's passage, cut into segments."""
    template = row["reason"] == "same_template"
    paraphrase = row["reason"] == "contaminated_paraphrase"
    kind = "contamination.template_" if template else "contamination."
    kind = "benchmark_paraphrase." if paraphrase else kind
    texts = [
        stage.scores[f"{kind}{name}"][row["place"]].as_py() or "" for name in ("text", "passage")
    ]
    alike = {
        "contaminated_options": 1,
        "contaminated_paraphrase": _PARAPHRASE_WORDS,
    }.get(row["reason"], n)
    text, passage = shared_passages(texts[0], texts[1], alike, template=template)
    return {
        "id": row["id"],
        "match": row["match"],
        "reason": row["reason"],
        "verdict": "kept" if row["keep"] else "dropped",
        "measure": "cosine" if paraphrase else "share",
        "share": row["similarity"],
        "text": text,
        "passage": passage,
    }
