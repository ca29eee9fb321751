"""Find what is wrong with the structure of conversations, and drop what the recipe says.

Calls of tools are held to the tools that are offered and to the schemas of their arguments, results
to their calls, and marks that stand in pairs to each other (:mod:`siftline.scorers.structure`).
A fault is a fact; whether a row with it is of use depends on the trainer and on what is trained.
So every fault is reported by default, as the reason of a row that is kept, and dropped on request.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method, verdicts
from siftline.contracts.scorer import Scorer
from siftline.scorers.structure import FAULTS, StructureFaults

Action = Literal["report", "drop"]
_SHOWN = 3  # rows of each fault in the report, of those that are kept


class Structure(Method):
    """Reports examples whose structure is at fault, or drops them.

    Each fault is `report` or `drop`. The reason of a row is its first fault in this order that
    drops it, or else its first one, or `kept`: `unknown_tool`, `no_tools_offered`,
    `arguments_not_json`, `arguments_break_schema`, `schema_invalid`, `result_without_call`,
    `call_without_result`, `empty_turn`, `broken_thought`, `unopened_thought`,
    `thought_without_answer`, `open_code_fence`.

    Attributes:
        unknown_tool: A call of a tool that the row does not offer.
        no_tools_offered: A call in a row that offers none. The tools may stand in its system turn.
        arguments_not_json: Arguments that are no JSON object.
        arguments_break_schema: Arguments that the tool's JSON schema does not allow.
        schema_invalid: A call whose arguments cannot be checked: the tool's schema is none, points
            outside of itself, or cannot be followed to its end.
        result_without_call: A result that no call before it asks for.
        call_without_result: A call in the middle that no later turn answers.
        empty_turn: A turn without text, thought, call or image; a tool may answer nothing.
        broken_thought: A thought of the assistant that is not closed, or closed or opened twice.
        unopened_thought: A thought that only closes. It is right for models whose prompt ends in
            the opening mark, and wrong for others.
        thought_without_answer: A turn of the assistant that thinks and then neither says nor calls
            anything, as where a model reached its limit of tokens.
        open_code_fence: A code block of the assistant that is not closed; thoughts do not count.
    """

    revision: ClassVar[int] = 2

    kind: Literal["structure"] = "structure"
    unknown_tool: Action = "report"
    no_tools_offered: Action = "report"
    arguments_not_json: Action = "report"
    arguments_break_schema: Action = "report"
    schema_invalid: Action = "report"
    result_without_call: Action = "report"
    call_without_result: Action = "report"
    empty_turn: Action = "report"
    broken_thought: Action = "report"
    unopened_thought: Action = "report"
    thought_without_answer: Action = "report"
    open_code_fence: Action = "report"

    def scorers(self) -> tuple[Scorer, ...]:
        """Return the faults of each row."""
        return (StructureFaults(),)

    def decide(self, corpus: Corpus) -> pa.Table:
        """Give each row its first fault as its reason, those that drop it before others."""
        reasons = np.full(len(corpus), "kept", dtype=object)
        keep = np.ones(len(corpus), dtype=bool)
        for action in ("report", "drop"):
            for slug in reversed([slug for slug in FAULTS if getattr(self, slug) == action]):
                fails = _has(corpus, slug)
                reasons[fails] = slug
                keep[fails] = action == "report"
        return verdicts(corpus, keep, reasons)

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count the rows of each fault; a row may have several."""
        faults = {slug: found for slug in FAULTS if (found := _has(corpus, slug)).any()}
        faulty = np.logical_or.reduce([np.zeros(len(corpus), dtype=bool), *faults.values()])
        return {
            "rows_with_a_fault": int(faulty.sum()),
            "rows_by_fault": {slug: int(found.sum()) for slug, found in faults.items()},
            "warnings": self._warnings(faults, decided["keep"].to_numpy()),
        }

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Name a few rows of each fault that is reported, the smallest ids."""
        kept = decided.filter(pc.and_(decided["keep"], pc.not_equal(decided["reason"], "kept")))
        shown: dict[str, list[str]] = {}
        for row in kept.sort_by("id").select(["reason", "id"]).to_pylist():
            ids = shown.setdefault(row["reason"], [])
            ids += [row["id"]] if len(ids) < _SHOWN else []
        return {"reported": shown} if shown else {}

    def _warnings(
        self, faults: Mapping[str, npt.NDArray[np.bool_]], keep: npt.NDArray[np.bool_]
    ) -> list[str]:
        """Say which faults the rows have that are kept, and what would drop them."""
        kept = {slug: int((found & keep).sum()) for slug, found in faults.items()}
        counts = {slug: count for slug, count in kept.items() if count}
        if not counts:
            return []
        rows = int(np.logical_or.reduce([faults[slug] & keep for slug in counts]).sum())
        listed = ", ".join(f"{slug} {count:,}" for slug, count in counts.items())
        first = max(counts, key=lambda slug: counts[slug])
        return [
            f"{rows:,} of {len(keep):,} rows have a fault and are kept: {listed}. The columns "
            f"structure.* of decisions.parquet say where; '{first}: drop' leaves such rows out."
        ]


def _has(corpus: Corpus, slug: str) -> npt.NDArray[np.bool_]:
    """Return [rows] true for those that have a fault."""
    found: npt.NDArray[np.bool_] = pc.is_valid(corpus.column(f"structure.{slug}")).to_numpy(
        zero_copy_only=False
    )
    return found
