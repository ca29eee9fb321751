# ruff: noqa: RUF001 (DeepSeek's control tokens are made of such characters)
"""Rendered rows are what the template of each family makes of them, token for token.

The table in docs/chat-templates.md says what becomes of each kind of row; it is held here.
"""

import datetime
import functools
import json
from pathlib import Path
from typing import Any

import pytest
from chat_families import FAMILIES, ROWS, tokenizer_of, tools_of, trainer_messages
from tiny_models import tiny_model

from siftline.contracts.examples import Message
from siftline.models.chat_messages import AS_GIVEN, CALL_FORMS, ChatOptions
from siftline.models.chat_rendering import TEMPLATE_DATE
from siftline.models.engine.transformer import TransformerModel
from siftline.models.likelihood import Encoded, Pair
from siftline.models.rendering import Prompt, render, render_prompt

PAGE = Path(__file__).parent.parent / "docs" / "chat-templates.md"

WEATHER = '{"town": "Rome", "days": [1, 2], "unit": null}'
HERMES = f'<tool_call>\n{{"name": "weather", "arguments": {WEATHER}}}\n</tool_call>'
THOUGHT = "It is July.\n\nSo it is hot."
# What is scored, where it is not the content alone.
RESPONSES = {
    ("qwen2_5", "ends in a call"): HERMES,
    ("qwen2_5", "says and calls"): f"I look.\n{HERMES}",
    ("qwen3", "ends in a call"): HERMES,  # the empty thought before it is the template's
    ("qwen3", "thought"): f"<think>\n{THOUGHT}\n</think>\n\n31.",
    ("qwen3", "thought, then call"): f"<think>\nI must look.\n</think>\n\n{HERMES}",
    ("qwen3_thinking", "thought"): f"{THOUGHT}\n</think>\n\n31.",  # the prompt opens it
    ("qwen3_thinking", "thought, then call"): f"I must look.\n</think>\n\n{HERMES}",
    ("llama3_1", "ends in a call"): f'{{"name": "weather", "parameters": {WEATHER}}}',
    ("mistral", "ends in a call"): (
        f'[TOOL_CALLS][{{"name": "weather", "arguments": {WEATHER}, "id": "call00001"}}]'
    ),
    ("deepseek_r1", "call, tools not listed"): (
        f"<｜calls▁begin｜><｜call▁begin｜>function<｜call▁sep｜>weather\n```json\n{WEATHER}\n```"
        "<｜call▁end｜><｜calls▁end｜>"
    ),
    ("hermes", "ends in a call"): (
        f'<tool_call>\n{{"arguments": {WEATHER}, "name": "weather"}}\n</tool_call>'
    ),
    ("command_r", "says and calls"): (
        'Plan: I look.\nAction: ```json\n[\n    {"tool_name": "weather", "parameters": '
        f"{WEATHER}}}\n]```"
    ),
    ("gpt_oss", "ends in a call"): (
        f" to=functions.weather<|channel|>commentary json<|message|>{WEATHER}"
    ),
    ("gpt_oss", "thought"): (
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|>"
        "<|start|>assistant<|channel|>final<|message|>31."
    ),
    ("glm", "says and calls"): (
        "I look.\n<tool_call>weather\n<arg_key>town</arg_key>\n<arg_value>Rome</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>[1, 2]</arg_value>\n"
        "<arg_key>unit</arg_key>\n<arg_value>null</arg_value>\n</tool_call>"
    ),
    ("glm", "thought"): f"\n<think>{THOUGHT}</think>\n31.",
}


@functools.cache
def weights() -> Any:
    return tiny_model("Llama", vocab_size=400)


@functools.cache
def model_of(family: str, chat: ChatOptions = AS_GIVEN) -> TransformerModel:
    return TransformerModel(weights(), tokenizer_of(family), family, chat)


@functools.cache
def table() -> dict[tuple[str, str], str]:
    """Return what the page says of each row under each family."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    head, _, *body = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    return {
        (family, row): cell
        for row, *cells in body
        for family, cell in zip(head[1:], cells, strict=True)
    }


@pytest.fixture(autouse=True)
def the_same_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let templates that ask for the date get ours from `transformers` too."""
    from transformers.utils import chat_template_utils

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls(TEMPLATE_DATE.year, TEMPLATE_DATE.month, TEMPLATE_DATE.day)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)


def test_the_page_has_every_family_and_every_row() -> None:
    assert set(table()) == {(family, row) for family in FAMILIES for row in ROWS}


# Older transformers hand a null content on as it is, and this template then writes calls.
OF_NEWER = ("deepseek_r1", "call, tools not listed")
CELLS = [
    pytest.param(family, row, marks=pytest.mark.pinned if (family, row) == OF_NEWER else ())
    for family in FAMILIES
    for row in ROWS
]


@pytest.mark.parametrize(("family", "row"), CELLS)
def test_tokens_are_those_of_the_template_or_there_is_a_status(family: str, row: str) -> None:
    model, turns = model_of(family), ROWS[row]
    rendered = render(turns, "chat", model, tools_of(row))
    assert table()[family, row] == ("scored" if isinstance(rendered, Pair) else rendered)
    if isinstance(rendered, str):
        return
    whole = whole_of(family, row)
    (coded,) = model.pairs.encode([rendered], len(whole) + 9, rendered.end is not None)
    assert isinstance(coded, Encoded)
    assert list(coded.ids) == whole[: len(coded.ids)]
    # What follows belongs to no response: a line break, or what ends all texts.
    rest = str(model.tokenizer.decode(whole[len(coded.ids) :]))
    assert rest.strip() in ("", model.tokenizer.eos_token)
    scored = str(model.tokenizer.decode(list(coded.ids[coded.prompt_tokens :])))
    expected = RESPONSES.get((family, row))
    if expected is None and not (turns[-1].get("tool_calls") or turns[-1].get("reasoning")):
        expected = turns[-1]["content"] if row != "thought in the text" else None
    if expected is not None:
        said = scored.removesuffix(rendered.end or "")
        assert said in (expected, expected.strip())  # some templates strip


