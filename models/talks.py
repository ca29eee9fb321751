"""The conversations of a table of examples, as models read them: turns, and the tools offered."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import pyarrow as pa

from siftline.contracts.examples import Message, media_of_prompt, tools_of
from siftline.models.chat_messages import Tools

NOT_TEXT_ONLY = "not_text_only"  # images, sounds or files belong to it, which nothing here sees

Made = TypeVar("Made")


class Talk(NamedTuple):
    """A conversation.

    Attributes:
        messages: Its turns.
        tools: What it offers to be called.
    """

    messages: Sequence[Message]
    tools: Tools = ()


def talks_of(rows: pa.Table) -> list[Talk | str]:
    """Return the conversation of each row, or `not_text_only` where a text is not all of it.

    Args:
        rows: Of the examples' schema.
    """
    return [
        NOT_TEXT_ONLY if media else Talk(turns, tools_of(tools))
        for turns, tools, media in _columns(rows)
    ]


def prompts_of(rows: pa.Table) -> list[Talk | str]:
    """Return the turns before the response of each row, or `not_text_only`; see :func:`talks_of`.

    They are a function of the prompt: images of the response alone do not count.
    """
    return [
        NOT_TEXT_ONLY if media_of_prompt(turns, media) else Talk(turns[:-1], tools_of(tools))
        for turns, tools, media in _columns(rows)
    ]


def of_each(talks: Sequence[Talk | str], make: Callable[[Talk], Made]) -> list[Made | str]:
    """Return what is made of each conversation; a status stays what it is."""
    return [talk if isinstance(talk, str) else make(talk) for talk in talks]


def _columns(rows: pa.Table) -> Iterator[tuple[list[Message], str | None, str | None]]:
    columns = (rows[name].to_pylist() for name in ("messages", "tools", "media"))
    return zip(*columns, strict=True)
