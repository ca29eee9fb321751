"""What a chat template has left out of a row: a status for each kind of thing that is lost."""

from collections.abc import Sequence
from typing import NamedTuple

from siftline.contracts.examples import Message, calls_of
from siftline.models.chat_messages import CallForm, Tools, name_of
from siftline.models.likelihood import LanguageModel
from siftline.models.rendered_parts import holds_calls, holds_text, in_order, squeezed

TEMPLATE_MISMATCH = "template_mismatch"  # what the template makes of the row is not the row
TOOLS_NOT_RENDERED = "tools_not_rendered"  # the template leaves tools, calls or results out
REASONING_NOT_RENDERED = "reasoning_not_rendered"  # the template leaves the thought out


class Chat(NamedTuple):
    """A conversation on its way through the chat template of a model.

    Attributes:
        turns: Its turns.
        tools: What it offers to be called.
        model: The model whose template renders it.
        form: How calls are handed over.
    """

    turns: Sequence[Message]
    tools: Tools
    model: LanguageModel
    form: CallForm

    def text(self, turns: Sequence[Message], generation_prompt: bool) -> str:
        """Render some of its turns.

        Args:
            turns: Which.
            generation_prompt: Whether to end with what opens a response of the model.

        Raises:
            ValueError: The template refuses them.
        """
        return self.model.render_chat(list(turns), generation_prompt, self.tools, self.form)


def lost_in(response: str, turn: Message) -> str | None:
    """Return the status of a response that lacks a part of its turn; None where all is there."""
    calls = calls_of(turn)
    said = [turn.get("reasoning") or "", turn["content"]]
    if not holds_text(response, said[0]):
        return REASONING_NOT_RENDERED
    if not in_order(response, said):
        return TEMPLATE_MISMATCH
    unsaid = squeezed(response)
    for text in said:  # a name in there is none of a call
        unsaid = unsaid.replace(squeezed(text), "", 1)
    if any(not holds_text(unsaid, call["function"]["name"]) for call in calls):
        return TOOLS_NOT_RENDERED
    return None if holds_calls(response, calls) else TEMPLATE_MISMATCH


def lost_before(prompt: str, turns: Sequence[Message], chat: Chat) -> str | None:
    """Return the status of a prompt that lacks tools, calls or their results; None where all is.

    Rows without tools and calls are not looked at: a model without tools may take the turn of a
    tool as it likes. Thoughts may be missing, since many templates take those of earlier turns out.
    """
    calls = [call for turn in turns for call in calls_of(turn)]
    if chat.tools and not _offers(chat, turns, prompt):
        return TOOLS_NOT_RENDERED
    if calls and not _writes_calls(chat, turns):
        return TOOLS_NOT_RENDERED
    if not holds_calls(prompt, calls):
        return TEMPLATE_MISMATCH
    results = [turn["content"] for turn in turns if calls and turn["role"] == "tool"]
    return None if all(holds_text(prompt, each) for each in results) else TOOLS_NOT_RENDERED


def _offers(chat: Chat, turns: Sequence[Message], prompt: str) -> bool:
    """Return whether the template writes the tools: without them it writes another text."""
    names = [name for tool in chat.tools if (name := name_of(tool))]
    if not all(holds_text(prompt, name) for name in names):
        return False
    try:
        return chat._replace(tools=()).text(turns, True) != chat.text(turns, True)
    except ValueError:  # it refuses a conversation without tools
        return True


def _writes_calls(chat: Chat, turns: Sequence[Message]) -> bool:
    """Return whether the template writes calls; their words may stand in the tools, too.

    One that writes the null content of a turn that only calls, as `None`, has written no call.
    """
    silent: list[Message] = [{**turn, "tool_calls": None} for turn in turns]
    try:
        without, whole = chat.text(silent, True), chat.text(turns, True)
        return without.replace("None", "") != whole.replace("None", "")
    except ValueError:  # it refuses turns that say and call nothing
        return True


def lost_thought(chat: Chat) -> str | None:
    """Return the status of a conversation whose thoughts the template never writes.

    A template may take the thought out of an earlier turn; it must write it while that turn is the
    last.
    """
    for number, turn in enumerate(chat.turns[:-1]):
        reasoning = turn.get("reasoning")
        if reasoning and not holds_text(chat.text(chat.turns[: number + 1], False), reasoning):
            return REASONING_NOT_RENDERED
    return None
