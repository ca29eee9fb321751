"""From records of every shape to conversations, and the reason for each that is unusable."""

import datetime
import decimal
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.examples import calls_of
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.shapes import Draft, detect, to_drafts
from siftline.pipelines.ingestion.values import BadRecordError

U, A, S, T = "user", "assistant", "system", "tool"
TURNS = [{"role": U, "content": "hi"}, {"role": A, "content": "yo"}]


def drafts(record: dict[str, Any], **item: Any) -> list[Draft]:
    settings = Input(path="x.jsonl", **item)
    shape = settings.format if settings.format != "auto" else detect(record, settings.columns)
    assert shape
    return to_drafts(record, shape, settings)


def only(record: dict[str, Any], **item: Any) -> Draft:
    (draft,) = drafts(record, **item)
    return draft


def turns(draft: Draft) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in draft.messages]


QUESTION = [(U, "q"), (A, "a")]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"instruction": "q", "output": "a"}, QUESTION),
        ({"instruction": "q", "response": "a", "input": " "}, QUESTION),
        ({"instruction": "q", "input": "x", "output": "a"}, [(U, "q\n\nx"), (A, "a")]),
        ({"instruction": "q", "input": "<noinput>", "output": "a"}, QUESTION),
        ({"instruction": "q", "input": "No input required.", "output": "a"}, QUESTION),
        ({"instruction": "q", "input": "No", "output": "a"}, [(U, "q\n\nNo"), (A, "a")]),
        (
            {"system": "s", "instruction": "q", "output": "a", "history": [["h", "i"]]},
            [(S, "s"), (U, "h"), (A, "i"), *QUESTION],
        ),
        ({"prompt": "q", "completion": "a"}, QUESTION),
        (
            {
                "prompt": [{"role": S, "content": "s"}, {"role": U, "content": "q"}],
                "completion": [{"role": A, "content": "a"}],
            },
            [(S, "s"), *QUESTION],
        ),
        ({"question": "q", "answer": "a"}, QUESTION),
        ({"question": "q", "answer": ""}, [(U, "q"), (A, "")]),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            QUESTION,
        ),
        (
            {
                "system": "s",
                "conversation": [{"from": "user", "value": "q"}, {"from": "bot", "value": "a"}],
            },
            [(S, "s"), *QUESTION],
        ),
        (
            {
                "messages": [
                    {"role": "developer", "content": "s"},
                    {"role": U, "content": [{"type": "text", "text": "q"}]},
                    {"role": A, "content": "a"},
                ]
            },
            [(S, "s"), *QUESTION],
        ),
        ({"messages": json.dumps(TURNS)}, [(U, "hi"), (A, "yo")]),
    ],
)
def test_every_shape(record: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert turns(only(record)) == expected


def test_several_responses_to_one_prompt() -> None:
    texts = drafts({"prompt": "q", "responses": ["a", "b"], "model": "m"})
    assert [(turns(d)[-1], d.origin) for d in texts] == [((A, "a"), "m"), ((A, "b"), "m")]
    objects = drafts(
        {
            "instruction": "q",
            "outputs": [{"text": "a", "generator": "g"}, {"content": "b"}],
            "generator": "m",
        }
    )
    assert [(turns(d)[-1], d.origin) for d in objects] == [((A, "a"), "g"), ((A, "b"), "m")]


def test_columns_are_mapped() -> None:
    record = {"ask": "q", "reply": "a", "uid": 7, "kind": "math", "by": "me", "extra": 1.5}
    columns = {"question": "ask", "response": "reply", "id": "uid", "task": "kind", "origin": "by"}
    draft = only(record, columns=columns)
    assert turns(draft) == QUESTION
    assert (draft.id, draft.task, draft.origin, draft.metadata) == (
        "7",
        "math",
        "me",
        {"extra": 1.5},
    )


def test_constants_of_the_input_come_first() -> None:
    draft = only(
        {"question": "q", "answer": "a", "task": "x"},
        task="t",
        origin="o",
        format="question_answer",
    )
    assert (draft.task, draft.origin) == ("t", "o")  # fmt: skip


def test_tools_and_tool_calls_are_kept() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"x": None}}}]
    conversation = [
        {"role": U, "content": "q"},
        {"role": A, "content": None, "tool_calls": [call]},
        {"role": T, "content": "1", "tool_call_id": "c1", "name": "f"},
        {"role": A, "content": "a", "weight": 0},
    ]
    draft = only({"messages": conversation, "tools": tools, "system": "s"})
    assert turns(draft) == [(S, "s"), (U, "q"), (A, ""), (T, "1"), (A, "a")]
    assert json.loads(draft.tools or "") == [
        {"type": "function", "function": {"name": "f", "parameters": {}}}
    ]
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    assert [calls_of(message) for message in draft.messages] == [[], [], [called], [], []]
    assert (draft.messages[3]["tool_call_id"], draft.messages[3]["name"]) == ("c1", "f")
    as_text = only(
        {"prompt": conversation[:3], "completion": conversation[3:], "tools": '[{"a": 1}]'}
    )
    assert as_text.tools == '[{"a": 1}]'
    assert calls_of(as_text.messages[1]) == [called]


