from typing import Any

import pyarrow as pa
import pytest
from tiny_models import engine
from tolerances import nats

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.models.likelihood import Pair
from siftline.models.rendering import render_turns
from siftline.scorers import turns
from siftline.scorers.turns import TURN_LIKELIHOOD, TurnLikelihood

TALK: list[Any] = [
    {"role": "user", "content": "the cat?"},
    {"role": "assistant", "content": "sat"},
    {"role": "user", "content": "a mat?"},
    {"role": "assistant", "content": "the mat"},
]
EMPTY: list[Any] = [TALK[0], {"role": "assistant", "content": " "}, *TALK[2:]]
# Some templates drop the reasoning of earlier turns; this one drops all but the last answer.
FORGETFUL = """{% for m in messages %}{% if m.role == 'user' or loop.last %}{{ m.content }}<end>\
{% else %}...<end>{% endif %}{% endfor %}"""
FAITHFUL = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"


def rows(*talks: Any) -> pa.Table:
    records = [{"content_hash": f"c{row}", "messages": each} for row, each in enumerate(talks)]
    return pa.Table.from_pylist(records, schema=EXAMPLES)


def score(model: Any, monkeypatch: pytest.MonkeyPatch, *talks: Any, **fields: Any) -> Any:
    monkeypatch.setattr(turns, "load_language_model", lambda spec, device: model)
    runtime = Runtime(models={"target": ModelSpec(name="any")}, device="cpu")
    return TurnLikelihood(model="target", **fields).score(rows(*talks), runtime)


def test_every_turn_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = engine()
    found = score(model, monkeypatch, TALK, TALK[:2], EMPTY)
    assert found.table.schema == TURN_LIKELIHOOD
    talk, single, empty = found.table.to_pylist()
    apart = [
        model.log_likelihood([pair]).rows[0]
        for pair in (
            Pair("Question: the cat?\nAnswer:", " sat"),
            Pair("Question: the cat?\nAnswer: sat\nQuestion: a mat?\nAnswer:", " the mat"),
        )
    ]
    expected = [row.sum_logprob for row in apart]
    assert talk["turn_sum_logprob"] == pytest.approx(expected, abs=nats(10))
    assert talk["turn_scored_tokens"] == [row.scored_tokens for row in apart]
    assert talk["sum_logprob"] == pytest.approx(sum(expected), abs=nats(10))
    assert talk["scored_tokens"] == sum(row.scored_tokens for row in apart)
    assert single["turn_sum_logprob"] == [pytest.approx(expected[0], abs=nats(10))]
    assert (empty["status"], empty["sum_logprob"]) == ("empty_response", None)
    assert empty["turn_status"] == ["empty_response", "ok"]
    # The first turn is read off the second.
    assert score(model, monkeypatch, TALK).usage.tokens == apart[1].prompt_tokens + (
        apart[1].scored_tokens - 1
    )


def test_a_template_that_rewrites_earlier_turns_is_found_out() -> None:
    model = engine()
    model.tokenizer.chat_template = FORGETFUL
    assert [type(each) for each in render_turns(TALK, "chat", model)] == [str, Pair]
    assert render_turns(TALK, "chat", model)[0] == "template_mismatch"
    model.tokenizer.chat_template = FAITHFUL
    assert [type(each) for each in render_turns(TALK, "chat", model)] == [Pair, Pair]


def test_no_rows_are_no_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(score(engine(), monkeypatch).table) == 0
