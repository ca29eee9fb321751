"""Conversations as text: what the model reads before the response, and the response.

`plain` is the template of GRAPE (arXiv 2502.04194, section 3.2), made for base models:

    Question: {instruction}
    Answer: {response}

The paper has single turns only. Ours for the rest: the text of a system message stands first,
turns alternate as `Question:`, `Answer:` and `Tool:`, one below the other, and the last answer is
scored. The space before the response belongs to the response, because tokenizers join it with the
first word.

`chat` is the model's own chat template. The response is what the template makes of the last turn:
behind what opens a turn of the model (the generation prompt) and before what ends it, which is
found by rendering a marker in its place. What the template writes by itself, such as an empty
thought, belongs to the prompt. A template may change the white space of a response, as most that
know thoughts do, and then the changed one is scored, as a trainer sees it; one that changes more,
or earlier turns, leaves nothing sound to be scored, and the row gets a status.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from siftline.contracts.examples import Message, calls_of
from siftline.models.likelihood import EMPTY_RESPONSE, LanguageModel, Pair

Template = Literal["plain", "chat"]

TEMPLATE_MISMATCH = "template_mismatch"  # the prompt is no prefix of the rendered conversation
TEMPLATE_ERROR = "template_error"  # the template refuses these messages
SPECIAL_TOKEN = "special_token"  # a message holds a control token of the template as text
TOOL_CALLS = "tool_calls"  # the turn calls tools: what it says beside that is no whole response

_LABELS = {"user": "Question: ", "assistant": "Answer: ", "tool": "Tool: ", "system": ""}
# What a chat template gets that asks for the time (`strftime_now`): a day that never changes, so
# that a text is the same tomorrow. It is the one that Llama 3's template falls back to by itself.
TEMPLATE_DATE = datetime(2024, 7, 26)
# A text that no message holds and no template changes.
_MARKER = "siftlineRESPONSEmarker"


class Prompt(NamedTuple):
    """A rendered conversation that is to be continued.

    Attributes:
        text: What the model reads.
        opening: The white space that belongs to the response and precedes its first word.
        special: Whether special tokens written in the text count as such.
        ending: The text that ends a response beside the end token; None if nothing does.
    """

    text: str
    opening: str
    special: bool
    ending: str | None

    @classmethod
    def of_text(cls, text: str) -> "Prompt":
        """Return a prompt that is the text as it stands, special tokens being only text."""
        return cls(text, opening="", special=False, ending=None)


def render(messages: Sequence[Message], template: Template, model: LanguageModel) -> Pair | str:
    """Render a conversation that ends in the response to be scored.

    Args:
        messages: The turns; the last one is the assistant's.
        template: The template to use.
        model: The model whose chat template is used.

    Returns:
        Prompt and response, or the status that says why there are none: `empty_response` or one
        of :func:`render_chat`.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    if not messages[-1]["content"].strip():
        return EMPTY_RESPONSE
    if template == "plain":
        return render_plain(messages)
    return render_chat(messages, model)


def render_plain(messages: Sequence[Message]) -> Pair:
    """Render a conversation through the template `plain`."""
    return Pair(plain_prompt(messages[:-1]), " " + messages[-1]["content"])


def plain_prompt(messages: Sequence[Message]) -> str:
    """Render the turns before a response through the template `plain`."""
    lines = [_LABELS[message["role"]] + message["content"] for message in messages]
    return "\n".join([*lines, "Answer:"])


