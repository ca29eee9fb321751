"""Turns as chat templates and servers take them."""

from typing import Any

import pytest
from agent_rows import CLOCK, TOOLS, agent_table

from siftline.contracts.examples import Message
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.models.chat_messages import (
    CallForm,
    ChatOptions,
    server_messages,
    server_tools,
    template_messages,
    thought_names,
)
from siftline.models.fingerprint import fingerprint


def turns_of(name: str) -> Any:
    return agent_table([name])["messages"].to_pylist()[0]


def test_keys_that_a_turn_lacks_are_left_out() -> None:
    as_given = template_messages(turns_of("plain"), ["thinking"], CallForm(), ChatOptions())
    assert as_given == [
        {"role": "user", "content": "Two and two?"},
        {"role": "assistant", "content": "Four."},
    ]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("silent", [False, True])
def test_calls_are_in_the_form_that_is_asked_for(text: bool, silent: bool) -> None:
    form = CallForm(text=text, silent=silent)
    user, called, result, _ = template_messages(
        turns_of("answers_a_result"), (), form, ChatOptions()
    )
    assert user == {"role": "user", "content": "Is it warm in Rome?"}
    assert called["content"] == (None if silent else "")
    arguments = '{"town": "Rome"}' if text else {"town": "Rome"}
    assert called["tool_calls"] == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "weather", "arguments": arguments},
        }
    ]
    assert result == {"role": "tool", "content": '{"degrees": 31}', "tool_call_id": "call_1"}
    says = template_messages(turns_of("says_and_calls"), (), form, ChatOptions())[-1]
    assert says["content"] == "I look it up."  # which is no turn that only calls


def test_thoughts_have_the_names_that_the_template_reads() -> None:
    turns = turns_of("reasons")
    given = template_messages(turns, ("reasoning", "thinking"), CallForm(), ChatOptions())[-1]
    assert given["reasoning"] == given["thinking"] == turns[-1]["reasoning"]
    assert "reasoning_content" not in given
    inline = template_messages(turns, ("thinking",), CallForm(), ChatOptions(reasoning="inline"))
    assert inline[-1] == {
        "role": "assistant",
        "content": f"<think>\n{turns[-1]['reasoning']}\n</think>\n\n102.",
    }


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{{ m.reasoning_content }}", ("reasoning_content",)),
        ("{{ m['thinking'] }}{{ m.get(\"reasoning\") }}", ("reasoning", "thinking")),
        ("{% if 'reasoning' in m %}{% endif %}", ("reasoning",)),
        ("{% if thinking %}thinking, reasoning{% endif %}{{ reasoning_effort }}", ()),
        ("{# m.thinking #}{% generation %}{{ m.content }}{% endgeneration %}", ()),
    ],
)
def test_a_template_s_source_tells_which_thoughts_it_reads(
    template: str, names: tuple[str, ...]
) -> None:
    assert thought_names(template) == names


def test_a_system_turn_without_a_user_behind_it_stays() -> None:
    merge = ChatOptions(system="merge")
    turns = turns_of("ends_in_call")
    system, user, *rest = turns
    made = template_messages(turns, (), CallForm(), merge)
    assert made[0] == {"role": "user", "content": f"{system['content']}\n\n{user['content']}"}
    assert len(made) == 1 + len(rest)
    alone = template_messages([system, *rest], (), CallForm(), merge)
    assert [turn["role"] for turn in alone] == ["system", "assistant"]


def test_system_turns_are_merged_in_their_order_wherever_a_user_follows() -> None:
    def turn(role: str, content: str) -> Message:
        return Message(role=role, content=content)

    given = [
        *(turn("system", text) for text in ("Be brief.", "", "Be kind.")),
        turn("user", "Why?"),
        turn("assistant", "So."),
        turn("system", " "),
        turn("user", "How?"),
        turn("system", "Now think."),
        turn("assistant", "Thus."),
    ]
    made = template_messages(given, (), CallForm(), ChatOptions(system="merge"))
    assert [(each["role"], each["content"]) for each in made] == [
        ("user", "Be brief.\n\nBe kind.\n\nWhy?"),
        ("assistant", "So."),
        ("user", "How?"),
        ("system", "Now think."),
        ("assistant", "Thus."),
    ]


def test_servers_get_arguments_as_text_and_no_thoughts() -> None:
    (_, called) = server_messages(turns_of("reasons_and_calls"), ChatOptions())
    assert called.keys() == {"role", "content", "tool_calls"}
    assert called["content"] is None
    assert called["tool_calls"][0]["function"]["arguments"] == '{"town": "Oslo"}'
    bare = CLOCK["function"]
    odd: Any = [bare, *TOOLS, {"type": "web_search"}, "search"]
    assert server_tools(odd) == [CLOCK, *TOOLS, {"type": "web_search"}, "search"]


def test_what_a_recipe_says_of_turns_is_a_part_of_the_identity_once_it_is_said() -> None:
    server = ServerSpec(url="http://localhost:1/v1")
    spec = ModelSpec(name="m", server=server)
    before = fingerprint(spec)
    assert set(before) == {"name", "server", "engine"}
    for field, value in (("system", "merge"), ("reasoning", "inline")):
        assert fingerprint(spec.model_copy(update={field: value})) == {**before, field: value}
