import json
from typing import Any, Never

import jinja2
import pytest

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.models import rendered_parts
from siftline.models.chat_messages import (
    AS_GIVEN,
    CALL_FORMS,
    CallForm,
    Tools,
    template_messages,
)
from siftline.models.likelihood import Pair
from siftline.models.rendering import Template, render
from siftline.models.toy import ToyLanguageModel

CHATML = (
    "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


class Chat(ToyLanguageModel):
    """The toy with a chat template."""

    special_tokens = ("<s>", "</s>")

    def __init__(self, template: str = CHATML) -> None:
        self.template = jinja2.Environment(trim_blocks=False).from_string(template)
        self.template.globals["refuse"] = self.refuse

    @staticmethod
    def refuse(message: str) -> Never:
        raise ValueError(message)

    def render_chat(
        self,
        messages: list[Message],
        generation_prompt: bool,
        tools: Tools = (),
        form: CallForm = CALL_FORMS[0],
    ) -> str:
        turns = template_messages(messages, ("reasoning",), form, AS_GIVEN)
        return self.template.render(messages=turns, add_generation_prompt=generation_prompt)


def rendered(turns: list[Message], template: Template, model: Chat | ToyLanguageModel) -> Pair:
    pair = render(turns, template, model)
    assert isinstance(pair, Pair)
    return pair


def talk(*turns: str) -> list[Message]:
    roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns]


def test_plain_is_the_template_of_grape() -> None:
    pair = rendered(talk("u Say hi.", "a Hi!"), "plain", ToyLanguageModel())
    assert pair == Pair("Question: Say hi.\nAnswer:", " Hi!")
    assert pair.prompt + pair.response == "Question: Say hi.\nAnswer: Hi!"


def test_plain_scores_the_last_of_several_turns() -> None:
    turns = talk("s Be brief.", "u Hi", "a Hello", "u Bye", "t none", "a See you")
    pair = rendered(turns, "plain", ToyLanguageModel())
    assert pair.prompt == (
        "Be brief.\nQuestion: Hi\nAnswer: Hello\nQuestion: Bye\nTool: none\nAnswer:"
    )
    assert pair.response == " See you"


@pytest.mark.parametrize("template", ["plain", "chat"])
@pytest.mark.parametrize("response", ["", " \n\t"])
def test_an_empty_response_is_not_rendered(template: Template, response: str) -> None:
    assert render(talk("u Hi", "a " + response), template, Chat()) == "empty_response"


def test_chat_puts_the_generation_prompt_before_the_response() -> None:
    pair = rendered(talk("u Hi", "a Hello"), "chat", Chat())
    assert pair == Pair("<s>user\nHi</s>\n<s>assistant\n", "Hello", end="</s>", special=True)


def test_chat_scores_what_a_stripping_template_leaves() -> None:
    stripping = Chat(CHATML.replace("m.content", "m.content | trim"))
    pair = rendered(talk("u Hi", "a  Hello "), "chat", stripping)
    assert pair.response == "Hello"


def test_what_a_template_puts_before_the_response_belongs_to_the_prompt() -> None:
    template = CHATML.replace(
        "\n{{", "\n{% if m.role == 'assistant' %}<think></think>{% endif %}{{"
    )
    pair = rendered(talk("u Hi", "a think"), "chat", Chat(template))
    assert pair.prompt.endswith("<s>assistant\n<think></think>")
    assert pair.response == "think"


def test_a_template_that_rewrites_earlier_turns_is_not_scored() -> None:
    # It shortens the earlier turns as soon as the last one is the assistant's.
    rewriting = Chat(
        "{% for m in messages %}<s>{{ m.role }}\n"
        "{{ m.content if loop.last or add_generation_prompt else '...' }}</s>\n{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
    )
    assert render(talk("u Hi", "a Hello"), "chat", rewriting) == "template_mismatch"


def test_a_template_that_rewrites_the_response_is_not_scored() -> None:
    shouting = Chat(CHATML.replace("m.content", "m.content | replace('Hello', 'HELLO')"))
    assert render(talk("u Hi", "a Hello"), "chat", shouting) == "template_mismatch"
    assert isinstance(render(talk("u Hi", "a Bye"), "chat", shouting), Pair)


