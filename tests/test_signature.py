"""What is one example in two forms, and what is two examples."""

from typing import Any

import pyarrow as pa
import pytest
from agent_rows import (
    OPENAI,
    PIXEL,
    TOOLS,
    WEATHER,
    agent_table,
    altered,
    assistant,
    call,
    example,
    result,
    user,
)

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.runtime import Runtime
from siftline.scorers.signature import Signature

Record = dict[str, Any]


def signatures(*records: Record) -> list[str]:
    rows = [example(record, f"r{n}") for n, record in enumerate(records)]
    table = pa.Table.from_pylist(rows, schema=EXAMPLES)
    found: list[str] = Signature().score(table, Runtime()).table["text"].to_pylist()
    return found


def asked(*turns: Record, question: Any = "How warm?", **columns: Any) -> Record:
    return {"messages": [user(question), *turns], **columns}


def answered(thought: str, text: str) -> Record:
    return asked(assistant(text, reasoning_content=thought))


def called(*ids: int | None, results: tuple[int | None, ...] = ()) -> Record:
    calls = [call("weather", {"town": "Rome", "unit": None}, number) for number in ids]
    return asked(assistant("", *calls), *[result("31", n) for n in results], assistant("31"))


def nested(arguments: Any, tools: Any = TOOLS) -> Record:
    return asked(assistant(None, call("weather", arguments)), tools=tools)


def seen(url: str, text: str = "What is it?") -> Record:
    part = {"type": "image_url", "image_url": {"url": url}}
    return asked(assistant("A dot."), question=[{"type": "text", "text": text}, part])


def weighted(*weights: float | None) -> Record:
    return asked(*[assistant("Hot.", weight=weight) for weight in weights])


SAME: dict[str, tuple[Record, Record]] = {
    "case and white space": (asked(assistant("Very  warm.")), asked(assistant("very\nWARM."))),
    "of a thought": (answered("It  is\nJuly.", "Hot."), answered("it is july.", "Hot.")),
    "a thought in its field or in a block": (
        answered("It is July.", "Hot."),
        asked(assistant("<think>\nIt is July.\n</think>\n\nHot.")),
    ),
    "a block without line ends": (
        asked(assistant("<think>It is July.</think>Hot.")),
        asked(assistant("<think>\nIt is July.\n</think>\n\nHot.")),
    ),
    "another family's marks": (
        answered("It is July.", "Hot."),
        asked(assistant("[THINK]It is July.[/THINK]Hot.")),
    ),
    "an empty thought": (answered("", "Hot."), asked(assistant("<think>\n\n</think>\n\nHot."))),
    "ids": (called(1, 2, results=(2, 1)), called(7, 3, results=(3, 7))),
    "ids that are used twice": (
        asked(*called(1, results=(1,))["messages"], *called(1, results=(1,))["messages"]),
        asked(*called(1, results=(1,))["messages"], *called(2, results=(2,))["messages"]),
    ),
    "the order of an argument's keys": (
        nested({"town": "Rome", "at": {"day": 1, "hour": 2}}),
        nested({"at": {"hour": 2, "day": 1}, "town": "Rome"}),
    ),
    "a text beside an image": (seen(PIXEL), seen(PIXEL, "what  is it?")),
    "a weight of one": (weighted(1), weighted(None)),
}

DIFFERENT: dict[str, tuple[Record, Record]] = {
    "thoughts": (answered("It is July.", "Hot."), answered("It is August.", "Hot.")),
    "a thought and none": (answered("It is July.", "Hot."), asked(assistant("Hot."))),
    "a thought and a text": (answered("It is July.", "Hot."), asked(assistant("It is July. Hot."))),
    "a user's block": (
        asked(assistant("Hot."), question="<think>a</think>b"),
        asked(assistant("Hot."), question="<think>a</think> b"),
    ),
    "arguments": (nested({"town": "Rome"}), nested({"town": "rome"})),
    "a null and nothing": (nested({"town": "Rome", "unit": None}), nested({"town": "Rome"})),
    "a number and its text": (nested({"day": 1}), nested({"day": "1"})),
    "a call and none": (nested({"town": "Rome"}), asked(assistant(""), tools=TOOLS)),
    "which call a result answers": (
        called(1, 2, results=(1, 2)),
        called(1, 2, results=(2, 1)),
    ),
    "tools": (nested({"town": "Rome"}), nested({"town": "Rome"}, [WEATHER])),
    "images": (seen(PIXEL), seen(PIXEL + "A")),
    "an image and none": (seen(PIXEL), asked(assistant("A dot."), question="What is it?")),
    "a column of images": (
        {**OPENAI["image_column"], "images": ["a.png"]},
        {**OPENAI["image_column"], "images": ["b.png"]},
    ),
    "turns that are trained on": (weighted(0, None), weighted(None, 0)),
    "speakers": (
        {"messages": [{**user("Hi"), "name": "Ann"}, assistant("Hello.")]},
        {"messages": [{**user("Hi"), "name": "Bob"}, assistant("Hello.")]},
    ),
}


@pytest.mark.parametrize("name", sorted(SAME))
def test_one_in_two_forms(name: str) -> None:
    first, second = signatures(*SAME[name])
    assert first == second


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_two(name: str) -> None:
    first, second = signatures(*DIFFERENT[name])
    assert first != second


def test_none_of_the_rows_that_agents_are_trained_on_is_another() -> None:
    found = Signature().score(agent_table(), Runtime()).table["text"].to_pylist()
    assert len(set(found)) == len(OPENAI)


def test_ids_alone_make_no_other_row() -> None:
    def renamed(record: Record) -> None:
        for turn in record["messages"]:
            for each in turn.get("tool_calls", ()):
                each["id"] = f"toolu_{each['id'][-1]}"
            if "tool_call_id" in turn:
                turn["tool_call_id"] = f"toolu_{turn['tool_call_id'][-1]}"

    first, second = signatures(OPENAI["long_order"], altered("long_order", renamed))
    assert first == second
