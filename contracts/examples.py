"""Identity of an example: hashes of its content and of its prompt, and the text of the prompt."""

import functools
import hashlib
import json
import unicodedata
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Any, NotRequired, TypedDict

import pyarrow as pa


class Message(TypedDict):
    """One turn of a conversation. A field that a turn does not have is null or left out.

    Attributes:
        role: Who speaks: `system`, `user`, `assistant` or `tool`.
        content: What is said; empty where a turn only calls tools.
        reasoning: The thought of the turn, where it came apart from the content. `<think>` blocks
            inside the content stay there.
        tool_calls: JSON of the tools that the turn calls, a list in OpenAI's form whose arguments
            are objects; see :func:`calls_of`.
        tool_call_id: Of the call that a tool's turn answers.
        name: Of the tool, or of the speaker.
        weight: 0 where the turn is not to be trained on.
    """

    role: str
    content: str
    reasoning: NotRequired[str | None]
    tool_calls: NotRequired[str | None]
    tool_call_id: NotRequired[str | None]
    name: NotRequired[str | None]
    weight: NotRequired[float | None]


TURN = pa.struct(
    [
        ("role", pa.string()),  # system, user, assistant or tool
        ("content", pa.string()),  # never null
        ("reasoning", pa.string()),  # this and what follows: null where a turn has none
        ("tool_calls", pa.string()),  # JSON list of calls, their arguments as objects
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
        ("weight", pa.float64()),  # 0: not to be trained on
    ]
)
MESSAGES = pa.list_(TURN)

TURN_FIELDS = ("reasoning", "tool_calls", "tool_call_id", "name", "weight")
_OF_WORDS = ("reasoning",)  # of those, the ones whose white space may differ between equal prompts
_OF_TRAINING = ("weight",)  # those that say how a turn is learned, and not what it is


def calls_of(message: Message) -> list[dict[str, Any]]:
    """Return the tool calls of a turn, as OpenAI writes them but with arguments as objects."""
    calls = message.get("tool_calls")
    return json.loads(calls) if calls else []


def tools_of(tools: str | None) -> list[dict[str, Any]]:
    """Return the tools that a conversation offers, from its column `tools`."""
    return json.loads(tools) if tools else []


def with_thought(message: Message) -> str:
    """Return the text of a turn with its thought before it, in a block of its own."""
    reasoning = message.get("reasoning")
    content = message["content"]
    return f"<think>\n{reasoning}\n</think>\n\n{content}" if reasoning else content


def content_hash(
    messages: Sequence[Message], tools: str | None = None, media: str | None = None
) -> str:
    """Return 32 hex digits for all that a model would be trained on, to the letter.

    Args:
        messages: The conversation.
        tools: JSON of the tools that it offers.
        media: JSON of the images, sounds and files that belong to it.
    """
    return _hash([_turn(message, message["content"]) for message in messages], tools, media)


def prompt_hash(
    messages: Sequence[Message], tools: str | None = None, media: str | None = None
) -> str:
    """Return 32 hex digits for all that precedes the last turn.

    Texts are normalised first, so that candidates for one prompt meet although their white space
    differs. What parts the last turn has of its own does not count.

    Args:
        messages: The conversation.
        tools: JSON of the tools that it offers.
        media: JSON of the images, sounds and files that belong to it.
    """
    prompt = [
        _turn(message, normalise(message["content"]), of_prompt=True) for message in messages[:-1]
    ]
    return _hash(prompt, tools, media_of_prompt(messages, media))


def hashes(
    messages: Sequence[Message], tools: str | None = None, media: str | None = None
) -> tuple[str, str]:
    """Return :func:`content_hash` and :func:`prompt_hash`, for little more than one of them."""
    whole = [_turn(message, message["content"]) for message in messages]
    prompt = []
    for message, turn in zip(messages[:-1], whole, strict=False):
        normal = normalise(message["content"])
        same = normal == message["content"] and len(message) == _PLAIN
        prompt.append(turn if same else _turn(message, normal, of_prompt=True))
    return _hash(whole, tools, media), _hash(prompt, tools, media_of_prompt(messages, media))


def media_of_prompt(messages: Sequence[Message], media: str | None) -> str | None:
    """Return the images, sounds and files of a conversation without those of its last turn."""
    if not media:
        return None
    held = json.loads(media)
    before = len(messages) - 1
    parts = {n: part for n, part in held.pop(PARTS, {}).items() if int(n) < before}
    held |= {PARTS: parts} if parts else {}
    return json.dumps(held) if held else None


def prompt_text(messages: Sequence[Message]) -> str:
    """Return the system and user turns, normalised, joined by blank lines.

    It is a function of what :func:`prompt_hash` hashes.
    """
    return "\n\n".join(
        normalise(m["content"]) for m in messages[:-1] if m["role"] in ("system", "user")
    )


PARTS = "parts"  # of `media`: by number of the turn, the parts that its content came in


def normalise(text: str) -> str:
    """Return a text in Unicode NFC, its runs of white space folded to one space."""
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    return " ".join(text.split())


# What is hashed is the JSON of `[[[role, content, rest], ...], {"tools": ...}, null, media]`, its
# keys in order; a turn without a rest, and a row without media, have none. It is put together from
# its texts, since to encode a text by itself is far faster than a list around it.
_PLAIN = len(("role", "content"))
_IN_ORDER = tuple(sorted(TURN_FIELDS))
_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


@functools.lru_cache(maxsize=16)  # both hashes of a row, and rows of the same tools
def _canonical_json(text: str) -> str:
    return _canonical(json.loads(text))


def _turn(message: Message, content: str, *, of_prompt: bool = False) -> str:
    """Return what a turn is hashed as: role and content, and the rest where there is any."""
    said = f"{encode_basestring(message['role'])}, {encode_basestring(content)}"
    if len(message) == _PLAIN:
        return f"[{said}]"
    rest = []
    for field in _IN_ORDER:
        value = message.get(field)
        if value is None or (of_prompt and field in _OF_TRAINING):
            continue
        if field == "tool_calls":
            text = _canonical_json(str(value))
        else:
            text = _canonical(normalise(str(value)) if of_prompt and field in _OF_WORDS else value)
        rest.append(f'"{field}": {text}')
    return f"[{said}, {{{', '.join(rest)}}}]" if rest else f"[{said}]"


def _hash(turns: list[str], tools: str | None, media: str | None) -> str:
    # The null stands where the calls of all turns once did, so that rows of text alone keep theirs.
    # Tools are in an object, because the scores of the hashes that they had before were made of a
    # conversation without them.
    offered = f'{{"tools": {_canonical_json(tools)}}}' if tools else "null"
    shown = f", {_canonical(json.loads(media))}" if media else ""
    canonical = f"[[{', '.join(turns)}], {offered}, null{shown}]"
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
