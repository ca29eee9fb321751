"""From records of every shape to conversations, and the reason for each that is unusable."""

import datetime
import decimal
import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUESTION, A, S, T, U, chat, drafts, held, noted, only, refused, turns

from siftline.contracts.examples import calls_of
from siftline.pipelines.ingestion.inputs import Format, Input
from siftline.pipelines.ingestion.shapes import detect, to_drafts
from siftline.pipelines.ingestion.values import BadRecordError

TURNS = [{"role": U, "content": "hi"}, {"role": A, "content": "yo"}]


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


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"instruction": "q", "context": "c", "response": "a"}, [(U, "q\n\nc"), (A, "a")]),
        ({"instruction": "q", "context": "", "response": "a"}, QUESTION),
        (
            {"instruction": "q", "input": "", "context": "c", "output": "a"},
            [(U, "q\n\nc"), (A, "a")],
        ),
        ({"instruction": "", "input": "x", "output": "a"}, [(U, "x"), (A, "a")]),
        ({"instruction": "q", "input": "nan", "output": "a"}, QUESTION),
        ({"instruction": "q", "input": "None", "output": "a"}, QUESTION),
        ({"instruction": "q", "input": "none", "output": "a"}, [(U, "q\n\nnone"), (A, "a")]),
        ({"instruction": "q", "input": "N/A", "output": "a"}, [(U, "q\n\nN/A"), (A, "a")]),
        ({"instruction": "q", "response": " ", "output": "a"}, QUESTION),
        ({"instruction": "q", "response": "", "output": ""}, [(U, "q"), (A, "")]),
        ({"instruction": "q", "answer": "a"}, QUESTION),
        ({"instruction": "q", "generation": "a"}, QUESTION),
        ({"system_prompt": "s", "question": "q", "response": "a"}, [(S, "s"), *QUESTION]),
        ({"system_prompt": " ", "question": "q", "response": "a"}, QUESTION),
        ({"system_prompt": "None", "question": "q", "response": "a"}, QUESTION),
        ({"context": "c", "question": "q", "answer": "a"}, [(U, "q\n\nc"), (A, "a")]),
        ({"query": "q", "response": "a", "history": [["h", "i"]]}, [(U, "h"), (A, "i"), *QUESTION]),
        (
            {"query": "q", "response": "a", "history": '[["h", "i"]]'},
            [(U, "h"), (A, "i"), *QUESTION],
        ),
        ({"query": "q", "response": "a", "history": TURNS}, [(U, "hi"), (A, "yo"), *QUESTION]),
        ({"query": "q", "response": "a", "history": []}, QUESTION),
        ({"input": "q", "output": "a"}, QUESTION),
        ({"input": "q", "response": "a", "system": "s"}, [(S, "s"), *QUESTION]),
        ({"prompt": "q", "answer": "a"}, QUESTION),
        ({"prompt": json.dumps(TURNS[:1]), "completion": "a"}, [(U, "hi"), (A, "a")]),
        (
            {"prompt": json.dumps(TURNS[:1]), "completion": json.dumps(TURNS[1:])},
            [(U, "hi"), (A, "yo")],
        ),
        ({"prompt": "q", "completion": "[{'a': 1}]"}, [(U, "q"), (A, "[{'a': 1}]")]),
        ({"prompt": "[{'a': 1}]", "completion": "a"}, [(U, "[{'a': 1}]"), (A, "a")]),
        (
            {"prompt": "[{'role': 'x'}] Which role?", "completion": "a"},
            [(U, "[{'role': 'x'}] Which role?"), (A, "a")],
        ),
        ({"prompt": '["no", "turns"]', "completion": "a"}, [(U, '["no", "turns"]'), (A, "a")]),
        ({"conversation": [{"input": "q", "output": "a"}] * 2}, QUESTION * 2),
        ({"data": ["q", "a", "q", "a"]}, QUESTION * 2),
        ({"conversation": ["q", "a"]}, QUESTION),
        ({"conversation": [["q", "a"], ["q", "a"]]}, QUESTION * 2),
        (
            {"system": [{"type": "text", "text": "s"}], "messages": TURNS},
            [(S, "s"), (U, "hi"), (A, "yo")],
        ),
        ({"context": ["c", "d"], "question": "q", "answer": "a"}, [(U, "q\n\nc\n\nd"), (A, "a")]),
        ({"conversations": {"from": ["human", "gpt"], "value": ["q", "a"]}}, QUESTION),
        ({"messages": {"role": [S, U, A], "content": ["s", "q", "a"]}}, [(S, "s"), *QUESTION]),
        (
            {"system": "s ", "messages": [{"role": S, "content": "s"}, *TURNS]},
            [(S, "s"), (U, "hi"), (A, "yo")],
        ),
        (
            {"system": "t", "messages": [{"role": S, "content": "s"}, *TURNS]},
            [(S, "t"), (S, "s"), (U, "hi"), (A, "yo")],
        ),
    ],
)
def test_further_shapes(record: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    draft = only(record)
    assert turns(draft) == expected
    assert held(draft) == {}


def test_a_passage_of_another_name_joins_the_prompt_where_the_recipe_says_so() -> None:
    for prompt, response in (("question", "answer"), ("prompt", "completion"), ("query", "answer")):
        record = {prompt: "q", response: "a", "hint": "h"}
        assert turns(only(record, columns={"input": "hint"})) == [(U, "q\n\nh"), (A, "a")]
        assert turns(only(record)) == QUESTION


def test_a_context_that_is_no_text_stays_in_the_metadata() -> None:
    facts = {"title": ["t"], "sentences": [["s"]]}
    draft = only({"context": facts, "question": "q", "answer": "a"})
    assert (turns(draft), held(draft)) == (QUESTION, {"context": facts})


def test_the_answers_of_squad_are_candidates_once_each() -> None:
    answers = {"text": ["a", "a", "b"], "answer_start": [1, 9, 5]}
    found = drafts({"context": "c", "question": "q", "answers": answers})
    assert [turns(draft)[-1] for draft in found] == [(A, "a"), (A, "b")]
    assert [held(draft) for draft in found] == [{"answer_start": 1}, {"answer_start": 5}]
    nothing: dict[str, list[Any]] = {"text": [], "answer_start": []}
    reason, detail = refused({"context": "c", "question": "q", "answers": nothing})
    assert (reason, detail) == ("missing_field", "'answers' holds no text, expected an answer")


def test_a_candidate_keeps_what_is_said_of_it_alone() -> None:
    entries = [
        {"text": "a", "score": 4.5, "model": "m"},
        {"response": "b", "score": 1, "note": None},
    ]
    for column in ("responses", "completions", "outputs", "generations"):
        found = drafts({"instruction": "q", column: entries, "score": 9})
        assert [(turns(d)[-1], d.origin) for d in found] == [((A, "a"), "m"), ((A, "b"), None)]
        assert [held(d) for d in found] == [
            {"score": 4.5, "column_score": 9},
            {"score": 1, "column_score": 9},
        ]
    lists = {"scores": [4, None], "models": ["m", "n"], "tags": ["x", "y"]}
    found = drafts({"prompt": "q", "responses": ["a", "b"], **lists})
    assert [(held(d), d.origin) for d in found] == [
        ({"score": 4, "tags": ["x", "y"]}, "m"),
        ({"tags": ["x", "y"]}, "n"),
    ]


def test_the_other_candidates_stay_when_one_is_null() -> None:
    for entries in (["a", None, "b"], [{"text": "a"}, {"text": None, "score": 1}, {"text": "b"}]):
        found, notes = noted({"prompt": "q", "responses": entries, "scores": [1, 2, 3]})
        assert [turns(draft)[-1] for draft in found] == [(A, "a"), (A, "b")]
        assert [held(draft)["score"] for draft in found] == [1, 3]
        assert notes == ["skipped null_response"]


def test_an_odd_id_costs_the_id_alone() -> None:
    for odd in (["x"], {"x": 1}, "\ud800"):
        found, notes = noted({"question": "q", "answer": "a", "id": odd})
        assert (found[0].id, notes) == (None, ["skipped id"])
    assert noted({"question": "q", "answer": "a", "id": ""})[1] == []


def test_answers_that_are_calls_call() -> None:
    calls = json.dumps([{"name": "f", "arguments": {"x": None}}])
    tools = json.dumps([{"name": "f"}])
    message = only({"query": "q", "answers": calls, "tools": tools}).messages[-1]
    assert message["content"] == ""
    assert calls_of(message)[0]["function"] == {"name": "f", "arguments": {"x": None}}
    assert turns(only({"query": "q", "answers": calls})) == [(U, "q"), (A, calls)]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"conversations": "[{'from': 'human', 'value': 'q'}]"}, "Python's own notation"),
        ({"messages": "[{'role': 'user'}\n {'role': 'assistant'}]"}, "Python's own notation"),
        ({"messages": "hello"}, "a text that is no JSON"),
        ({"prompt": "[{'role': 'user'}]", "completion": "a"}, "'prompt' is Python's own notation"),
        (
            {"prompt": "q", "chosen": "[{'content': 'a'}]", "rejected": "b"},
            "'chosen' is Python's own notation",
        ),
        (
            {"question": "q", "answer": 4},
            "a number (4), expected a text; `repair: {scalars: text}`",
        ),
        ({"question": "q", "answer": True}, "a boolean, expected a text; `repair:"),
        ({"messages": [{"role": U, "content": {"a": 1}}]}, "'messages[].content' is an object"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "is by 'narrator', expected system"),
        (
            {"instruction": "q", "output": "a", "history": ["x"]},
            "'history' holds a text, expected [",
        ),
        ({"conversations": {"from": ["human"], "value": []}}, "lists of different lengths"),
    ],
)
def test_reasons_say_what_is_there(record: dict[str, Any], words: str) -> None:
    assert words in refused(record)[1]


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
    assert (draft.id, draft.task, draft.origin, held(draft)) == (
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
    assert json.loads(draft.tools or "") == tools
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
    assert held(draft) == {"tool_calls": 3, "name": "n"}
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
    assert held(only(record)) == {
        "day": "2024-05-01",
        "price": "1.50",
        "raw": "AA==",
        "big": "inf",
        "tags": ["a", {"b": None}],
    }


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("missing_field", {"question": "q", "answer": None}),
        ("missing_field", {"question": "q", "answer": float("nan")}),
        ("missing_field", {"answer": "a"}),
        ("missing_field", {"messages": [*TURNS[:1], {"role": A, "content": float("nan")}]}),
        ("missing_field", {"messages": None}),
        ("missing_field", {"messages": [{"content": "q"}]}),
        ("missing_field", {"messages": [{"role": U}, {"role": A, "content": "a"}]}),
        ("missing_field", {"prompt": "q", "responses": [None, None]}),
        ("wrong_type", {"question": "q", "answer": 4}),
        ("wrong_type", {"question": ["q"], "answer": "a"}),
        ("wrong_type", {"question": "q", "answer": []}),
        ("wrong_type", {"messages": "hello"}),
        ("wrong_type", {"messages": ["hello"]}),
        ("wrong_type", {"messages": [{"role": U, "content": [{"type": "dance"}]}]}),
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
    for roles in (
        [S, S, U, A],
        [U, A, U, A],
        [U, A, T, T, A],
        [U, A, T, A, U, A],
        [U, A, A, T, A],
        [U, A, A],
        [U, A, T, U, A],
    ):
        assert [role for role, _ in turns(only(chat(*roles)))] == roles


def test_detection_needs_a_prompt_and_a_response() -> None:
    assert detect({"question": "q"}, {}) is None
    assert detect({"question": "q", "answer": None}, {}) is None
    assert detect({"text": "t"}, {}) is None
    assert detect({"messages": [], "instruction": "q", "output": "a"}, {}) == "messages"
    assert detect({"q": "q", "answer": "a"}, {"question": "q"}) == "question_answer"


MENDED = {
    "leading_assistant": "drop",
    "trailing_user": "drop",
    "same_role": "merge",
    "scalars": "text",
}
KEYS = ["role", "from", "content", "value", "text", "tool_calls", "reasoning", "type", "input"]
KEYS += ["replies", "output", "weight", "name", "x"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner | st.sampled_from([U, A, S, T, "gpt", "human", "function_call", "text"]),
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
    "context",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "query",
    "images",
    "functions",
    "reasoning",
    "scores",
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
    st.sampled_from([shape for shape in get_args(Format) if shape != "auto"]),
    st.booleans(),
)
def test_any_record_is_used_or_refused(record: dict[str, Any], shape: str, mend: bool) -> None:
    item = Input(path="x.jsonl", repair=MENDED if mend else {}, take="both" if mend else "chosen")
    try:
        result = to_drafts(record, shape, item)
    except BadRecordError:
        return
    assert result
    for draft in result:
        assert draft.messages[-1]["role"] == A
        extras = [held(draft)[k] for k in held(draft) if k.startswith("turn_")]
        assert all(len(values) == len(draft.messages) for values in extras)


@pytest.mark.parametrize("names", [(S, U, A), ("System", "human", "ai")])
@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_pairs_may_name_who_speaks(names: tuple[str, ...], column: str) -> None:
    said = [list(pair) for pair in zip(names, ("s", "q", "a"), strict=True)]
    assert turns(only({column: said})) == [(S, "s"), (U, "q"), (A, "a")]
    row = {"query": "r", "response": "b", "history": said}
    assert turns(only(row)) == [(S, "s"), (U, "q"), (A, "a"), (U, "r"), (A, "b")]
    assert turns(only({column: [["user", "assistant?"], ["hm", "b"]]}))[0] == (U, "user")


def test_the_first_pair_may_hold_the_system_turn_and_each_a_thought() -> None:
    pairs = [
        {"system": "s", "input": "q", "output": "a", "reasoning": "t"},
        {"system": "", "input": "r", "output": "b", "score": 1},
    ]
    draft = only({"conversation": pairs})
    assert turns(draft) == [(S, "s"), (U, "q"), (A, "a"), (U, "r"), (A, "b")]
    assert draft.messages[2].get("reasoning") == "t"
    assert held(draft) == {"turn_score": [None, None, None, None, 1]}


def test_texts_that_are_said_in_turn_may_be_json_of_their_own() -> None:
    assert turns(only({"data": ['{"a": 1} what?', "b"]})) == [(U, '{"a": 1} what?'), (A, "b")]
    assert turns(only({"data": ['{"a": 1}', '{"b": 2}']})) == [(U, '{"a": 1}'), (A, '{"b": 2}')]
    as_json = [json.dumps({"role": U, "content": "q"}), json.dumps({"role": A, "content": "a"})]
    for column in ("messages", "conversations"):
        with pytest.raises(BadRecordError, match="is a text, expected an object") as refused:
            only({column: as_json})
        assert refused.value.reason == "wrong_type"


def test_a_text_that_only_begins_like_json_is_a_text() -> None:
    text = '[{"a": 1, "a": 2}] what is wrong?'
    assert turns(only({"prompt": text, "completion": "a"}))[0] == (U, text)


@pytest.mark.parametrize("nothing", [[], {}, None, ""])
def test_a_passage_or_system_turn_of_nothing_is_none(nothing: Any) -> None:
    for name in ("input", "context", "system"):
        row = {"instruction": "q", name: nothing, "output": "a"}
        assert turns(only(row)) == [(U, "q"), (A, "a")]


def test_several_responses_may_come_as_json() -> None:
    for answers in ('["a", "b"]', '[{"text": "a"}, {"text": "b"}]', '{"text": ["a", "b"]}'):
        found = drafts({"question": "q", "answers": answers})
        assert [draft.messages[-1]["content"] for draft in found] == ["a", "b"]
    for text in ("[1] a", '{"a": 1}', "[]", "[citation needed]"):
        assert turns(only({"question": "q", "answers": text}))[-1] == (A, text)
    assert turns(only({"question": "q", "answer": '["a", "b"]'}))[-1] == (A, '["a", "b"]')
    for printed in ("['a', 'b']", "{'text': ['a'], 'answer_start': [1]}"):
        assert "Python's own notation" in refused({"question": "q", "answers": printed})[1]


def test_a_mark_of_what_is_missing_is_no_thought() -> None:
    row = {"question": "q", "answer": "a", "reasoning_content": "nan", "thinking": "t"}
    (draft,), noted_ = noted(row)
    assert draft.messages[-1].get("reasoning") == "t"
    assert noted_ == ["skipped missing_marker"]


@pytest.mark.parametrize("role", [S, U, A, T])
def test_bytes_that_are_no_text_say_so_in_every_place(role: str) -> None:
    bad = b"\xff"
    assert refused({"messages": [{"role": role, "content": bad}]})[0] == "invalid_utf8"
    for row in ({"prompt": bad, "completion": "a"}, {"prompt": "q", "completion": bad}):
        assert refused(row)[0] == "invalid_utf8"


def test_a_conversation_of_no_turn_says_so() -> None:
    assert refused({"messages": []}) == ("no_assistant_turn", "there is no turn")


def test_thoughts_beside_responses_keep_their_places() -> None:
    for responses in ([None, "a", "b"], [{"text": None}, {"text": "a"}, "b"]):
        row = {"prompt": "q", "responses": responses, "reasoning": ["s", "t", None]}
        found = drafts(row)
        assert [draft.messages[-1]["content"] for draft in found] == ["a", "b"]
        assert [draft.messages[-1].get("reasoning") for draft in found] == ["t", None]


@pytest.mark.parametrize("value", [[], [1, 2], [{"title": "t"}], [["a"]], [None], "a", {"a": 1}])
def test_data_that_no_turns_can_be_is_no_conversation(value: Any) -> None:
    assert detect({"data": value}, {}) is None


def test_a_turn_by_nobody_says_what_it_has() -> None:
    detail = refused({"messages": [{"speaker": U, "text": "q"}]})[1]
    assert (
        detail
        == "a turn of 'messages' has no role; got 'speaker', 'text', expected 'role' or 'from'"
    )
