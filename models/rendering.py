"""Conversations as text: what the model reads before the response, and the response.

`plain` is a template for base models (:mod:`siftline.models.plain_rendering`), `chat` the model's
own (:mod:`siftline.models.chat_rendering`). Either way the response of a turn that calls tools is
what it says and calls, and that of a turn with a thought begins with the thought.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from siftline.contracts.examples import Message, calls_of
from siftline.models.chat_losses import TEMPLATE_MISMATCH
from siftline.models.chat_messages import Tools
from siftline.models.chat_rendering import chat_prompt, render_chat
from siftline.models.likelihood import EMPTY_RESPONSE, LanguageModel, Pair
from siftline.models.plain_rendering import plain_prompt, render_plain

Template = Literal["plain", "chat"]

NOT_LEARNED = "not_learned"  # every turn of the assistant has the weight 0


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


def render(
    messages: Sequence[Message], template: Template, model: LanguageModel, tools: Tools = ()
) -> Pair | str:
    """Render a conversation that ends in the response to be scored.

    Args:
        messages: The turns; the last one is the assistant's.
        template: The template to use.
        model: The model whose chat template is used.
        tools: What the conversation offers to be called.

    Returns:
        Prompt and response, or the status that says why there are none: `empty_response` or one
        of :mod:`siftline.models.chat_rendering`.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    if is_empty(messages[-1]):
        return EMPTY_RESPONSE
    if template == "plain":
        return render_plain(messages, tools)
    return render_chat(messages, model, tools)


def is_empty(turn: Message) -> bool:
    """Return whether a turn says, thinks and calls nothing."""
    return not (turn["content"].strip() or (turn.get("reasoning") or "").strip() or calls_of(turn))


def render_prompt(
    messages: Sequence[Message], template: Template, model: LanguageModel, tools: Tools = ()
) -> Prompt | str:
    """Render a conversation that the model is to continue.

    Args:
        messages: The turns so far.
        template: The template to use.
        model: The model whose chat template is used.
        tools: What the conversation offers to be called.

    Returns:
        The prompt, or one of the statuses of :mod:`siftline.models.chat_rendering`.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    if template == "plain":
        text = plain_prompt(messages, tools)
        return Prompt(text, " ", special=False, ending="\nQuestion:")
    rendered = chat_prompt(messages, model, tools)
    if isinstance(rendered, str):
        return rendered
    return Prompt(rendered.prompt, "", special=True, ending=None)


def render_turns(
    messages: Sequence[Message], template: Template, model: LanguageModel, tools: Tools = ()
) -> list[Pair | str]:
    """Render a conversation once for each of its assistant turns, up to and with that turn.

    A pair whose text is not the beginning of the last pair's text, because the template renders
    earlier turns differently, becomes `template_mismatch`.

    Args:
        messages: The turns; the last one is the assistant's.
        template: The template to use.
        model: The model whose chat template is used.
        tools: What the conversation offers to be called.

    Returns:
        By assistant turn, in order: its pair, or the status that says why it has none; see
        :func:`render`.

    Raises:
        ModelError: `chat` is asked of a model without a chat template.
    """
    ends = [number + 1 for number, turn in enumerate(messages) if turn["role"] == "assistant"]
    pairs = [render(messages[:end], template, model, tools) for end in ends]
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


def render_learned(
    messages: Sequence[Message], template: Template, model: LanguageModel, tools: Tools = ()
) -> list[Pair | str]:
    """Render a conversation as :func:`render_turns` does, but only the turns that are learned.

    What stands behind the last one of them is left out.

    Args:
        messages: The turns; the last one is the assistant's.
        template: The template to use.
        model: The model whose chat template is used.
        tools: What the conversation offers to be called.

    Returns:
        By assistant turn whose weight is not 0, in order: as of :func:`render_turns`. Where there
        is none, the status `not_learned` alone.
    """
    learned = learned_turns(messages)
    if not any(learned):
        return [NOT_LEARNED]
    numbers = [number for number, turn in enumerate(messages) if turn["role"] == "assistant"]
    last = max(number for number, each in zip(numbers, learned, strict=True) if each)
    turns = render_turns(messages[: last + 1], template, model, tools)
    return [turn for turn, each in zip(turns, learned, strict=False) if each]


def learned_turns(messages: Sequence[Message]) -> list[bool]:
    """Return, by assistant turn, whether it is learned: the weight 0 says that it is not."""
    return [turn.get("weight") != 0 for turn in messages if turn["role"] == "assistant"]
