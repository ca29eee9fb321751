"""Turns as chat templates and servers take them: dictionaries without the keys that a turn lacks.

Templates test whether a key is there (`'tool_calls' in message`), so a null would be a lie.
"""

import functools
import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jinja2

from siftline.contracts.examples import Message, calls_of, with_thought
from siftline.contracts.model_spec import ModelSpec

Tools: TypeAlias = Sequence[dict[str, Any]]
"""What a conversation offers to be called, as its data has them."""

# The names under which templates read the thought of a turn.
_THOUGHT_NAMES = ("reasoning_content", "reasoning", "thinking")


class ChatOptions(NamedTuple):
    """How the recipe wants turns to reach the model's chat template.

    Attributes:
        system: `merge` puts system turns into the user's turn behind them, blank lines between.
        reasoning: `inline` puts a thought before the content, as a `<think>` block.
    """

    system: Literal["keep", "merge"] = "keep"
    reasoning: Literal["template", "inline"] = "template"

    @classmethod
    def of(cls, spec: ModelSpec) -> "ChatOptions":
        """Return what a recipe says of a model."""
        return cls(spec.system, spec.reasoning)


AS_GIVEN = ChatOptions()


class CallForm(NamedTuple):
    """How calls are handed over, on which templates differ.

    Attributes:
        text: Arguments are JSON text instead of an object.
        silent: A turn that only calls has null as its content instead of an empty text.
    """

    text: bool = False
    silent: bool = False


# The forms that templates expect, the most frequent first.
CALL_FORMS = (CallForm(), CallForm(silent=True), CallForm(text=True), CallForm(True, True))


def template_messages(
    messages: Sequence[Message],
    thoughts: Sequence[str],
    form: CallForm,
    options: ChatOptions,
) -> list[dict[str, Any]]:
    """Return turns as a chat template takes them.

    Args:
        messages: The turns.
        thoughts: The names under which the template reads a thought.
        form: How calls are handed over.
        options: What the recipe says.
    """
    made = []
    for turn in _merged(messages) if options.system == "merge" else messages:
        message = _as_dict(turn, form)
        reasoning = turn.get("reasoning")
        if reasoning and options.reasoning == "inline":
            message["content"] = with_thought(turn)
        elif reasoning:
            message |= dict.fromkeys(thoughts, reasoning)
        made.append(message)
    return made


def server_messages(messages: Sequence[Message], options: ChatOptions) -> list[dict[str, Any]]:
    """Return turns as the protocol of OpenAI has them: arguments as text, and no thoughts.

    The protocol has no field for the thoughts of earlier turns; `reasoning: inline` puts them into
    the content.

    Args:
        messages: The turns.
        options: What the recipe says.
    """
    return template_messages(messages, (), CallForm(text=True, silent=True), options)


def server_tools(tools: Tools) -> list[dict[str, Any]]:
    """Return tools as the protocol of OpenAI has them; a bare function gets its envelope."""
    return [
        {"type": "function", "function": tool} if name_of(tool) and "function" not in tool else tool
        for tool in tools
    ]


def name_of(tool: dict[str, Any]) -> str | None:
    """Return the name of a tool, in its envelope or bare; None where it has none."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


@functools.cache  # by content
def thought_names(template: str) -> tuple[str, ...]:
    """Return the names under which the source of a chat template reads thoughts.

    A name counts as a key or an attribute; a variable of that name is a switch of the template.
    """
    tokens = [
        (kind, text)
        for _, kind, text in jinja2.Environment().lex(template)
        if kind not in ("whitespace", "data")
    ]
    read = {
        text.strip("'\"")
        for (_, before), (kind, text) in zip([("", ""), *tokens], tokens, strict=False)
        if kind == "string" or (kind == "name" and before == ".")
    }
    return tuple(name for name in _THOUGHT_NAMES if name in read)


def _as_dict(turn: Message, form: CallForm) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn["role"], "content": turn["content"]}
    for key in ("name", "tool_call_id"):
        if (value := turn.get(key)) is not None:
            message[key] = value
    if calls := calls_of(turn):
        message["tool_calls"] = [_with_text(call) for call in calls] if form.text else calls
        if form.silent and not turn["content"]:
            message["content"] = None
    return message


def _with_text(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call whose arguments are JSON text."""
    arguments = call["function"]["arguments"]
    if isinstance(arguments, str):
        return call
    text = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": text}}


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Put system turns into the user's turn behind them; those without such a turn stay."""
    made: list[Message] = []
    for turn in messages:
        systems = []
        while turn["role"] == "user" and made and made[-1]["role"] == "system":
            systems.append(made.pop()["content"])
        said = [text for text in systems[::-1] if text.strip()]  # an empty one says nothing
        content = "\n\n".join([*said, turn["content"]])
        made.append({**turn, "content": content} if systems else turn)
    return made
