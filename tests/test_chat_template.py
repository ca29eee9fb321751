"""Tests of chat templates as `transformers` renders them."""

import datetime
from typing import Any

import pytest
from tiny_models import engine

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.model_spec import ModelSpec
from siftline.models import chat_rendering, fingerprint
from siftline.models.likelihood import Pair

TURNS: list[Message] = [
    {"role": "user", "content": "the cat"},
    {"role": "assistant", "content": "sat on the mat."},
]
DATED = (
    "  {% if strftime_now is defined %}{{ strftime_now('%d %b %Y, %-m/%-d') }}{% endif %}\n\n\n"
    "{% for m in messages %}{{ m.content }}<end>{% endfor %}"
    "{% macro day() %}{{ strftime_now('%A') }}{% endmacro %}{{ day() }}"
)


def on_day(day: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a template with a date renders on a day of a month."""
    from transformers.utils import chat_template_utils

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls(2031, 3, day)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    model = engine()
    model.tokenizer.chat_template = DATED
    return str(model.render_chat(TURNS, True))


def test_a_date_is_the_same_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    first = on_day(4, monkeypatch)
    assert first == on_day(5, monkeypatch)
    assert first == "26 Jul 2024, 7/26\n\nthe cat<end>sat on the mat.<end>Friday"


def test_the_date_is_a_part_of_the_identity(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    spec = ModelSpec(name=str(tmp_path), dtype="float32")
    before = fingerprint.fingerprint(spec, "cpu")
    assert before["template_date"] == chat_rendering.TEMPLATE_DATE.date().isoformat()
    monkeypatch.setattr(fingerprint, "TEMPLATE_DATE", datetime.datetime(2025, 1, 1))
    assert fingerprint.fingerprint(spec, "cpu") != before


def test_templates_for_tools_alone_are_no_chat_template() -> None:
    model = engine()
    model.tokenizer.chat_template = {"tool_use": DATED}
    with pytest.raises(ModelError, match="has no chat template"):
        model.render_chat(TURNS, True)


def test_a_template_for_tools_renders_conversations_that_offer_some() -> None:
    model = engine()
    plain = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"
    offering = "{% for t in tools or [] %}{{ t.function.name }}<end>{% endfor %}" + plain
    tool = {"type": "function", "function": {"name": "a cat"}}
    model.tokenizer.chat_template = {"default": plain, "tool_use": offering}
    assert model.render_chat(TURNS, True) == "the cat<end>sat on the mat.<end>"
    assert model.render_chat(TURNS, True, [tool]) == "a cat<end>the cat<end>sat on the mat.<end>"
    model.tokenizer.chat_template = {"default": plain}
    assert chat_rendering.render_chat(TURNS, model, [tool]) == "tools_not_rendered"
    assert isinstance(chat_rendering.render_chat(TURNS, model), Pair)


def test_why_a_template_refuses_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    model = engine()
    model.tokenizer.chat_template = "{{ raise_exception('no system turns') }}"
    for _ in range(2):
        assert chat_rendering.render_chat(TURNS, model) == "template_error"
    assert (
        caplog.text.count("The chat template of 'Llama' refuses messages: 'no system turns'") == 1
    )


@pytest.mark.parametrize(
    "code", ["m.content + 1", "m.content.nothing()", "1 // (m.content | length - 7)", "[][0].x"]
)
def test_a_template_that_fails_refuses_the_row(code: str) -> None:
    model = engine()
    model.tokenizer.chat_template = "{% for m in messages %}{{ " + code + " }}{% endfor %}"
    assert chat_rendering.render_chat(TURNS, model) == "template_error"
