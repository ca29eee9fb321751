"""Rows as people train agents on: calls, results, reasoning, weights, images; one of each kind.

`OPENAI` has them as a file of OpenAI's form would, by name; :func:`examples` as ingestion keeps
them, and :func:`agent_table` as the table that a scorer sees. All of them are sound: a test that
wants a fault makes one (`altered`).
"""

import copy
import json
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.examples import Message, content_hash, prompt_hash

Record = dict[str, Any]

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a town.",
        "parameters": {
            "type": "object",
            "properties": {
                "town": {"type": "string"},
                "unit": {"enum": ["celsius", "fahrenheit", None], "default": None},
            },
            "required": ["town"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "The time in a zone.",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
    },
}
TOOLS = [WEATHER, CLOCK]
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def call(name: str, arguments: Any, number: int | None = None) -> Record:
    """Return a call as OpenAI's API writes it: its arguments are a text."""
    made = {
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
    return made if number is None else {"id": f"call_{number}", **made}


def system(text: str) -> Record:
    return {"role": "system", "content": text}


def user(content: Any) -> Record:
    return {"role": "user", "content": content}


def assistant(content: str | None = None, *calls: Record, **fields: Any) -> Record:
    made = {"role": "assistant", "content": content, **fields}
    return {**made, "tool_calls": list(calls)} if calls else made


def result(content: str, number: int | None = None, name: str | None = None) -> Record:
    made: Record = {"role": "tool", "content": content}
    made |= {} if number is None else {"tool_call_id": f"call_{number}"}
    return made if name is None else {**made, "name": name}


OPENAI: dict[str, Record] = {
    "plain": {"messages": [user("Two and two?"), assistant("Four.")]},
    "ends_in_call": {
        "messages": [
            system("You may use tools."),
            user("What is the weather in Rome?"),
            assistant(None, call("weather", {"town": "Rome"}, 1)),
        ],
        "tools": TOOLS,
    },
    "says_and_calls": {
        "messages": [
            user("And in Oslo, in celsius?"),
            assistant("I look it up.", call("weather", {"town": "Oslo", "unit": "celsius"}, 1)),
        ],
        "tools": TOOLS,
    },
    "answers_a_result": {
        "messages": [
            user("Is it warm in Rome?"),
            assistant(None, call("weather", {"town": "Rome"}, 1)),
            result('{"degrees": 31}', 1),
            assistant("Yes, it is 31 degrees."),
        ],
        "tools": TOOLS,
    },
    "parallel_calls": {
        "messages": [
            user("How warm is it in Rome, and how late?"),
            assistant(
                None, call("weather", {"town": "Rome"}, 1), call("clock", {"zone": "CET"}, 2)
            ),
            result("09:30", 2),  # the second one answers first
            result("31 degrees", 1),
            assistant("It is 31 degrees at half past nine."),
        ],
        "tools": TOOLS,
    },
    "results_by_name": {  # no ids, as datasets of the first agents have them
        "messages": [
            user("How late is it in Rome?"),
            assistant(None, call("clock", {"zone": "CET"})),
            result("09:30", name="clock"),
            assistant("Half past nine."),
        ],
        "tools": TOOLS,
    },
    "null_argument": {
        "messages": [
            user("The weather in Lima, in any unit."),
            assistant(None, call("weather", {"town": "Lima", "unit": None}, 1)),
        ],
        "tools": TOOLS,
    },
    "reasons": {
        "messages": [
            user("What is 17 times 6?"),
            assistant("102.", reasoning_content="Ten times six is 60, seven times six is 42."),
        ]
    },
    "thinks_in_text": {
        "messages": [
            user("What is 17 times 5?"),
            assistant("<think>\nTen fives are 50, seven fives 35.\n</think>\n\n85."),
        ]
    },
    "reasons_and_calls": {
        "messages": [
            user("Should I take a coat in Oslo?"),
            assistant(
                None,
                call("weather", {"town": "Oslo"}, 1),
                reasoning_content="That depends on the weather there.",
            ),
        ],
        "tools": TOOLS,
    },
    "long_order": {  # an assistant that goes on, and a user who speaks after a result
        "messages": [
            user("Compare Rome and Oslo."),
            assistant("First Rome."),
            assistant(None, call("weather", {"town": "Rome"}, 1)),
            result("31 degrees", 1),
            user("Go on."),
            assistant(None, call("weather", {"town": "Oslo"}, 2)),
            result("12 degrees", 2),
            assistant("Rome is 19 degrees warmer."),
        ],
        "tools": TOOLS,
    },
    "weighted": {
        "messages": [
            user("A word with x?"),
            assistant("Cat.", weight=0),
            user("That has none."),
            assistant("Box.", weight=1),
        ]
    },
    "image_parts": {
        "messages": [
            user(
                [
                    {"type": "text", "text": "What is in this picture?"},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                ]
            ),
            assistant("One dark pixel."),
        ]
    },
    "image_column": {
        "messages": [user("<image>Which animal is it?"), assistant("A heron.")],
        "images": ["pictures/heron.png"],
    },
}


def altered(name: str, change: Callable[[Record], None]) -> Record:
    """Return a copy of a row of `OPENAI` that `change` has edited."""
    record = copy.deepcopy(OPENAI[name])
    change(record)
    return record


def example(record: Record, name: str = "r", **columns: Any) -> Record:
    """Return a row of OpenAI's form as a row of the examples."""
    parts = {
        str(place): turn["content"]
        for place, turn in enumerate(record["messages"])
        if isinstance(turn["content"], list)
    }
    media = {"parts": parts} if parts else {}
    media |= {key: record[key] for key in ("images", "videos", "audios") if key in record}
    tools = json.dumps(record["tools"]) if record.get("tools") else None
    texts = json.dumps(media) if media else None
    messages = [_message(turn) for turn in record["messages"]]
    made = {
        "id": name,
        "content_hash": content_hash(messages, tools, texts),
        "prompt_id": prompt_hash(messages, tools, texts),
        "messages": messages,
        "tools": tools,
        "media": texts,
        "source": "agents",
        "metadata": "{}",
        "file": "agents.jsonl",
        "row": 1,
    }
    return {**made, **columns}


def examples(names: Iterable[str] = OPENAI) -> list[Record]:
    """Return rows of `OPENAI` as rows of the examples; their ids are their names."""
    return [example(OPENAI[name], name, row=row) for row, name in enumerate(names, 1)]


def agent_table(names: Iterable[str] = OPENAI) -> pa.Table:
    """Return rows of `OPENAI` as the table that a scorer sees."""
    return pa.Table.from_pylist(examples(names), schema=EXAMPLES)


def _message(turn: Record) -> Message:
    content = turn["content"]
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    message = Message(role=turn["role"], content=content or "")
    if turn.get("tool_calls"):
        message["tool_calls"] = json.dumps([_call(each) for each in turn["tool_calls"]])
    message["reasoning"] = turn.get("reasoning_content")
    message["tool_call_id"] = turn.get("tool_call_id")
    message["name"] = turn.get("name")
    message["weight"] = None if turn.get("weight") is None else float(turn["weight"])
    return message


def _call(call: Record) -> Record:
    """Return a call with its arguments as the object that their text holds, if it holds one."""
    function, arguments = call["function"], call["function"]["arguments"]
    try:
        parsed = json.loads(arguments)
    except ValueError:
        parsed = None
    held = parsed if isinstance(parsed, dict) else arguments
    return {**call, "function": {**function, "arguments": held}}
