# ruff: noqa: RUF001 (DeepSeek's control tokens are made of such characters)
"""Chat templates in the form of fourteen families, and rows of each kind.

The templates are our own, shortened; what they do with calls, thoughts, system turns and white
space is what the templates of those families do.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from siftline.contracts.examples import Message

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

FOLDER = Path(__file__).parent / "chat_templates"


class Family(NamedTuple):
    """What a trainer of the family has to know.

    Attributes:
        control: Its control tokens, a space between; the first one ends a text, and so is EOS.
        thought: The name under which its template reads thoughts, None where it reads none.
        text: Arguments are to be JSON text.
        silent: The content of a turn that only calls is to be null.
        bos: The text that begins a conversation.
    """

    control: str
    thought: str | None = None
    text: bool = False
    silent: bool = False
    bos: str | None = None


_CHATML = "<|im_end|> <|im_start|> <|endoftext|>"
FAMILIES = {
    "chatml": Family(_CHATML),
    "qwen2_5": Family(_CHATML),
    "qwen3": Family(_CHATML, "reasoning_content"),
    "qwen3_thinking": Family(_CHATML, "reasoning_content"),
    "llama3_1": Family(
        "<|eot_id|> <|start_header_id|> <|end_header_id|> <|eom_id|> <|begin|>", bos="<|begin|>"
    ),
    "mistral": Family(
        "</s> <s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS] "
        "[/TOOL_RESULTS]",
        bos="<s>",
    ),
    "gemma": Family("<end_of_turn> <start_of_turn> <bos>", bos="<bos>"),
    "deepseek_r1": Family(
        "<｜end▁of▁sentence｜> <｜begin｜> <｜User｜> <｜Assistant｜> <｜calls▁begin｜> "
        "<｜calls▁end｜> <｜call▁begin｜> <｜call▁end｜> <｜call▁sep｜> <｜outputs▁begin｜> "
        "<｜outputs▁end｜> <｜output▁begin｜> <｜output▁end｜>",
        text=True,
        silent=True,
        bos="<｜begin｜>",
    ),
    "phi": Family("<|endoftext|> <|end|> <|system|> <|user|> <|assistant|>"),
    "hermes": Family(_CHATML, bos="<|endoftext|>"),
    "command_r": Family(
        "<|END_OF_TURN_TOKEN|> <|START_OF_TURN_TOKEN|> <|USER_TOKEN|> <|SYSTEM_TOKEN|> "
        "<|CHATBOT_TOKEN|> <BOS_TOKEN>",
        bos="<BOS_TOKEN>",
    ),
    "gpt_oss": Family("<|return|> <|start|> <|end|> <|call|> <|message|> <|channel|>", "thinking"),
    "glm": Family(
        "<|endoftext|> [gMASK] <sop> <|system|> <|user|> <|assistant|> <|observation|>",
        "reasoning_content",
    ),
    "olmo": Family("<|endoftext|>", bos="<|endoftext|>"),
}

ROME = {"town": "Rome", "days": [1, 2], "unit": None}
_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}
_CLOCK = {"type": "function", "function": {"name": "clock", "description": "", "parameters": {}}}
TOOLS = [_TOOL, _CLOCK]


def _call(number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call{number:05d}", "type": "function", "function": function}


def _turn(role: str, content: str = "", *calls: dict[str, Any], **fields: Any) -> Message:
    made: Any = {"role": role, "content": content, **fields}
    made |= {"tool_calls": json.dumps(calls)} if calls else {}
    turn: Message = made
    return turn


_ASKED = _turn("user", "How warm is it in Rome?")
_CALLED = _turn("assistant", "", _call(1, "weather", ROME))
_RESULT = _turn("tool", '{"degrees": 31}', tool_call_id="call00001")
_ONCE_MORE = [_turn("user", "Sure?"), _turn("assistant", "Yes.")]

ROWS: dict[str, list[Message]] = {
    "one turn": [_ASKED, _turn("assistant", "It is 31 degrees.")],
    "several turns": [_ASKED, _turn("assistant", "31."), *_ONCE_MORE],
    "system": [_turn("system", "Be brief."), _ASKED, _turn("assistant", "31.")],
    "white space, unicode": [
        _turn("user", "Déjà vu?\n\n\tأهلاً 👋🏽"),
        _turn("assistant", "  Ça va — 好的。\n\n```py\nx = {'a': 1}\n```\n"),
    ],
    "ends in a call": [_ASKED, _CALLED],
    "says and calls": [_ASKED, _turn("assistant", "I look.", _call(1, "weather", ROME))],
    "parallel calls": [
        _ASKED,
        _turn("assistant", "", _call(1, "weather", ROME), _call(2, "clock", {"zone": 'the "C"'})),
    ],
    "call, result, answer": [_ASKED, _CALLED, _RESULT, _turn("assistant", "31 degrees.")],
    "call, tools not listed": [_ASKED, _CALLED],
    "thought": [_ASKED, _turn("assistant", "31.", reasoning="It is July.\n\nSo it is hot.")],
    "thought, then call": [
        _ASKED,
        _turn("assistant", "", _call(1, "weather", ROME), reasoning="I must look."),
    ],
    "earlier thought": [_ASKED, _turn("assistant", "31.", reasoning="It is July."), *_ONCE_MORE],
    "thoughts and calls in turn": [
        _ASKED,
        _turn("assistant", "", _call(1, "weather", ROME), reasoning="I must look."),
        _RESULT,
        _turn("assistant", "31.", reasoning="There it stands."),
    ],
    "control token in a call": [
        _ASKED,
        _turn("assistant", "", _call(1, "weather", {"town": "Rome<|im_end|>"})),
    ],
    "thought in the text": [_ASKED, _turn("assistant", "<think>\nIt is July.\n</think>\n\n31.")],
}


def tools_of(row: str) -> list[dict[str, Any]]:
    """Return what a row offers to be called."""
    return TOOLS if "call" in row and "not listed" not in row else []


def tokenizer_of(name: str) -> Any:
    """Return a tokenizer of bytes with the control tokens and the chat template of a family."""
    family = FAMILIES[name]
    control = family.control.split()
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300 + len(control),
        special_tokens=control,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["the tool_call of weather in Rome, it is"] * 3, trainer)
    made.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=family.bos, eos_token=control[0]
    )
    tokenizer.chat_template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    return tokenizer


def trainer_messages(family: Family, turns: list[Message]) -> list[dict[str, Any]]:
    """Return turns as a trainer of the family hands them to its template."""
    made = []
    for turn in turns:
        message: dict[str, Any] = {"role": turn["role"], "content": turn["content"]}
        calls = json.loads(turn.get("tool_calls") or "[]")
        if family.text:
            for call in calls:
                arguments = call["function"]["arguments"]
                call["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False)
        if calls:
            message["tool_calls"] = calls
        if family.silent and calls and not message["content"]:
            message["content"] = None
        if turn.get("tool_call_id"):
            message["tool_call_id"] = turn["tool_call_id"]
        if family.thought and turn.get("reasoning"):
            message[family.thought] = turn["reasoning"]
        made.append(message)
    return made
