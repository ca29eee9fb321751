"""Find what is wrong with the structure of conversations, and drop what the recipe says.

Calls of tools are held to the tools that are offered and to the schemas of their arguments, results
to their calls, and marks that stand in pairs to each other (:mod:`siftline.scorers.structure`).
A fault is a fact; whether a row with it is of use depends on the trainer and on what is trained.
So every fault is reported by default, as the reason of a row that is kept, and dropped on request.
"""

from typing import Any, ClassVar, Literal

import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.contracts.method import Method
from siftline.contracts.scorer import Scorer
from siftline.filters.faults import (
    Action,
    Actions,
    decide_faults,
    diagnose_faults,
    picture_faults,
)
from siftline.scorers.structure import FAULTS, StructureFaults


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
        return decide_faults(corpus, StructureFaults.table, self._actions())

    def diagnose(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Count the rows of each fault; a row may have several."""
        return diagnose_faults(corpus, decided, StructureFaults.table, self._actions())

    def picture(self, corpus: Corpus, decided: pa.Table) -> dict[str, Any]:
        """Name a few rows of each fault that is reported, the smallest ids."""
        return picture_faults(decided)

    def _actions(self) -> Actions:
        return {slug: getattr(self, slug) for slug in FAULTS}
