"""Every spelling of a turn ends in one: calls, tools, thoughts, weights, parts and blocks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import A, S, T, U, answered, held, only, refused, turns

from siftline.contracts.examples import calls_of, tools_of

ARGUMENTS = {"city": None, "day": "mon"}
CALL = {"name": "f", "arguments": ARGUMENTS}
WHOLE = {"type": "function", "function": CALL}
SAID = {"type": "text", "text": "4"}
AS_TEXT = {"id": "c1", "type": "function", "function": {**CALL, "arguments": json.dumps(ARGUMENTS)}}


def calls(turn: dict[str, Any]) -> list[Any]:
    """Return the calls of an answer."""
    return calls_of(only(answered(turn)).messages[-1])


@pytest.mark.parametrize(
    "turn",
    [
        {"role": A, "content": None, "tool_calls": [WHOLE]},
        {"role": A, "tool_calls": [CALL]},
        {"role": A, "content": "", "tool_calls": [{**WHOLE, "index": None}]},
        {"role": A, "content": "", "tool_calls": json.dumps([WHOLE])},
        {"role": A, "content": "", "tool_calls": [json.dumps(CALL)]},
        {"role": A, "content": "", "tool_calls": {"name": "f", "args": ARGUMENTS}},
        {"role": A, "content": None, "function_call": CALL},
        {"role": A, "function_call": {"name": "f", "arguments": json.dumps(ARGUMENTS)}},
        {"role": "function_call", "content": CALL},
        {"role": "function_call", "content": json.dumps(CALL)},
        {"role": "tool_call", "content": f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>"},
        {"from": "tool_calls", "value": json.dumps([CALL])},
        {"role": A, "content": [{"type": "tool_use", "name": "f", "input": ARGUMENTS}]},
    ],
)
def test_a_call_has_one_spelling(turn: dict[str, Any]) -> None:
    assert calls(turn) == [WHOLE]
    assert turns(only(answered(turn)))[-1] == (A, "")


def test_arguments_that_are_text_become_an_object_and_others_stay() -> None:
    assert calls({"role": A, "tool_calls": [AS_TEXT]}) == [{"id": "c1", **WHOLE}]
    for given_, kept in (("{broken", "{broken"), ("[1]", "[1]"), ("", {}), (None, {}), ("4", "4")):
        (call,) = calls({"role": A, "function_call": {"name": "f", "arguments": given_}})
        assert call["function"]["arguments"] == kept


def test_several_calls_and_a_thought_before_them() -> None:
    two = f"{json.dumps(CALL)}\n{json.dumps({'name': 'g', 'arguments': {}})}"
    for text in (two, "[" + two.replace("\n", ", ") + "]"):
        names = [call["function"]["name"] for call in calls({"role": "tool_call", "content": text})]
        assert names == ["f", "g"]
    thoughts = ("<think>look {it} up [1]</think>", "I look at {x}.", '<think>{"a": 1}</think>')
    for thought in thoughts:
        draft = only(answered({"role": "function_call", "content": thought + json.dumps(CALL)}))
        assert turns(draft)[-1] == (A, thought)
        assert calls_of(draft.messages[-1]) == [WHOLE]


@given(st.text(alphabet='[]{}":, a1\\', max_size=40))
def test_any_text_of_a_calling_role_is_a_call_or_refused(text: str) -> None:
    turn = {"role": "function_call", "content": text + json.dumps(CALL)}
    assert calls(turn)[-1] == WHOLE or refused(answered(turn))
    if "name" not in text:
        assert refused(answered({"role": "function_call", "content": text}))[0] == "wrong_type"


def test_calls_that_are_none_are_refused() -> None:
    odd: Any
    nothing: Any
    for odd in ([3], "run it", [{"arguments": {}}], {"function": {"arguments": {}}}):
        reason, _ = refused(answered({"role": A, "content": "", "tool_calls": odd}))
        assert reason in ("wrong_type", "missing_field")
    for nothing in ([], "", "null", None):
        turn = {"role": A, "content": "a", "tool_calls": nothing}
        assert only(answered(turn)).messages[-1] == {"role": A, "content": "a"}


@pytest.mark.parametrize(
    "columns",
    [
        {"tools": [{"name": "w", "parameters": {"default": None}}]},
        {"tools": '[{"name": "w", "parameters": {"default": null}}]'},
        {"tools": ['{"name": "w", "parameters": {"default": null}}']},
        {"tools": {"name": "w", "parameters": {"default": None}}},
    ],
)
def test_tools_come_in_any_container_and_keep_their_nulls(columns: dict[str, Any]) -> None:
    draft = only(answered({"role": A, "content": "a"}, **columns))
    assert tools_of(draft.tools) == [{"name": "w", "parameters": {"default": None}}]
    assert held(draft) == {}


def test_functions_are_tools_and_texts_are_none() -> None:
    draft = only(answered({"role": A, "content": "a"}, functions=[{"name": "w"}]))
    assert tools_of(draft.tools) == [{"type": "function", "function": {"name": "w"}}]
    nothing: Any
    for nothing in ([], "[]", "", None):
        draft = only(answered({"role": A, "content": "a"}, tools=nothing))
        assert (draft.tools, held(draft)) == (None, {})
    draft = only(answered({"role": A, "content": "a"}, tools=["search", "clock"]))
    assert (draft.tools, held(draft)) == (None, {"tools": ["search", "clock"]})


@pytest.mark.parametrize(
    ("spoken", "role"),
    [
        *((name, A) for name in ("ai", "AI", "bot", "gpt", "model", "Assistant", " assistant ")),
        *((name, U) for name in ("human", "prompter", "User")),
        *((name, T) for name in ("ipython", "tool_response", "observation", "function")),
        *((name, T) for name in ("function_response", "environment", "tool_result", "Tool-Output")),
    ],
)
def test_roles_have_many_names(spoken: str, role: str) -> None:
    turn = {"role": spoken, "content": "x"}
    told = {
        A: answered(turn),
        U: {"messages": [turn, {"role": A, "content": "a"}]},
        T: answered({"role": A, "content": "x"}, turn, {"role": A, "content": "a"}),
    }
    assert (role, "x") in turns(only(told[role]))


@pytest.mark.parametrize(
    "turn",
    [
        {"content": "4", "reasoning_content": "two and two"},
        {"content": "4", "reasoning": "two and two", "thinking": None},
        {"content": "4", "thinking": "two and two", "reasoning": "two and two"},
        {"content": [{"type": "reasoning", "text": "two and two"}, SAID]},
        {"content": [{"type": "thinking", "thinking": "two and two"}, SAID]},
        {"content": [SAID, {"type": "reasoning", "reasoning": "two and two"}]},
        {"content": [{"type": "thinking", "thinking": [{**SAID, "text": "two and two"}]}, SAID]},
    ],
)
def test_a_thought_has_one_place(turn: dict[str, Any]) -> None:
    message = only(answered({"role": A, **turn})).messages[-1]
    assert message == {"role": A, "content": "4", "reasoning": "two and two"}


def test_thoughts_inside_the_text_stay_there() -> None:
    text = "<think>\ntwo and two\n</think>\n\n4"
    assert only(answered({"role": A, "content": text})).messages[-1] == {"role": A, "content": text}


def test_thoughts_of_rows_stand_beside_the_response() -> None:
    for name in ("reasoning", "thinking", "reasoning_content"):
        draft = only({"prompt": "q", "response": "4", name: "two and two"})
        assert draft.messages[-1] == {"role": A, "content": "4", "reasoning": "two and two"}
        assert held(draft) == {}
    draft = only({"prompt": "q", "responses": [{"text": "4", "reasoning": "two and two"}]})
    assert draft.messages[-1].get("reasoning") == "two and two"


def test_two_thoughts_that_differ_are_both_kept() -> None:
    draft = only(answered({"role": A, "content": "4", "reasoning": "a", "thinking": "b"}))
    assert draft.messages[-1].get("reasoning") == "a"
    assert held(draft) == {"turn_thinking": [None, "b"]}


@pytest.mark.parametrize(
    ("field", "weight"),
    [
        ({"weight": 0}, 0.0),
        ({"weight": 0.5}, 0.5),
        ({"train": False}, 0.0),
        ({"train": True}, 1.0),
        ({"loss": False}, 0.0),
        ({"trainable": False}, 0.0),
        ({"loss_scale": 0.0}, 0.0),
        ({"weight": None}, None),
    ],
)
def test_weights_of_turns(field: dict[str, Any], weight: float | None) -> None:
    draft = only(answered({"role": A, "content": "a", **field}))
    assert draft.messages[-1].get("weight") == weight
    assert held(draft) == {}


def test_a_loss_that_was_measured_is_no_weight() -> None:
    draft = only(answered({"role": A, "content": "a", "loss": 1.83}))
    assert draft.messages[-1] == {"role": A, "content": "a"}
    assert held(draft) == {"turn_loss": [None, 1.83]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"temp": 3, "wind": None}, '{"temp": 3, "wind": null}'),
        ([{"hit": 1}], '[{"hit": 1}]'),
        ([{"type": "flight", "price": 3}], '[{"type": "flight", "price": 3}]'),
        ([], "[]"),
        (42, "42"),
        (False, "false"),
        (None, ""),
        ([{"type": "text", "text": "1"}], "1"),
    ],
)
def test_results_that_are_no_text_become_their_json(content: Any, text: str) -> None:
    called = {"role": A, "content": "", "tool_calls": [CALL]}
    result = {"role": T, "content": content}
    assert turns(only(answered(called, result, {"role": A, "content": "3"})))[2] == (T, text)


def test_blocks_of_anthropic_are_turns_of_their_own() -> None:
    draft = only(
        {
            "system": "s",
            "messages": [
                {"role": U, "content": [{"type": "text", "text": "Rome?"}]},
                {
                    "role": A,
                    "content": [
                        {"type": "thinking", "thinking": "t"},
                        {"type": "text", "text": "I look."},
                        {"type": "tool_use", "id": "c1", "name": "f", "input": ARGUMENTS},
                        {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
                    ],
                },
                {
                    "role": U,
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": "1"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "c2",
                            "content": [{"type": "text", "text": "2"}],
                            "is_error": True,
                        },
                        {"type": "text", "text": "And now?"},
                    ],
                },
                {"role": A, "content": "Rain."},
            ],
        }
    )
    assert turns(draft)[:3] == [(S, "s"), (U, "Rome?"), (A, "I look.")]
    assert turns(draft)[3:] == [(T, "1"), (T, "2"), (U, "And now?"), (A, "Rain.")]
    called = draft.messages[2]
    assert called.get("reasoning") == "t"
    assert [call["id"] for call in calls_of(called)] == ["c1", "c2"]
    assert calls_of(called)[0]["function"]["arguments"] == ARGUMENTS
    assert [draft.messages[n].get("tool_call_id") for n in (3, 4)] == ["c1", "c2"]
    assert held(draft) == {"turn_is_error": [None, None, None, None, True, None, None]}


def test_calls_and_results_inside_one_message_keep_their_order() -> None:
    blocks = [
        {"type": "text", "text": "One."},
        {"type": "server_tool_use", "id": "c1", "name": "f", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "c1", "content": [{"hit": 1}]},
        {"type": "text", "text": "Two."},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
        {"type": "text", "text": "Three."},
    ]
    draft = only(answered({"role": A, "content": blocks}))
    assert turns(draft)[1:] == [(A, "One."), (T, '[{"hit": 1}]'), (A, "Two."), (A, "Three.")]
    assert [len(calls_of(message)) for message in draft.messages] == [0, 1, 0, 1, 0]


IMAGE = {"type": "image_url", "image_url": {"url": "x.png"}}


@pytest.mark.parametrize(
    "part",
    [
        IMAGE,
        {"type": "image"},
        {"type": "input_audio", "input_audio": {"data": "AA=="}},
        {"type": "video", "video": "x.mp4"},
        {"type": "document", "source": {"data": "AA=="}},
        {"image": "x.png"},
    ],
)
def test_parts_that_are_no_text_are_kept_as_they_are(part: dict[str, Any]) -> None:
    words = {"type": "text", "text": "what?"}
    record = {"messages": [{"role": U, "content": [part, words]}, {"role": A, "content": "a"}]}
    draft = only({"system": "s", **record})
    assert turns(draft)[1] == (U, "what?")
    assert json.loads(draft.media or "") == {"parts": {"1": [part, words]}}


def test_an_image_alone_is_a_prompt() -> None:
    record = {"messages": [{"role": U, "content": [IMAGE]}, {"role": A, "content": "a"}]}
    assert turns(only(record)) == [(U, ""), (A, "a")]


def test_columns_of_media_are_kept_under_their_names() -> None:
    columns = {"images": ["a.jpg"], "audio": {"path": "b.wav"}, "videos": [], "image": None}
    draft = only({"instruction": "<image>q", "output": "a", **columns})
    assert json.loads(draft.media or "") == {"images": ["a.jpg"], "audio": {"path": "b.wav"}}
    assert held(draft) == {"videos": []}
    assert only({"instruction": "q", "output": "a"}).media is None


def test_what_parts_say_besides_their_text_is_kept() -> None:
    part = {"type": "thinking", "thinking": "t", "signature": "abc"}
    draft = only(answered({"role": A, "content": [part, {"type": "text", "text": "4"}]}))
    assert draft.messages[-1].get("reasoning") == "t"
    assert held(draft)["turn_parts"][1][0] == part


def test_messages_of_langchain_tell_their_type() -> None:
    said = [{"type": "human", "content": "q"}, {"type": "ai", "content": "a"}]
    assert turns(only({"messages": said})) == [(U, "q"), (A, "a")]


def test_texts_in_a_list_are_parts() -> None:
    assert turns(only(answered({"role": A, "content": ["one, ", "two"]})))[-1] == (A, "one, two")


def test_a_refusal_is_what_is_said() -> None:
    turn = {"role": A, "content": None, "refusal": "no"}
    assert turns(only(answered(turn)))[-1] == (A, "no")


def test_a_part_of_an_unknown_type_is_named() -> None:
    reason, detail = refused(answered({"role": A, "content": [{"type": "dance"}]}))
    assert reason == "wrong_type"
    assert "is of type 'dance', expected text, reasoning" in detail


def test_names_and_ids_of_turns() -> None:
    called = {"role": A, "content": "", "tool_calls": [CALL], "name": ""}
    result = {"role": "function", "name": "f", "content": "1", "tool_call_id": 7}
    draft = only(answered(called, result, {"role": A, "content": "a", "mood": "calm"}))
    assert draft.messages[2] == {"role": T, "content": "1", "name": "f", "tool_call_id": "7"}
    assert "name" not in draft.messages[1]
    assert held(draft) == {"turn_mood": [None, None, None, "calm"]}


@pytest.mark.parametrize("content", ["", [], None])
@pytest.mark.parametrize("role", [A, "tool_call"])
def test_a_turn_of_calls_alone_says_nothing(role: str, content: Any) -> None:
    assert calls({"role": role, "content": content, "tool_calls": [CALL]}) == [WHOLE]


def test_tools_may_stand_in_the_system_turn() -> None:
    tools = [{"name": "f"}]
    for spelt in (tools, json.dumps(tools)):
        said = [{"role": S, "content": "s", "tools": spelt}, {"role": U, "content": "q"}]
        row = {"messages": [*said, {"role": A, "content": "a"}]}
        assert (tools_of(only(row).tools), held(only(row))) == (tools, {})
        both = only({**row, "tools": [{"name": "g"}]})
        assert tools_of(both.tools) == [{"name": "g"}]
        assert held(both)["turn_tools"] == [spelt, None, None]


@pytest.mark.parametrize("weight", [10**400, float("inf")])
def test_a_number_that_weighs_nothing_is_kept_aside(weight: float) -> None:
    draft = only(answered({"role": A, "content": "a", "weight": weight}))
    assert "weight" not in draft.messages[-1]
    assert "turn_weight" in held(draft)


def test_a_number_that_no_json_has_is_no_text_in_arguments() -> None:
    not_json = '{"a": NaN, "b": -Infinity}'
    for arguments in (not_json, {"a": float("nan"), "b": float("-inf")}):
        ((call,)) = calls(
            {"role": A, "content": "", "tool_calls": [{"name": "f", "args": arguments}]}
        )
        assert call["function"]["arguments"] == not_json