def test_function_calls_of_sharegpt_are_tool_calls() -> None:
    draft = only(
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
                {"from": "observation", "value": "1"},
                {"from": "gpt", "value": "a"},
            ]
        }
    )
    assert turns(draft) == [(U, "q"), (A, ""), (T, "1"), (A, "a")]
    called = {"type": "function", "function": {"name": "f", "arguments": {}}}
    assert [calls_of(message) for message in draft.messages] == [[], [called], [], []]


def test_a_column_does_not_pass_for_tool_calls() -> None:
    draft = only({"question": "q", "answer": "a", "tool_calls": 3, "name": "n"})
    assert draft.metadata == {"tool_calls": 3, "name": "n"}
    assert not calls_of(draft.messages[-1])


def test_metadata_is_json() -> None:
    record = {
        "question": "q",
        "answer": "a",
        "day": datetime.date(2024, 5, 1),
        "price": decimal.Decimal("1.50"),
        "raw": b"\x00",
        "score": float("nan"),
        "none": None,
        "big": float("inf"),
        "tags": ["a", {"b": None}],
    }
    assert only(record).metadata == {
        "day": "2024-05-01",
        "price": "1.50",
        "raw": "AA==",
        "big": "inf",
        "tags": ["a", {}],
    }


def chat(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("missing_field", {"question": "q", "answer": None}),
        ("missing_field", {"question": "q", "answer": float("nan")}),
        ("missing_field", {"answer": "a"}),
        ("missing_field", {"messages": None}),
        ("missing_field", {"messages": [{"content": "q"}]}),
        ("missing_field", {"messages": [{"role": U}, {"role": A, "content": "a"}]}),
        ("missing_field", {"prompt": "q", "responses": ["a", None]}),
        ("wrong_type", {"question": "q", "answer": 4}),
        ("wrong_type", {"question": ["q"], "answer": "a"}),
        ("wrong_type", {"question": "q", "answer": []}),
        ("wrong_type", {"question": "q", "answer": "a", "id": ["x"]}),
        ("wrong_type", {"messages": "hello"}),
        ("wrong_type", {"messages": ["hello"]}),
        ("wrong_type", {"messages": [{"role": U, "content": [{"type": "image_url"}]}]}),
        ("wrong_type", {"instruction": "q", "output": "a", "history": ["x"]}),
        ("wrong_type", {"instruction": "q", "output": "a", "history": True}),
        ("empty_prompt", {"question": " \n", "answer": "a"}),
        ("no_assistant_turn", chat(U)),
        ("no_assistant_turn", {"messages": []}),
        ("wrong_role_order", chat(A, U)),
        ("wrong_role_order", chat(U, A, U)),
        ("wrong_role_order", chat(U, U, A)),
        ("wrong_role_order", chat(U, S, A)),
        ("wrong_role_order", chat(U, T, A)),
        ("wrong_role_order", chat(U, A, T)),
        ("wrong_role_order", chat(U, "narrator", A)),
        ("lone_surrogate", {"question": "q\ud800", "answer": "a"}),
        ("lone_surrogate", {"question": "q", "answer": "\udfff"}),
        ("lone_surrogate", {"question": "q", "answer": "a", "note": "\ud800"}),
        ("lone_surrogate", {"question": "q", "answer": "a", "task": "\ud800"}),
        ("lone_surrogate", {"question": "q", "answer": "a", "id": "\ud800"}),
    ],
)
def test_every_reason(reason: str, record: dict[str, Any]) -> None:
    shape = "messages" if "messages" in record else "question_answer"
    if "instruction" in record or "prompt" in record:
        shape = "alpaca" if "instruction" in record else "prompt_completion"
    with pytest.raises(BadRecordError) as error:
        to_drafts(record, shape, Input(path="x.jsonl"))
    assert error.value.reason == reason


def test_orders_that_are_right() -> None:
    for roles in ([S, S, U, A], [U, A, U, A], [U, A, T, T, A], [U, A, T, A, U, A]):
        assert [role for role, _ in turns(only(chat(*roles)))] == roles


def test_detection_needs_a_prompt_and_a_response() -> None:
    assert detect({"question": "q"}, {}) is None
    assert detect({"question": "q", "answer": None}, {}) is None
    assert detect({"text": "t"}, {}) is None
    assert detect({"messages": [], "instruction": "q", "output": "a"}, {}) == "messages"
    assert detect({"q": "q", "answer": "a"}, {"question": "q"}) == "question_answer"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "from", "content", "value", "text", "tool_calls", "x"]),
            inner | st.sampled_from([U, A, S, "gpt", "human"]),
            max_size=4,
        )
    ),
    max_leaves=8,
)
FIELDS = [
    "instruction",
    "input",
    "output",
    "response",
    "responses",
    "system",
    "history",
    "prompt",
    "completion",
    "question",
    "answer",
    "messages",
    "conversations",
    "tools",
    "id",
    "task",
    "generator",
    "tool_calls",
    "name",
]


@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6),
    st.sampled_from(["alpaca", "sharegpt", "messages", "prompt_completion", "question_answer"]),
)
def test_any_record_is_used_or_refused(record: dict[str, Any], shape: str) -> None:
    try:
        result = to_drafts(record, shape, Input(path="x.jsonl"))
    except BadRecordError:
        return
    assert result
    for draft in result:
        assert draft.messages[-1]["role"] == A
        extras = [draft.metadata[k] for k in draft.metadata if k.startswith("turn_")]
        assert all(len(values) == len(draft.messages) for values in extras)
