"""A conversation as its chat template renders it, in parts: the prompt, the response, what ends it.

Where a response begins and ends is told by what the template makes of a marker in its place. A
turn that calls may be framed in another way; it begins where the generation prompt ends, and ends
before its last control token.
"""

from collections.abc import Sequence
from typing import NamedTuple

from siftline.contracts.examples import Message
from siftline.models.rendered_parts import squeezed
from siftline.models.thoughts import without_opening


class Parts(NamedTuple):
    """A rendered conversation in three parts.

    Attributes:
        prompt: What stands before the response.
        response: What the model is to write.
        tail: What ends it.
    """

    prompt: str
    response: str
    tail: str


def parts_of_text(whole: str, opening: str, before: str, tail: str, content: str) -> Parts | None:
    """Part a conversation whose response is a text; None where it is not in there.

    Args:
        whole: The rendered conversation.
        opening: The rendered prompt, up to and with what opens a response.
        before: What the template writes before a response without a thought.
        tail: What it writes behind it.
        content: The response as the data has it.
    """
    if opening.startswith(before):  # it opens a thought as well, which no turn has once it is over
        opening = before
    if not (before.startswith(opening) and whole.startswith(opening)):
        opening = without_opening(opening)  # a begun or empty thought is written in another way
    if not (before.startswith(opening) and whole.startswith(opening) and whole.endswith(tail)):
        return None
    body = whole[len(opening) : len(whole) - len(tail)]
    response = _response_in(body, content, opening, before[len(opening) :])
    if not response.strip():
        return None
    return Parts(whole[: len(opening) + len(body) - len(response)], response, tail)


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
    wanted = squeezed(content)
    if squeezed(rest) == wanted:
        return rest
    # A template whose opening begins the thought leaves the rest of it to the model.
    return body if squeezed(opening + body).endswith(wanted) else ""


def parts_of_turn(
    whole: str, opening: str, before: str, tail: str, turn: Message, control: Sequence[str]
) -> Parts | None:
    """Part a conversation whose response has a thought of its own, or calls.

    What opens the response may open a thought as well: it counts as far as the response goes on
    from there.

    Args:
        whole: As there.
        opening: As there.
        before: As there.
        tail: As there.
        turn: The response.
        control: The texts of the model's control tokens.
    """
    framed = before if opening.startswith(before) else opening
    openings = (opening, framed, without_opening(opening))
    found = next((each for each in openings if whole.startswith(each)), None)
    if found is None:
        return None
    opening = found
    if not whole.endswith(tail) or end_token(tail, control) is None:
        tail = _closing(whole, control) or (tail if whole.endswith(tail) else "")
    response = whole[len(opening) : len(whole) - len(tail)]
    frame = before[len(opening) :] if before.startswith(opening) else ""
    if turn.get("reasoning"):  # an empty thought of the frame gives way to the turn's own
        head = without_opening(frame)
        frame = head if any(token in head for token in control) else ""
    response = response.removeprefix(frame)
    return Parts(whole[: len(whole) - len(tail) - len(response)], response, tail)


def end_token(tail: str, control: Sequence[str]) -> str | None:
    """Return the control token that the template puts right after a response."""
    matches = [token for token in control if tail.startswith(token)]
    return max(matches, key=len, default=None)


def _closing(whole: str, control: Sequence[str]) -> str:
    """Return the last control token of a rendered text with the white space behind it, or ''."""
    text = whole.rstrip()
    token = max((each for each in control if text.endswith(each)), key=len, default="")
    return whole[len(text) - len(token) :] if token else ""
