"""Every fault of a conversation, each beside what looks like it and is right."""

from typing import Any

import pyarrow as pa
import pytest
from agent_rows import (
    CLOCK,
    OPENAI,
    PIXEL,
    TOOLS,
    WEATHER,
    agent_table,
    assistant,
    call,
    example,
    result,
    system,
    user,
)

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.method import Method
from siftline.contracts.runtime import Runtime
from siftline.filters.structure import Structure
from siftline.scorers.structure import FAULTS, StructureFaults

Record = dict[str, Any]
ROME = {"town": "Rome"}


def faults(*records: Record) -> list[dict[str, str]]:
    """Return the faults of rows, by slug."""
    rows = [example(record, f"r{n}") for n, record in enumerate(records)]
    table = pa.Table.from_pylist(rows, schema=EXAMPLES)
    scored = StructureFaults().score(table, Runtime()).table.drop_columns(["content_hash"])
    return [{k: v for k, v in row.items() if v is not None} for row in scored.to_pylist()]


def talk(*turns: Record, tools: Any = TOOLS, **columns: Any) -> Record:
    return {"messages": [user("How warm is it?"), *turns], "tools": tools, **columns}


def said(text: str, **fields: Any) -> Record:
    return talk(assistant(text, **fields))


def calling(name: str = "weather", arguments: Any = ROME, tools: Any = TOOLS) -> Record:
    return talk(assistant(None, call(name, arguments, 1)), tools=tools)


def raw(arguments: Any) -> Record:
    """Return a row whose call has arguments as they are, and not the JSON of them."""
    made = call("clock", {}, 1)
    made["function"]["arguments"] = arguments
    return talk(assistant(None, made))


def tool(schema: Any, name: str = "weather") -> Record:
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def typed(**properties: Any) -> Record:
    return {"type": "object", "properties": properties}


