"""Conversations as text: what the model reads before the response, and the response.

`plain` is the template of GRAPE (arXiv 2502.04194, section 3.2), made for base models:

    Question: {instruction}
    Answer: {response}

The paper has single turns only. Ours for the rest: the text of a system message stands first,
turns alternate as `Question:`, `Answer:` and `Tool:`, one below the other, and the last answer is
scored. The space before the response belongs to the response, because tokenizers join it with the
first word.

`chat` is the model's own chat template. What the template puts around the response is found by
rendering a marker in its place; a template that then renders the conversation in any other way
(as some do with earlier turns) is not scored but gets a status.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypedDict

from siftline.models.likelihood import EMPTY_RESPONSE, LanguageModel, Pair

Template = Literal["plain", "chat"]

TEMPLATE_MISMATCH = "template_mismatch"  # the prompt is no prefix of the rendered conversation
TEMPLATE_ERROR = "template_error"  # the template refuses these messages
SPECIAL_TOKEN = "special_token"  # a message holds a control token of the template as text

_LABELS = {"user": "Question: ", "assistant": "Answer: ", "tool": "Tool: ", "system": ""}
# A text that no message holds and no template changes.
_MARKER = "siftlineRESPONSEmarker"


class Prompt(NamedTuple):
    """A rendered conversation that is to be continued.

    Attributes:
        text: What the model reads.
        opening: The white space that belongs to the response and precedes its first word.
        special: True when special tokens written in the text count as such.
        ending: The text that ends a response beside the end token; None if nothing does.
    """

    text: str
    opening: str
    special: bool
    ending: str | None


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


def render(messages: Sequence[Message], template: Template, model: LanguageModel) -> Pair | str:
    """Render a conversation that ends in the response to be scored.

    Args:
        messages: The last one is the assistant's.
        template: Which template.
        model: Whose chat template is used.

    Returns:
        Prompt and response, or a status that says why there are none.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    if not messages[-1]["content"].strip():
        return EMPTY_RESPONSE
    if template == "plain":
        return render_plain(messages)
    return render_chat(messages, model)


def render_plain(messages: Sequence[Message]) -> Pair:
    """Render a conversation as questions and answers."""
    return Pair(plain_prompt(messages[:-1]), " " + messages[-1]["content"])


def plain_prompt(messages: Sequence[Message]) -> str:
    """Render what precedes an answer."""
    lines = [_LABELS[message["role"]] + message["content"] for message in messages]
    return "\n".join([*lines, "Answer:"])


def render_prompt(
    messages: Sequence[Message], template: Template, model: LanguageModel
) -> Prompt | str:
    """Render a conversation that the model is to continue.

    Returns:
        The prompt, or one of the statuses `special_token` and `template_error`.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    if template == "plain":
        return Prompt(plain_prompt(messages), " ", special=False, ending="\nQuestion:")
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    if any(token in turn["content"] for turn in turns for token in model.special_tokens):
        return SPECIAL_TOKEN
    try:
        text = model.render_chat(turns, generation_prompt=True)
    except ValueError:
        return TEMPLATE_ERROR
    return Prompt(text, "", special=True, ending=None)


def render_chat(messages: Sequence[Message], model: LanguageModel) -> Pair | str:
    """Render a conversation through the model's own chat template.

    Returns:
        Prompt and response, or one of the statuses `special_token`, `template_error` and
        `template_mismatch`.

    Raises:
        ModelError: The model has no chat template.
    """
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    # A message could otherwise pretend to be several.
    if any(token in turn["content"] for turn in turns for token in model.special_tokens):
        return SPECIAL_TOKEN
    marked = [*turns[:-1], {"role": turns[-1]["role"], "content": _MARKER}]
    try:
        opening = model.render_chat(turns[:-1], generation_prompt=True)
        framed = model.render_chat(marked, generation_prompt=False)
        whole = model.render_chat(turns, generation_prompt=False)
    except ValueError:
        return TEMPLATE_ERROR
    prompt, marker, tail = framed.rpartition(_MARKER)
    if not marker or not prompt.startswith(opening):
        return TEMPLATE_MISMATCH
    content = turns[-1]["content"]
    for response in (content, content.strip()):  # many templates strip
        if whole == prompt + response + tail:
            return Pair(prompt, response, end=_end_token(tail, model), special=True)
    return TEMPLATE_MISMATCH


def render_turns(
    messages: list[Message], template: Template, model: LanguageModel
) -> list[Pair | str]:
    """Render a conversation up to each of its assistant turns.

    Returns:
        A pair for each, or the status that says why it has none.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    ends = [number for number, turn in enumerate(messages) if turn["role"] == "assistant"]
    pairs = [render(messages[: end + 1], template, model) for end in ends]
    whole = pairs[-1]
    if isinstance(whole, str):
        return pairs
    text = whole.prompt + whole.response
    return [
        each
        if isinstance(each, str) or text.startswith(each.prompt + each.response)
        else TEMPLATE_MISMATCH
        for each in pairs
    ]


def _end_token(tail: str, model: LanguageModel) -> str | None:
    """Return the control token that the template puts right after a response."""
    matches = [token for token in model.special_tokens if tail.startswith(token)]
    return max(matches, key=len, default=None)
