"""Tests of sampled answers, on tables of rows and with scripted models."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conversations import DIALOGUE, table
from scripted import Scripted, playing, said
from test_clear import decisions, go

from siftline.models.generation import Sampling
from siftline.scorers.samples import SAMPLES, Samples


def sampled(model: Any, patch: pytest.MonkeyPatch, rows: pa.Table, **fields: Any) -> Any:
    scorer = Samples(model="judge", sampling=Sampling(n=2, temperature=0.7), **fields)
    found = scorer.score(rows, playing(model, patch))
    assert found.table.schema == SAMPLES
    return found


def test_samples_are_kept_with_how_they_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    replies: dict[str, Any] = {
        "one": [*said("Answer: 4"), *said("I think", finish="length", tokens=7)],
        "two": "special_token",
        "three": [*said("a"), *said("b", tokens=None)],
    }
    model = Scripted(lambda turns: replies[turns[-1]["content"].split("\n")[0]])
    rows = table([[("user", text), ("assistant", "x")] for text in ("one", "two", "three")])
    found = sampled(model, monkeypatch, rows)
    assert found.table.to_pylist() == [
        {
            "prompt_id": "p0",
            "status": "ok",
            "texts": ["Answer: 4", "I think"],
            "finished": [True, False],
            "generated_tokens": 10,
        },
        dict.fromkeys(SAMPLES.names) | {"prompt_id": "p1", "status": "special_token"},
        {
            "prompt_id": "p2",
            "status": "ok",
            "texts": ["a", "b"],
            "finished": [True, True],
            "generated_tokens": None,  # nobody counted one of them
        },
    ]
    assert found.usage == (1, 3)
    assert model.samplings == [Sampling(n=2, temperature=0.7)]


@pytest.mark.parametrize("explain", [True, False])
def test_the_last_turn_alone_asks_for_an_explanation(
    explain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Scripted(lambda _: said("a", "b"))
    conversation = [*DIALOGUE, ("user", "And three?"), ("assistant", "RESPONSE")]
    sampled(model, monkeypatch, table([conversation]), explain=explain)
    ((*earlier, last),) = model.generated
    assert [(turn["role"], turn["content"]) for turn in earlier] == DIALOGUE
    assert last["role"] == "user"
    assert last["content"].startswith("And three?")
    assert last["content"].endswith("'Answer: <final answer>'.") == explain
    assert (last["content"] == "And three?") is not explain


def test_a_prompt_beyond_the_window_has_a_status_and_stays(tmp_path: Path) -> None:
    rows = [
        {"instruction": "How many? " * 300, "output": "Very many."},
        {"instruction": "How many?", "output": "many " * 40},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    for name in ("data.jsonl", "chat.jsonl"):
        (tmp_path / name).write_text(lines + "\n", encoding="utf-8")
    long, short, *_ = decisions(go(tmp_path))
    assert long["samples.status"] == long["consistency.status"] == "prompt_too_long"
    assert (long["decision"], long["reason"]) == ("keep", "unjudged_prompt_too_long")
    assert long["confidence.value"] is None
    assert short["consistency.status"] == "ok"
