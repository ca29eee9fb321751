"""Rows with gold answers, and answers to be held against them, built by hand for tests."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scorer
from siftline.scorers.candidate import Candidate
from siftline.scorers.equivalence import EQUIVALENCE, OwnEquivalence
from siftline.scorers.gold import Gold

CALLS = json.dumps([{"type": "function", "function": {"name": "f", "arguments": {}}}])
SUM = "What is 2 and 2?"


def rows_of(*conversations: Sequence[tuple[str, str]], **columns: Any) -> pa.Table:
    """Return rows, each with its metadata; those in `calls` call a tool."""
    metadata = columns.pop("metadata", [{}] * len(conversations))
    calls = columns.pop("calls", ())
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
            "metadata": json.dumps(metadata[row]),
        }
        for row, turns in enumerate(conversations)
    ]
    rows = pa.Table.from_pylist(records, schema=EXAMPLES)
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values))
    return rows


def pairs(*golds: str, prompt: str = SUM, **columns: Any) -> pa.Table:
    return rows_of(*[[("user", prompt), ("assistant", gold)] for gold in golds], **columns)


def statuses(scorer: Scorer, rows: pa.Table, runtime: Runtime | None = None) -> list[Any]:
    table = scorer.score(rows, runtime or Runtime()).table
    assert table["content_hash"].equals(rows["content_hash"])
    found: list[Any] = table["status"].to_pylist()
    return found


def answered(*answers: str) -> list[dict[str, str | None]]:
    """Return the struct column of answers; one in brackets is a status."""
    return [
        {"status": text[1:-1], "text": None, "origin": "m"}
        if text.startswith("<")
        else {"status": "ok", "text": text, "origin": "m"}
        for text in answers
    ]


def own(answers: Sequence[str], rows: pa.Table, gold: Gold, runtime: Runtime) -> list[Any]:
    given = rows.append_column("candidate", pa.array(answered(*answers)))
    given = given.append_column("gold", pa.array([{"status": "ok"}] * len(rows)))
    scored = OwnEquivalence(answer=Candidate(model="m"), gold=gold).score(given, runtime)
    assert scored.table.schema == EQUIVALENCE
    assert scored.table["content_hash"].equals(rows["content_hash"])
    return list(zip(*scored.table.to_pydict().values(), strict=True))