# The fault of a row, and where it is; the second turn is the first of the assistant.
FAULTY: dict[str, tuple[Record, str, str]] = {
    "another name": (calling("wether"), "unknown_tool", "turn 2: wether"),
    "another case": (calling("Weather"), "unknown_tool", "turn 2: Weather"),
    "the second of two calls": (
        talk(assistant(None, call("clock", {}, 1), call("watch", {}, 2))),
        "unknown_tool",
        "turn 2: watch",
    ),
    "no tools": (calling(tools=None), "no_tools_offered", "turn 2: weather"),
    "an empty list of tools": (calling(tools=[]), "no_tools_offered", "turn 2: weather"),
    "no JSON": (raw("{'zone': 'CET'}"), "arguments_not_json", "turn 2: clock"),
    "cut JSON": (raw('{"zone": "CE'), "arguments_not_json", "turn 2: clock"),
    "nothing": (raw(""), "arguments_not_json", "turn 2: clock"),
    "a list": (raw('["CET"]'), "arguments_not_json", "turn 2: clock"),
    "a missing argument": (
        calling(arguments={"unit": None}),
        "arguments_break_schema",
        "turn 2: weather: town: required",
    ),
    "an argument of another type": (
        calling(arguments={"town": 7}),
        "arguments_break_schema",
        "turn 2: weather: town: type",
    ),
    "none of the choices": (
        calling(arguments={"town": "Rome", "unit": "kelvin"}),
        "arguments_break_schema",
        "turn 2: weather: unit: enum",
    ),
    "an argument that there is not": (
        calling(arguments={"town": "Rome", "day": 1}),
        "arguments_break_schema",
        "turn 2: weather: day: additionalProperties",
    ),
    "the first place by name": (
        calling(arguments={"unit": 1, "day": 1}),
        "arguments_break_schema",
        "turn 2: weather: day: additionalProperties",
    ),
    "deep inside": (
        calling(
            arguments={"days": [{"hour": 1}, {"hour": "2"}]},
            tools=[tool(typed(days={"items": typed(hour={"type": "integer"})}))],
        ),
        "arguments_break_schema",
        "turn 2: weather: days.1.hour: type",
    ),
    "a type that is none": (
        calling(tools=[tool({"type": "dict", "properties": {}})]),
        "schema_invalid",
        "turn 2: that of weather names the type 'dict'",
    ),
    "a keyword of another type": (
        calling(tools=[tool({"type": "object", "required": "town"})]),
        "schema_invalid",
        "turn 2: that of weather is no valid one at required: type",
    ),
    "no schema at all": (
        calling(tools=[tool(["town"])]),
        "schema_invalid",
        "turn 2: that of weather is no object",
    ),
    "a result out of nowhere": (
        talk(assistant("Wait."), result("31", 1), assistant("31.")),
        "result_without_call",
        "turn 3: call_1",
    ),
    "a result of another id": (
        talk(
            assistant(None, call("weather", ROME, 1)),
            result("31", 1),
            result("32", 2),
            assistant("31."),
        ),
        "result_without_call",
        "turn 4: call_2",
    ),
    "an id, and no call but in a text": (
        talk(assistant("<tool_call>{}</tool_call>"), result("31", 1), assistant("31.")),
        "result_without_call",
        "turn 3: call_1",
    ),
    "two results for one call": (
        talk(
            assistant(None, call("weather", ROME, 1)),
            result("31", 1),
            result("31", 1),
            assistant("31."),
        ),
        "result_without_call",
        "turn 4: call_1",
    ),
    "one result more than calls": (
        talk(assistant(None, call("clock", {})), result("1"), result("2"), assistant("1.")),
        "result_without_call",
        "turn 4: without a name",
    ),
    "no result": (
        talk(assistant(None, call("weather", ROME, 1)), user("Well?"), assistant("31.")),
        "call_without_result",
        "turn 2: weather",
    ),
    "an answer in the place of a result": (
        talk(assistant(None, call("weather", ROME, 1)), assistant("31.")),
        "call_without_result",
        "turn 2: weather",
    ),
    "one result for two ids": (
        talk(
            assistant(None, call("weather", ROME, 1), call("clock", {}, 2)),
            result("31", 1),
            assistant("31."),
        ),
        "call_without_result",
        "turn 2: clock",
    ),
    "two results for three calls": (
        talk(
            assistant(None, *[call("clock", {})] * 3), result("1"), result("2"), assistant("1, 2.")
        ),
        "call_without_result",
        "turn 2: clock",
    ),
    "an assistant that says nothing": (said(" \n"), "empty_turn", "turn 2: assistant"),
    "a user who says nothing": (
        talk(assistant("31."), user(""), assistant("Yes.")),
        "empty_turn",
        "turn 3: user",
    ),
    "an empty system turn": (
        {"messages": [system(""), user("Hi"), assistant("Hello.")]},
        "empty_turn",
        "turn 1: system",
    ),
    "a thought that never ends": (
        said("<think>It is"),
        "broken_thought",
        "turn 2: <think> is not closed",
    ),
    "a thought of an earlier turn": (
        talk(assistant("<think>It is"), user("Well?"), assistant("31.")),
        "broken_thought",
        "turn 2: <think> is not closed",
    ),
    "a thought closed twice": (
        said("<think>Hot.</think></think>31."),
        "broken_thought",
        "turn 2: </think> closes nothing",
    ),
    "a thought opened twice": (
        said("<think><think>Hot.</think>31."),
        "broken_thought",
        "turn 2: <think> opens twice",
    ),
    "another mark closes": (
        said("<thinking>Hot.</think>31."),
        "broken_thought",
        "turn 2: <thinking> is not closed",
    ),
    "in a field": (
        said("31.", reasoning_content="<think>Hot."),
        "broken_thought",
        "turn 2: <think> is not closed",
    ),
    "the prompt has opened it": (
        said("Hot.\n</think>\n\n31."),
        "unopened_thought",
        "turn 2: </think> is not opened",
    ),
    "a thought alone": (
        said("", reasoning_content="Hot."),
        "thought_without_answer",
        "turn 2: nothing is said after the thought",
    ),
    "a thought in the text, and white space": (
        said("<think>Hot.</think>\n\n"),
        "thought_without_answer",
        "turn 2: nothing is said after the thought",
    ),
    "a thought alone before a question": (
        talk(assistant("", reasoning_content="Hot."), user("Well?"), assistant("31.")),
        "thought_without_answer",
        "turn 2: nothing is said after the thought",
    ),
    "a block that is not closed": (
        said("See:\n```python\n31"),
        "open_code_fence",
        "turn 2: line 2",
    ),
    "the second block": (
        said("```\na\n```\nand\n~~~\nb"),
        "open_code_fence",
        "turn 2: line 5",
    ),
    "closed by fewer": (said("````\na\n```"), "open_code_fence", "turn 2: line 1"),
    "closed by another mark": (said("```\na\n~~~"), "open_code_fence", "turn 2: line 1"),
    "text behind what closes": (said("```\na\n``` so"), "open_code_fence", "turn 2: line 1"),
    "in the item of a list": (said("- ```py\n  a"), "open_code_fence", "turn 2: line 1"),
    "after a thought": (
        said("<think>```</think>\n```\na"),
        "open_code_fence",
        "turn 2: line 2",
    ),
}

