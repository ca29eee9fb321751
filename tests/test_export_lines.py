"""The formats of JSON lines: what a line holds, and which rows have no place in them."""

import json
from pathlib import Path
from typing import Any

import pytest
from agent_rows import OPENAI, TOOLS, altered, assistant, call, example, examples, result, user
from exports import export_rows, read_lines
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.errors import RunError
from siftline.pipelines.output.formats.fitting import MisfitError
from siftline.pipelines.output.formats.openai import openai_row
from siftline.pipelines.output.formats.sharegpt import sharegpt_row
from siftline.pipelines.output.formats.single_turn import alpaca_row, prompt_completion_row

Record = dict[str, Any]


def row(*turns: Record, **columns: Any) -> Record:
    return example({"messages": list(turns), **columns})


# openai


@pytest.mark.parametrize("name", [name for name in OPENAI if name != "image_column"])
def test_openai_is_what_openai_writes(name: str) -> None:
    made = openai_row(example(OPENAI[name]))
    expected = altered(name, lambda _: None)
    for turn in expected["messages"]:
        for called in turn.get("tool_calls", []):  # arguments are JSON, whatever its white space
            text = json.loads(called["function"]["arguments"])
            called["function"]["arguments"] = json.dumps(text, ensure_ascii=False)
    if name == "results_by_name":  # OpenAI takes no call without an id
        expected["messages"][1]["tool_calls"][0]["id"] = "call_0"
        expected["messages"][2]["tool_call_id"] = "call_0"
    assert made == expected


def test_openai_puts_bare_functions_into_tools() -> None:
    bare = {"name": "f", "parameters": {}}
    made = openai_row(row(user("a"), assistant("b"), tools=[bare, TOOLS[0]]))
    assert made["tools"] == [{"type": "function", "function": bare}, TOOLS[0]]


def test_openai_gives_each_call_without_an_id_one_of_its_own() -> None:
    calls = [call("f", {}), call("g", {}, 7), call("h", {})]
    turns = [user("a"), assistant(None, *calls), result("1"), result("2", 7), result("3")]
    made = openai_row(row(*turns, assistant("b")))["messages"]
    assert [each["id"] for each in made[1]["tool_calls"]] == ["call_0", "call_7", "call_1"]
    assert [turn["tool_call_id"] for turn in made[2:5]] == ["call_0", "call_7", "call_1"]


def test_openai_makes_up_no_id_that_another_call_has() -> None:
    calls = [call("f", {}), call("g", {}, 0), call("h", {})]
    turns = [user("a"), assistant(None, *calls), result("1"), result("2", 0), result("3")]
    made = openai_row(row(*turns, assistant("b")))["messages"]
    assert [each["id"] for each in made[1]["tool_calls"]] == ["call_1", "call_0", "call_2"]
    assert [turn["tool_call_id"] for turn in made[2:5]] == ["call_1", "call_0", "call_2"]


def test_openai_gives_a_result_that_has_a_name_the_id_of_that_call() -> None:
    turns = [user("a"), assistant(None, call("f", {}), call("g", {}), call("f", {}))]
    results = [result("1", name="g"), result("2", name="f"), result("3"), result("4")]
    made = openai_row(row(*turns, *results, assistant("b")))["messages"]
    assert [turn.get("tool_call_id") for turn in made[2:6]] == ["call_1", "call_0", "call_2", None]


def test_openai_arguments_that_are_no_json_stay_as_they_are() -> None:
    broken = {"type": "function", "function": {"name": "f", "arguments": "{'a'"}}
    made = openai_row(row(user("a"), {**assistant(None, broken)}))
    assert made["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{'a'"


# sharegpt


def test_sharegpt_of_each_kind() -> None:
    thought = "<think>\nThat depends on the weather there.\n</think>\n\n"
    coat = '<tool_call>{"name": "weather", "arguments": {"town": "Oslo"}}</tool_call>'
    made = sharegpt_row(example(OPENAI["reasons_and_calls"]))
    assert made == {
        "conversations": [
            {"from": "human", "value": "Should I take a coat in Oslo?"},
            {"from": "function_call", "value": thought + coat},
        ],
        "system": "",
        "tools": json.dumps(TOOLS),
    }
    made = sharegpt_row(example(OPENAI["ends_in_call"]))
    assert made["system"] == "You may use tools."
    bare = '{"name": "weather", "arguments": {"town": "Rome"}}'
    assert made["conversations"][-1] == {"from": "function_call", "value": bare}
    made = sharegpt_row(example(OPENAI["parallel_calls"]))
    _, called, results, answer = made["conversations"]
    assert [each["name"] for each in json.loads(called["value"])] == ["weather", "clock"]
    joined = "09:30\n</tool_response>\n<tool_response>\n31 degrees"
    assert results == {"from": "observation", "value": joined}
    assert answer["from"] == "gpt"
    said = sharegpt_row(example(OPENAI["says_and_calls"]))["conversations"][-1]["value"]
    words, mark, rest = said.partition("\n<tool_call>")
    assert words == "I look it up."
    assert json.loads(rest.removesuffix("</tool_call>"))["name"] == "weather"
    assert mark


@pytest.mark.parametrize(
    ("turns", "slug"),
    [
        ([user("a"), assistant("b"), assistant("c")], "order"),
        ([user("a"), user("b"), assistant("c")], "order"),
        ([user("a"), assistant("b"), {"role": "system", "content": "s"}, user("c"), assistant("d")],
         "system_later"),
        ([{"role": "system", "content": ""}, user("a"), assistant("b")], "system_empty"),
        ([user("a"), assistant("b", weight=0), user("c"), assistant("d")], "weights"),
        ([user("a"), assistant("b", weight=0.5), user("c"), assistant("d", weight=1)], "weight"),
        ([user("a"), assistant("<tool_call>", call("f", {}))], "marks"),
    ],
)  # fmt: skip
def test_rows_that_sharegpt_cannot_hold(turns: list[Record], slug: str) -> None:
    with pytest.raises(MisfitError) as caught:
        sharegpt_row(row(*turns))
    assert caught.value.slug == slug


def test_an_argument_is_never_taken_for_a_mark() -> None:
    arguments = {"x": "<tool_call>{}</tool_call><think>\n"}
    made = sharegpt_row(row(user("a"), assistant(None, call("f", arguments))))
    value = made["conversations"][-1]["value"]
    assert "<" not in value
    assert json.loads(value)["arguments"] == arguments


TURN_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(TURN_TEXT, TURN_TEXT), min_size=1, max_size=3), TURN_TEXT)
def test_texts_of_sharegpt_are_to_the_letter(pairs: list[tuple[str, str]], system: str) -> None:
    turns = [turn for asked, said in pairs for turn in (user(asked), assistant(said))]
    first = [{"role": "system", "content": system}] if system else []
    made = sharegpt_row(row(*first, *turns))
    assert made["system"] == system
    assert [turn["value"] for turn in made["conversations"]] == [
        text for pair in pairs for text in pair
    ]