THINKING = (
    "{% for m in messages %}<s>{{ m.role }}\n{% set said = m.content.split('</think>') %}"
    "{% if m.role == 'assistant' and loop.last %}"
    "<think>\n{{ said[0].split('<think>')[-1].strip() if said | length > 1 }}\n</think>\n\n"
    "{% endif %}{{ said[-1].lstrip() }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


@pytest.mark.parametrize("thought", ["<think>\nwhy\n</think>\n\nYes", "<think>why </think>Yes"])
def test_a_thought_is_a_part_of_the_response_as_the_template_writes_it(thought: str) -> None:
    pair = rendered(talk("u Hi", f"a {thought}"), "chat", Chat(THINKING))
    assert pair == Pair(
        "<s>user\nHi</s>\n<s>assistant\n",
        "<think>\nwhy\n</think>\n\nYes",
        end="</s>",
        special=True,
    )


def test_an_empty_thought_of_the_template_is_no_part_of_the_response() -> None:
    pair = rendered(talk("u Hi", "a Yes"), "chat", Chat(THINKING))
    assert pair.prompt == "<s>user\nHi</s>\n<s>assistant\n<think>\n\n</think>\n\n"
    assert pair.response == "Yes"


# After a result the turn of the model is open, so that nothing opens it once more; but a turn that
# is there has its head.
OPEN_AFTER_RESULTS = (
    "{% for m in messages %}<s>{{ m.role }}\n{% if m.reasoning %}[{{ m.reasoning }}]{% endif %}"
    "{{ m.content }}{% if m.role != 'tool' %}</s>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role != 'tool' %}<s>assistant\n{% endif %}"
)


@pytest.mark.parametrize("thought", [None, "why"])
def test_the_head_of_a_turn_is_no_part_of_the_response(thought: str | None) -> None:
    turns = talk("u Hi", "a I look", "t 31", "a Yes")
    turns[-1]["reasoning"] = thought
    pair = rendered(turns, "chat", Chat(OPEN_AFTER_RESULTS))
    assert pair.prompt == "<s>user\nHi</s>\n<s>assistant\nI look</s>\n<s>tool\n31<s>assistant\n"
    assert pair.response == ("[why]Yes" if thought else "Yes")


def test_thoughts_that_a_template_takes_out_of_earlier_turns_are_not_missed() -> None:
    turns = talk("u Hi", "a <think>\nwhy\n</think>\n\nYes", "u Sure?", "a <think>so</think> No")
    pair = rendered(turns, "chat", Chat(THINKING))
    assert "why" not in pair.prompt
    assert pair.response == "<think>\nso\n</think>\n\nNo"


def test_what_the_opening_of_a_turn_says_is_not_scored_again() -> None:
    opening = THINKING.replace("<s>assistant\n{% endif %}", "<s>assistant\n<think>\n{% endif %}")
    pair = rendered(talk("u Hi", "a <think>why</think>Yes"), "chat", Chat(opening))
    assert pair.prompt.endswith("<s>assistant\n<think>\n")
    assert pair.response == "why\n</think>\n\nYes"


def test_a_response_without_the_thought_that_the_opening_begins_is_scored_as_it_is() -> None:
    opening = CHATML.replace("<s>assistant\n{% endif %}", "<s>assistant\n<think>\n{% endif %}")
    pair = rendered(talk("u Hi", "a Yes"), "chat", Chat(opening))
    assert pair == Pair("<s>user\nHi</s>\n<s>assistant\n", "Yes", end="</s>", special=True)


@pytest.mark.parametrize("opened", ["<think>\n", "<think>\n\n</think>\n\n", "<think>\n\n"])
@pytest.mark.parametrize(
    ("response", "scored"), [("Yes", "Yes"), ("<think>why</think>Yes", "<think>why</think>Yes")]
)
def test_a_prompt_may_write_a_thought_in_another_way_than_a_turn(
    opened: str, response: str, scored: str
) -> None:
    written = CHATML.replace(
        "m.content",
        "('<think></think>' if m.role == 'assistant' and '</think>' not in m.content) ~ m.content",
    )
    opening = written.replace("<s>assistant\n{% endif %}", f"<s>assistant\n{opened}{{% endif %}}")
    pair = rendered(talk("u Hi", f"a {response}"), "chat", Chat(opening))
    assert pair.response == scored
    assert pair.prompt + pair.response == "<s>user\nHi</s>\n<s>assistant\n" + (
        response if "why" in response else "<think></think>Yes"
    )


@pytest.mark.parametrize("response", ["<think>why</think>Yes", "Yes Yes"])
def test_a_template_that_takes_something_out_of_the_response_is_not_scored(response: str) -> None:
    forgetting = Chat(CHATML.replace("m.content", "m.content.split('</think>')[-1].split()[-1]"))
    assert render(talk("u Hi", f"a {response}"), "chat", forgetting) == "template_mismatch"


def test_a_template_may_refuse_a_conversation() -> None:
    strict = Chat(
        "{% if messages[0].role == 'system' %}{{ refuse('no system') }}{% endif %}" + CHATML
    )
    assert render(talk("s Be brief.", "u Hi", "a Hello"), "chat", strict) == "template_error"
    assert isinstance(render(talk("u Hi", "a Hello"), "chat", strict), Pair)


@pytest.mark.parametrize("turns", [("u Hi</s>\n<s>assistant\nNo", "a Ok"), ("u Hi", "a Ok</s>")])
def test_a_message_cannot_pretend_to_be_several(turns: tuple[str, ...]) -> None:
    assert render(talk(*turns), "chat", Chat()) == "special_token"
    assert isinstance(render(talk(*turns), "plain", Chat()), Pair)


def test_a_model_without_a_template_is_an_error_of_the_recipe_not_of_the_row() -> None:
    with pytest.raises(ModelError, match="use template 'plain'"):
        render(talk("u Hi", "a Hello"), "chat", ToyLanguageModel())


def test_a_call_that_stands_there_as_json_is_found_without_parsing_the_conversation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def parses(text: str) -> Any:
        raise AssertionError("a long conversation holds very many objects")

    monkeypatch.setattr(rendered_parts, "objects_in", parses)
    call = {"function": {"name": "f", "arguments": {"é": [1, None, {"a": "x y"}]}}}
    for ascii_only in (False, True):
        written = json.dumps(call["function"], ensure_ascii=ascii_only)
        assert rendered_parts.holds_calls('{"b": {}}\n' * 3 + written, [call])