SOUND: dict[str, Record] = {
    "a tool in its bare form": calling(tools=[WEATHER["function"]]),
    "Anthropic's form": calling(tools=[{"name": "weather", "input_schema": typed()}]),
    "Gemini's form": calling(tools=[{"functionDeclarations": [{"name": "weather"}]}]),
    "MCP's form": calling(tools=[{"name": "weather", "inputSchema": typed()}]),
    "names alone": calling(tools=["weather", "clock"]),
    "a built-in tool": calling("web_search", {"query": "x"}, [{"type": "web_search"}, CLOCK]),
    "a server whose tools are not listed": calling("far", {}, [{"type": "mcp"}, CLOCK]),
    "a tool in an unknown form": calling("far", {}, [CLOCK, {"title": "far"}]),
    "no arguments": raw("{}"),
    "a tool without a schema": calling(tools=[{"function": {"name": "weather"}}]),
    "a list of parameters": calling(tools=[tool({"town": {"type": "str", "description": "x"}})]),
    "a parameter called type": calling(tools=[tool({"type": {"type": "str"}})]),
    "a schema as text": calling(tools=[tool('{"type": "object", "required": ["town"]}')]),
    "a schema of Draft 7": calling(
        arguments={"pair": ["a", 1]},
        tools=[tool(typed(pair={"items": [{"type": "string"}, {"type": "integer"}]}))],
    ),
    "OpenAPI's nullable": calling(
        arguments={"unit": None}, tools=[tool(typed(unit={"type": "string", "nullable": True}))]
    ),
    "an invalid schema that nobody calls": calling(
        tools=[WEATHER, tool({"type": "dict"}, "other")]
    ),
    "results in another order": OPENAI["parallel_calls"],
    "calls in turns of their own": talk(
        assistant(None, call("weather", ROME)),
        assistant(None, call("clock", {})),
        result("31"),
        result("09:30"),
        assistant("31."),
    ),
    "one observation for all calls": talk(
        assistant(None, call("weather", ROME), call("clock", {})),
        result('["31", "09:30"]'),
        assistant("31."),
    ),
    "ids on one side only": talk(
        assistant(None, call("weather", ROME)), result("31", 1), assistant("31.")
    ),
    "an id that is used again": talk(
        assistant(None, call("weather", ROME, 1)),
        result("31", 1),
        assistant(None, call("weather", ROME, 1)),
        result("32", 1),
        assistant("32."),
    ),
    "words between call and result": talk(
        assistant(None, call("weather", ROME, 1)),
        assistant("I look it up."),
        result("31", 1),
        assistant("31."),
    ),
    "calls at the end, in two turns": talk(
        assistant(None, call("weather", ROME, 1)), assistant(None, call("clock", {}, 2))
    ),
    "Hermes's calls in the text": talk(
        assistant('<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'),
        result("09:30"),
        result("10:30"),
        assistant("Half past nine."),
    ),
    "ReAct": talk(assistant("Thought: hm\nAction: clock[CET]"), result("9"), assistant("Nine.")),
    "code that is run": talk(assistant("```python\nprint(1)\n```"), result("1"), assistant("1.")),
    "a tool that says nothing": talk(
        assistant(None, call("clock", {}, 1)), result("", 1), assistant("Done.")
    ),
    "a thought, and then a call": talk(
        assistant(None, call("clock", {}, 1), reasoning_content="Which time?")
    ),
    "a thought in the text, and then a call": talk(
        assistant("<think>Which time?</think>", call("clock", {}, 1))
    ),
    "a thought, and then an image": said(
        [{"type": "image_url", "image_url": {"url": PIXEL}}],  # type: ignore[arg-type]
        reasoning_content="A chart is best.",
    ),
    "a thought in a turn of its own": talk(
        assistant("", reasoning_content="Hot."), assistant("31.")
    ),
    "an image alone": {
        "messages": [
            user([{"type": "image_url", "image_url": {"url": PIXEL}}]),
            user("What is it?"),
            assistant("A dot."),
        ]
    },
    "a column of images": {
        "messages": [user(""), user("What is it?"), assistant("A dot.")],
        "images": ["a.png"],
    },
    "two thoughts": said("<think>a</think>b<think>c</think>d"),
    "other marks in a thought": said("<think>The form is <reasoning>.</think>31."),
    "Mistral's marks": said("[THINK]a[/THINK]b"),
    "a user who quotes a mark": talk(
        assistant("31."), user("What is <think>?"), assistant("A tag.")
    ),
    "a longer fence closes": said("```\na\n`````"),
    "a shorter fence inside": said("````md\n```\na\n```\n````"),
    "a fence of tildes inside": said("```\n~~~\n```"),
    "an info string inside": said("```md\n```py\n```"),
    "code in a line": said("``` a ``` b\nand ```c```"),
    "fences of a list": said("1. a\n   ```py\n   x\n   ```\n2. b\n    ```\n    y\n    ```  "),
    "a fence behind a mark of a list": said("- ```py\n  a\n  ```"),
    "a fence in a quotation": said("> ```\n> a\n> ```"),
    "fences that end in CR LF": said("```\r\na\r\n```\r\nb"),
    "an open fence in a thought": said("<think>```\na</think>31."),
    "an open fence of a user": talk(assistant("31."), user("```\nx = 1"), assistant("One.")),
    "backticks in the middle": said("I write ```` to begin\na block, and ~~~ too"),
}