def render_prompt(
    messages: Sequence[Message], template: Template, model: LanguageModel
) -> Prompt | str:
    """Render a conversation that the model is to continue.

    Args:
        messages: The turns so far.
        template: The template to use.
        model: The model whose chat template is used.

    Returns:
        The prompt, or one of the statuses `special_token` and `template_error`.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    if template == "plain":
        return Prompt(plain_prompt(messages), " ", special=False, ending="\nQuestion:")
    turns = list(messages)
    if _holds_special_token(turns, model):
        return SPECIAL_TOKEN
    try:
        text = model.render_chat(turns, generation_prompt=True)
    except ValueError:
        return TEMPLATE_ERROR
    return Prompt(text, "", special=True, ending=None)


def render_chat(messages: Sequence[Message], model: LanguageModel) -> Pair | str:
    """Render a conversation that ends in a response through the model's own chat template.

    Returns:
        Prompt and response, or one of the statuses `special_token`, `template_error` and
        `template_mismatch`.

    Raises:
        ModelError: The model has no chat template.
    """
    turns = list(messages)
    if _holds_special_token(turns, model):
        return SPECIAL_TOKEN
    marked = [*turns[:-1], Message(role=turns[-1]["role"], content=_MARKER)]
    try:
        opening = model.render_chat(turns[:-1], generation_prompt=True)
        framed = model.render_chat(marked, generation_prompt=False)
        whole = model.render_chat(turns, generation_prompt=False)
    except ValueError:
        return TEMPLATE_ERROR
    before, marker, tail = framed.rpartition(_MARKER)
    if opening.startswith(before):  # it opens a thought as well, which no turn has once it is over
        opening = before
    if not marker or not before.startswith(opening):
        return TEMPLATE_MISMATCH
    if not whole.startswith(opening) or not whole.endswith(tail):
        return TEMPLATE_MISMATCH
    body = whole[len(opening) : len(whole) - len(tail)]
    response = _response_in(body, turns[-1]["content"], opening, before[len(opening) :])
    if not response.strip():
        return TEMPLATE_MISMATCH
    prompt = whole[: len(opening) + len(body) - len(response)]
    return Pair(prompt, response, end=_end_token(tail, model), special=True)


def _response_in(body: str, content: str, opening: str, frame: str) -> str:
    """Return the response in what a template makes of a turn; empty where it is not in there.

    Args:
        body: What stands between the opening of the turn and its end.
        content: The response as the data has it.
        opening: What precedes the body; a thought that it opens is no part of the response.
        frame: What the template writes before a response without a thought.
    """
    for response in (content, content.strip()):  # many templates strip
        if body in (response, frame + response):
            return response
    rest = body.removeprefix(frame)
    wanted = _squeezed(content)
    if _squeezed(rest) == wanted:
        return rest
    # A template whose opening begins the thought leaves the rest of it to the model.
    return body if _squeezed(opening + body).endswith(wanted) else ""


def _squeezed(text: str) -> str:
    """Return a text without white space."""
    return "".join(text.split())


def render_turns(
    messages: Sequence[Message], template: Template, model: LanguageModel
) -> list[Pair | str]:
    """Render a conversation once for each of its assistant turns, up to and with that turn.

    A pair whose text is not the beginning of the last pair's text, because the template renders
    earlier turns differently, becomes `template_mismatch`.

    Args:
        messages: The turns; the last one is the assistant's.
        template: The template to use.
        model: The model whose chat template is used.

    Returns:
        By assistant turn, in order: its pair, or the status that says why it has none; see
        :func:`render`.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    ends = [number + 1 for number, turn in enumerate(messages) if turn["role"] == "assistant"]
    pairs = [render(messages[:end], template, model) for end in ends]
    last = pairs[-1]
    if isinstance(last, str):
        return pairs
    whole = last.prompt + last.response
    return [
        pair
        if isinstance(pair, str) or whole.startswith(pair.prompt + pair.response)
        else TEMPLATE_MISMATCH
        for pair in pairs
    ]


def render_row(
    messages: Sequence[Message], template: Template, model: LanguageModel
) -> list[Pair | str]:
    """Render a row as :func:`render_turns` does, with `tool_calls` for turns that call tools.

    Args:
        messages: The turns; the last one is the assistant's.
        template: The template to use.
        model: The model whose chat template is used.
    """
    called = [bool(calls_of(turn)) for turn in messages if turn["role"] == "assistant"]
    turns = render_turns(messages, template, model)
    return [TOOL_CALLS if each else turn for turn, each in zip(turns, called, strict=True)]


def as_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return the turns as plain dictionaries of role and content, for libraries that take those."""
    return [{"role": turn["role"], "content": turn["content"]} for turn in messages]


def _holds_special_token(turns: Sequence[Message], model: LanguageModel) -> bool:
    """Return whether a turn holds a control token: it could pretend to be several turns."""
    return any(token in turn["content"] for turn in turns for token in model.special_tokens)


def _end_token(tail: str, model: LanguageModel) -> str | None:
    """Return the control token that the template puts right after a response."""
    matches = [token for token in model.special_tokens if tail.startswith(token)]
    return max(matches, key=len, default=None)