@pytest.mark.parametrize("row", ROWS)
def test_the_plain_template_renders_all_of_a_row(row: str) -> None:
    pair = render(ROWS[row], "plain", model_of("chatml"), tools_of(row))
    assert isinstance(pair, Pair)
    *earlier, last = ROWS[row]
    for turns, text in ((earlier, pair.prompt), ([last], pair.response)):
        for turn in turns:
            assert turn["content"] in text
            assert (turn.get("reasoning") or "") in text
            calls = json.loads(turn.get("tool_calls") or "[]")
            assert all(json.dumps(call["function"]["arguments"]) in text for call in calls)
    assert all(json.dumps(tool) in pair.prompt for tool in tools_of(row))


def whole_of(family: str, row: str) -> list[int]:
    """Return the tokens that a trainer of a family makes of a row."""
    tokens: list[int] = tokenizer_of(family).apply_chat_template(
        trainer_messages(FAMILIES[family], ROWS[row]),
        tools=tools_of(row) or None,
        tokenize=True,
        return_dict=False,
    )
    return tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_that_is_continued_is_that_of_the_template(family: str) -> None:
    for row in ("system", "call, result, answer", "earlier thought"):
        turns = ROWS[row][:-1]
        asked = render_prompt(turns, "chat", model_of(family), tools_of(row))
        if isinstance(asked, str):
            assert asked in ("template_error", "tools_not_rendered")
            continue
        expected = tokenizer_of(family).apply_chat_template(
            trainer_messages(FAMILIES[family], turns),
            tools=tools_of(row) or None,
            tokenize=False,
            add_generation_prompt=True,
        )
        assert asked == Prompt(expected, "", special=True, ending=None)


@pytest.mark.parametrize("family", ["gemma", "mistral"])
def test_a_system_turn_is_merged_where_the_model_says_so(family: str) -> None:
    merged: list[Message] = [
        {"role": "user", "content": "Be brief.\n\nHow warm is it in Rome?"},
        ROWS["system"][-1],
    ]
    model = model_of(family, ChatOptions(system="merge"))
    found = render(ROWS["system"], "chat", model)
    assert found == render(merged, "chat", model_of(family))
    assert isinstance(found, Pair)
    assert found.response == "31."


@pytest.mark.parametrize("family", ["chatml", "qwen2_5", "llama3_1", "hermes", "qwen3", "glm"])
@pytest.mark.parametrize("row", ["thought", "earlier thought"])
def test_a_thought_is_written_into_the_content_where_the_model_says_so(
    family: str, row: str
) -> None:
    inline = model_of(family, ChatOptions(reasoning="inline"))
    in_text = [
        {
            "role": turn["role"],
            "content": f"<think>\n{turn['reasoning']}\n</think>\n\n{turn['content']}"
            if turn.get("reasoning")
            else turn["content"],
        }
        for turn in ROWS[row]
    ]
    found = render(ROWS[row], "chat", inline)
    assert isinstance(found, Pair)
    expected = tokenizer_of(family).apply_chat_template(in_text, tokenize=False)
    assert expected.startswith(found.prompt + found.response)
    if row == "thought":
        assert all(part in found.response for part in THOUGHT.split("\n\n"))


def test_the_forms_of_calls_are_tried_in_one_order() -> None:
    """Objects before texts: a template that writes JSON would write the text in quotes."""
    assert [form.text for form in CALL_FORMS] == [False, False, True, True]


def test_what_tools_and_questions_say_is_no_call() -> None:
    """A template that lists tools and leaves calls out has all the words of a call somewhere."""
    tokenizer = tokenizer_of("chatml")
    tokenizer.chat_template = (
        "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    model = TransformerModel(weights(), tokenizer, "made")
    answered = ROWS["call, result, answer"]
    asked: Message = {"role": "user", "content": "The weather: town Rome, days 1 and 2, unit null?"}
    for turns in ([asked, *answered[1:]], [asked, ROWS["says and calls"][-1]]):
        assert render(turns, "chat", model, tools_of("call")) == "tools_not_rendered"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("{{ call.arguments }}", '{"town": "Rome"}'),  # which would be Python's of an object
        ("{{ '' + call.arguments }}", '{"town": "Rome"}'),
        ("{{ call.arguments | tojson }}", '{"town": "Rome"}'),
        ("{{ call.arguments | tojson | upper }}", None),
        ("{{ call.arguments.keys() | list }}", None),
        ("<{% for k, v in call.arguments | dictsort %}{{ k }}={{ v }}{% endfor %}>", "<town=Rome>"),
    ],
)
def test_arguments_are_json_or_there_is_no_score(arguments: str, expected: str | None) -> None:
    tokenizer = tokenizer_of("chatml")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}{% set call = c.function %}{{ call.name }} "
        + arguments
        + "{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    model = TransformerModel(weights(), tokenizer, "made")
    called = [{"type": "function", "function": {"name": "weather", "arguments": {"town": "Rome"}}}]
    turns: list[Message] = [
        {"role": "user", "content": "How warm is it in Rome?"},
        {"role": "assistant", "content": "", "tool_calls": json.dumps(called)},
    ]
    found = render(turns, "chat", model)
    if expected is None:
        assert found == "template_mismatch"
    else:
        assert isinstance(found, Pair)
        assert found.response == f"weather {expected}"