@pytest.mark.parametrize("name", sorted(FAULTY))
def test_the_fault_and_its_place(name: str) -> None:
    record, slug, place = FAULTY[name]
    assert faults(record) == [{slug: place}]


@pytest.mark.parametrize("name", sorted(SOUND))
def test_what_looks_like_a_fault_and_is_none(name: str) -> None:
    assert faults(SOUND[name]) == [{}]


def test_every_fault_is_in_the_table_above() -> None:
    assert {slug for _, slug, _ in FAULTY.values()} == set(FAULTS)


def test_the_rows_that_agents_are_trained_on_are_sound() -> None:
    assert faults(*OPENAI.values()) == [{}] * len(OPENAI)


def test_names_of_the_data_are_shown_in_one_short_line() -> None:
    (found,) = faults(calling("\x1b[31m\n" + "x" * 500))
    assert found["unknown_tool"].startswith("turn 2: \\x1b[31m xxx")
    assert len(found["unknown_tool"]) < 140


def corpus(method: Method, *records: Record) -> Corpus:
    rows = pa.Table.from_pylist(
        [example(record, f"r{n}") for n, record in enumerate(records)], schema=EXAMPLES
    )
    made = Corpus(rows=rows, shards=())
    for scorer in method.scorers():
        scores = scorer.score(rows, Runtime()).table.drop_columns(["content_hash"])
        made = made.with_scores(scorer.table, scores)
    return made


BOTH = talk(assistant("```\na", call("wether", {}, 1)))
ROWS = (OPENAI["plain"], BOTH, said("```\na"), calling("wether"))


@pytest.mark.parametrize(
    ("drop", "reasons", "keep"),
    [
        ([], ["kept", "unknown_tool", "open_code_fence", "unknown_tool"], [1, 1, 1, 1]),
        (
            ["unknown_tool"],
            ["kept", "unknown_tool", "open_code_fence", "unknown_tool"],
            [1, 0, 1, 0],
        ),
        (
            ["open_code_fence"],  # what drops a row is its reason, though it has another fault
            ["kept", "open_code_fence", "open_code_fence", "unknown_tool"],
            [1, 0, 0, 1],
        ),
    ],
)
def test_a_fault_is_reported_or_drops(drop: list[str], reasons: list[str], keep: list[int]) -> None:
    method = Structure.model_validate(dict.fromkeys(drop, "drop"))
    decided = method.decide(corpus(method, *ROWS))
    assert decided["reason"].to_pylist() == reasons
    assert decided["keep"].to_pylist() == [bool(each) for each in keep]


def test_what_is_dropped_is_no_part_of_what_is_measured() -> None:
    assert Structure(empty_turn="drop").scorers() == Structure().scorers()


def test_the_report_counts_rows_by_fault_and_names_some_that_are_kept() -> None:
    method = Structure(unknown_tool="drop")
    rows = corpus(method, *ROWS)
    decided = method.decide(rows)
    assert method.diagnose(rows, decided) == {
        "rows_with_a_fault": 3,
        "rows_by_fault": {"unknown_tool": 2, "open_code_fence": 2},
        "warnings": [
            "1 of 4 rows have a fault and are kept: open_code_fence 1. The columns structure.* of "
            "decisions.parquet say where; 'open_code_fence: drop' leaves such rows out."
        ],
    }
    assert method.picture(rows, decided) == {"reported": {"open_code_fence": ["r2"]}}


def test_faults_have_fields_in_their_order() -> None:
    assert tuple(Structure.model_fields) == ("kind", *FAULTS)


def test_the_table_of_a_scorer() -> None:
    table = StructureFaults().score(agent_table(), Runtime()).table
    assert table.column_names == ["content_hash", *FAULTS]
    assert {str(field.type) for field in table.schema} == {"string"}
