"""The model's own chat template: what it makes of a conversation, and which part is the response.

The response is what the template makes of the last turn: behind what opens a turn of the model (the
generation prompt) and before the token that ends it. Where that is, is found by rendering a marker
in its place; a turn that calls ends where its last control token stands. What the template writes
by itself before a response without a thought, such as an empty one, belongs to the prompt.

A template may change the white space of a response, as most that know thoughts do, and then the
changed one is scored, as a trainer sees it. Thought, content, names and arguments of the calls must
all be in it, and the calls, results and tools before it in the prompt; else nothing sound is left
to be scored, and the row gets a status.

Templates differ in what they take calls for: arguments as objects or as text, the content of a turn
that only calls as an empty text or null. The forms are tried in one order, and the first that is
rendered whole counts.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from siftline.contracts.examples import Message, calls_of
from siftline.models.chat_losses import TEMPLATE_MISMATCH, Chat, lost_before, lost_in, lost_thought
from siftline.models.chat_messages import CALL_FORMS, Tools
from siftline.models.chat_parts import end_token, parts_of_text, parts_of_turn
from siftline.models.likelihood import LanguageModel, Pair
from siftline.models.rendered_parts import strings_in

TEMPLATE_ERROR = "template_error"  # the template refuses these messages
SPECIAL_TOKEN = "special_token"  # the row holds a control token of the template as text

# What a chat template gets that asks for the time (`strftime_now`): a day that never changes, so
# that a text is the same tomorrow. It is the one that Llama 3's template falls back to by itself.
TEMPLATE_DATE = datetime(2024, 7, 26)
# A text that no message holds and no template changes.
_MARKER = "siftlineRESPONSEmarker"


def render_chat(messages: Sequence[Message], model: LanguageModel, tools: Tools = ()) -> Pair | str:
    """Render a conversation that ends in a response through the model's own chat template.

    Args:
        messages: The turns; the last one is the response.
        model: The model whose template renders them.
        tools: What the conversation offers to be called.

    Returns:
        Prompt and response, or one of the statuses of this module.

    Raises:
        ModelError: The model has no chat template.
    """
    return _in_some_form(messages, tools, model, _pair)


def chat_prompt(messages: Sequence[Message], model: LanguageModel, tools: Tools = ()) -> Pair | str:
    """Render a conversation that the model is to continue.

    Args:
        messages: The turns so far.
        model: The model whose template renders them.
        tools: What the conversation offers to be called.

    Returns:
        The prompt with an empty response, or one of the statuses of this module.

    Raises:
        ModelError: The model has no chat template.
    """
    return _in_some_form(messages, tools, model, _open_pair)


def _in_some_form(
    messages: Sequence[Message],
    tools: Tools,
    model: LanguageModel,
    make: Callable[[Chat], Pair | str],
) -> Pair | str:
    """Return what is made of a conversation in the first form of its calls that succeeds.

    Where none does, the status is that of the first form that the template does not refuse.
    """
    turns = list(messages)
    if _holds_special_token(turns, tools, model):
        return SPECIAL_TOKEN
    forms = CALL_FORMS if any(calls_of(turn) for turn in turns) else CALL_FORMS[:1]
    status, refusals = None, []
    for form in forms:
        try:
            made = make(Chat(turns, tools, model, form))
        except ValueError as error:
            refusals.append(str(error))
            continue
        if not isinstance(made, str):
            return made
        status = status or made
    if status is None:
        model.say_refusal(refusals[0])
    return status or TEMPLATE_ERROR


def _open_pair(chat: Chat) -> Pair | str:
    prompt = chat.text(chat.turns, True)
    lost = lost_before(prompt, chat.turns, chat)
    return lost or Pair(prompt, "", special=True)


def _pair(chat: Chat) -> Pair | str:
    """Return prompt and response of a conversation, or a status.

    Raises:
        ValueError: The template refuses the messages.
    """
    *earlier, last = chat.turns
    opening = chat.text(earlier, True)
    framed = chat.text([*earlier, Message(role=last["role"], content=_MARKER)], False)
    whole = chat.text(chat.turns, False)
    before, marker, tail = framed.rpartition(_MARKER)
    if not marker:
        return TEMPLATE_MISMATCH
    control = chat.model.special_tokens
    of_parts = bool(last.get("reasoning") or calls_of(last))
    made = (
        parts_of_turn(whole, opening, before, tail, last, control)
        if of_parts
        else parts_of_text(whole, opening, before, tail, last["content"])
    )
    if made is None:
        return TEMPLATE_MISMATCH
    lost = lost_in(made.response, last) if of_parts else None
    lost = lost or lost_before(made.prompt, earlier, chat) or lost_thought(chat)
    end = end_token(made.tail, control)
    return lost or Pair(made.prompt, made.response, end=end, special=True)


def _holds_special_token(turns: Sequence[Message], tools: Tools, model: LanguageModel) -> bool:
    """Return whether a row holds a control token: it could pretend to be several turns."""
    texts = list(strings_in(list(tools)))
    for turn in turns:
        fields = turn["content"], turn.get("reasoning"), turn.get("name"), turn.get("tool_call_id")
        texts += [text for text in fields if text]
        texts += strings_in(calls_of(turn))
    return any(token in text for text in texts for token in model.special_tokens)