# alpaca and prompt_completion


def test_single_turns() -> None:
    system = {"role": "system", "content": "Be brief."}
    made = alpaca_row(row(system, user("Two and two?"), assistant("Four.")))
    expected = {"instruction": "Two and two?", "input": "", "output": "Four."}
    assert made == {**expected, "system": "Be brief."}
    assert alpaca_row(example(OPENAI["plain"])) == {**expected, "system": ""}
    made = prompt_completion_row(example(OPENAI["reasons"]))
    assert made["prompt"] == "What is 17 times 6?"
    assert made["completion"].startswith("<think>\nTen times six is 60")
    assert made["completion"].endswith("</think>\n\n102.")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("ends_in_call", "calls"),
        ("answers_a_result", "calls"),
        ("weighted", "turns"),
        ("image_parts", "media"),
        ("image_column", "media"),
    ],
)
def test_rows_that_single_turns_cannot_hold(name: str, slug: str) -> None:
    for convert in (alpaca_row, prompt_completion_row):
        with pytest.raises(MisfitError) as caught:
            convert(example(OPENAI[name]))
        assert caught.value.slug == slug


@pytest.mark.parametrize(("weight", "slug"), [(0, "weights"), (0.5, "weight"), (1, None)])
def test_a_weight_is_not_lost(weight: float, slug: str | None) -> None:
    given = row(user("a"), assistant("b", weight=weight))
    for convert in (alpaca_row, prompt_completion_row, sharegpt_row):
        if slug is None:
            assert convert(given)
            continue
        with pytest.raises(MisfitError) as caught:
            convert(given)
        assert caught.value.slug == slug


def test_offered_tools_and_a_system_turn_are_not_lost() -> None:
    with pytest.raises(MisfitError, match="tools"):
        alpaca_row(row(user("a"), assistant("b"), tools=TOOLS))
    system = {"role": "system", "content": "s"}
    with pytest.raises(MisfitError, match="system"):
        prompt_completion_row(row(system, user("a"), assistant("b")))


# files


def test_thoughts_in_the_content_of_parts(tmp_path: Path) -> None:
    def think(record: Record) -> None:
        said = [{"type": "text", "text": "One."}]
        record["messages"][1] = {**assistant(reasoning_content="Count."), "content": said}

    export_rows(tmp_path, [example(altered("image_parts", think))], "openai", reasoning="inline")
    (line,) = read_lines(tmp_path)
    thought = {"type": "text", "text": "<think>\nCount.\n</think>\n\n"}
    assert line["messages"][1]["content"] == [thought, {"type": "text", "text": "One."}]
    assert "reasoning_content" not in line["messages"][1]


def test_lines_stand_in_the_order_of_the_rows(tmp_path: Path) -> None:
    kept = [name for name in OPENAI if name != "image_column"]
    written = export_rows(tmp_path, examples(kept), "openai", split="stage1")
    assert written.files == {"stage1": ["data/stage1.jsonl"]}
    asked = [line["messages"] for line in read_lines(tmp_path, "stage1")]
    assert [len(turns) for turns in asked] == [len(OPENAI[name]["messages"]) for name in kept]


def test_line_ends_inside_a_text_are_escapes(tmp_path: Path) -> None:
    text = "a\u2028b\r\nc\x85d\x00"
    export_rows(tmp_path, [row(user(text), assistant(text))] * 2, "alpaca")
    data = (tmp_path / "dataset" / "data" / "train.jsonl").read_bytes()
    assert [json.loads(line)["output"] for line in data.split(b"\n")[:-1]] == [text, text]


def test_a_refusal_counts_the_rows_by_what_is_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        export_rows(tmp_path, examples(), "alpaca")
    message = str(caught.value)
    assert message.startswith(
        "The format 'alpaca' cannot hold 11 of 14 rows (8 with calls of tools"
    )
    assert "2 with images, sounds or files, 1 with several turns" in message
    assert "'messages'" in message
    assert "\n" not in message
