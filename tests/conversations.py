"""Tables of rows built by hand for the tests of scorers, and what a scripted model was asked."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from scripted import texts

from siftline.contracts.corpus import EXAMPLES

CALL = {"type": "function", "function": {"name": "f", "arguments": {}}}
CALLS = json.dumps([CALL])
DIALOGUE = [("system", "Be brief."), ("user", "Two and two?"), ("assistant", "Four.")]


def rows_of(*responses: str, prompt: str = "How many?", calls: Sequence[int] = ()) -> pa.Table:
    """One single-turn row for each response; those in `calls` call a tool."""
    return table([[("user", prompt), ("assistant", text)] for text in responses], calls)


def table(conversations: Sequence[Any], calls: Sequence[int] = ()) -> pa.Table:
    records = [
        {
            "id": f"r{row}",
            "content_hash": f"h{row}",
            "prompt_id": f"p{row}",
            "messages": [
                *({"role": role, "content": content} for role, content in turns[:-1]),
                {
                    "role": turns[-1][0],
                    "content": turns[-1][1],
                    "tool_calls": CALLS if row in calls else None,
                },
            ],
            "source": "s",
            "metadata": "{}",
        }
        for row, turns in enumerate(conversations)
    ]
    return pa.Table.from_pylist(records, schema=EXAMPLES)


def said_in(turns: Any) -> str:
    return str(texts([turns])[0])


def is_doubt(question: str) -> bool:
    """Return whether a question is a reflection on a judgement, and not the judgement."""
    return "Proposed answer:" in question


def in_first_place(question: str) -> str:
    """Return the answer that a judgement shows first."""
    return question.partition("First answer:\n")[2].partition("\n\nSecond answer:\n")[0]


def judged_for(favourite: str, question: str) -> list[float]:
    """Judge for whoever gives this answer, and stand by it."""
    if is_doubt(question):
        judgement, _, claim = question.rpartition("\n\nProposed answer:\n")
        first = in_first_place(judgement) == favourite
        return [1, 0, 0] if claim.startswith("(A)" if first else "(B)") else [0, 1, 0]
    return [1, 0, 0] if in_first_place(question) == favourite else [0, 1, 0]
