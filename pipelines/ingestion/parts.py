"""Content that is a list of parts: text, thoughts, images, and Anthropic's blocks of tools.

OpenAI's parts and the templates' make one turn. Anthropic writes calls into the assistant's content
and their results into the user's; they become turns of their own, in the order of the blocks.
"""

from dataclasses import dataclass, field
from typing import Any

from siftline.pipelines.ingestion.calls import read_calls
from siftline.pipelines.ingestion.values import BadRecordError, json_text, kind_of, plain

_TEXTS = ("text", "input_text", "output_text")
_THOUGHTS = ("thinking", "reasoning", "thought")
_KINDS = {
    **dict.fromkeys((*_TEXTS, "refusal"), "text"),
    **dict.fromkeys(_THOUGHTS, "thought"),
    **dict.fromkeys(("tool_use", "server_tool_use"), "call"),
    "redacted_thinking": "hidden",
}
_MEDIA = ("image", "audio", "video", "file", "document")
# Keys of text and thoughts of which nothing is lost when the part becomes a text.
_PLAIN = {"type", *_TEXTS, *_THOUGHTS}


@dataclass
class Piece:
    """One turn in the making.

    Attributes:
        role: Who speaks.
        content: What is said so far.
        thoughts: What is thought.
        calls: What is called.
        extras: What else stood beside it.
        media: The parts that it came in, where they are not text alone.
    """

    role: str
    content: str = ""
    thoughts: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)
    media: list[Any] | None = None


def read_parts(parts: list[Any], role: str, name: str) -> list[Piece]:
    """Read the content of a turn that is a list of parts.

    Args:
        parts: At least one.
        role: Who speaks.
        name: Of the column, for messages.

    Returns:
        At least one piece, in order: what the speaker says, and results of tools between.

    Raises:
        BadRecordError: A part is none that is known.
    """
    pieces: list[Piece] = []
    held: list[Any] = []  # the parts of the piece at hand
    for given in parts:
        part = {"type": "text", "text": given} if isinstance(given, str) else given
        kind = _kind(part, name)
        if kind == "result":
            held = []
            pieces.append(_result(part, name))
            continue
        starts = not held or (pieces[-1].calls and kind != "call")
        if starts:
            held = []
            pieces.append(Piece(role))
        held.append(part)
        _add(pieces[-1], part, kind, held)
    return pieces


def _add(piece: Piece, part: dict[str, Any], kind: str, held: list[Any]) -> None:
    """Add a part that is no result to a piece."""
    if kind == "text":
        piece.content += _text(part, (*_TEXTS, "refusal"))
    elif kind == "thought":
        thought = _text(part, (*_TEXTS, *_THOUGHTS))
        piece.thoughts += [thought] if thought.strip() else []
    elif kind == "call":
        piece.calls += read_calls([part])
    if piece.media is not None or kind == "media":
        piece.media = [plain(each) for each in held]
    elif kind in ("text", "thought", "hidden") and any(
        value not in (None, [], {}) for key, value in part.items() if key not in _PLAIN
    ):
        piece.extras["parts"] = [plain(each) for each in held]


def _kind(part: Any, name: str) -> str:
    """Return what a part is: text, thought, hidden, call, result or media."""
    if not isinstance(part, dict):
        raise BadRecordError(
            "wrong_type", f"a part of '{name}' is {kind_of(part)}, expected an object"
        )
    given = part.get("type")
    if given is None:
        given = next((key for key in ("text", *_MEDIA) if part.get(key) is not None), None)
    if kind := _KINDS.get(str(given)):
        return kind
    if str(given).endswith("_result"):
        return "result"
    if _is_media(given):
        return "media"
    raise BadRecordError(
        "wrong_type",
        f"a part of '{name}' is of type '{str(given)[:100]}', expected text, reasoning, an image, "
        "audio, a video, a file, tool_use or tool_result",
    )


def _is_media(kind: Any) -> bool:
    return any(word in str(kind) for word in _MEDIA)


def _text(part: dict[str, Any], names: tuple[str, ...]) -> str:
    given = next((part[name] for name in names if part.get(name) is not None), None)
    if isinstance(given, list) and is_shown(given):  # Mistral's thoughts are parts of their own
        given = "".join(_text(each, _TEXTS) for each in given)
    text = given if isinstance(given, str) else None
    if text is None:
        raise BadRecordError("wrong_type", f"a part of type '{part.get('type')}' holds no text")
    return str(text)


def _result(part: dict[str, Any], name: str) -> Piece:
    """Make a tool's turn of a block that holds its result."""
    content = part.get("content")
    piece = Piece("tool")
    if content and is_shown(content):
        held: list[Any] = []
        for each in content:
            held.append(each)
            _add(piece, each, _kind(each, name), held)
    elif isinstance(content, str):
        piece.content = content
    elif content is not None:
        piece.content = json_text(plain(content)) or str(content)
    known = ("type", "content", "tool_use_id")
    piece.extras |= {key: value for key, value in part.items() if key not in known and value}
    if part.get("tool_use_id") is not None:
        piece.extras["tool_call_id"] = str(part["tool_use_id"])
    return piece


def is_shown(content: Any) -> bool:
    """Return whether a tool's result is a list of texts and images, and not of its own form."""
    return (
        bool(content)
        and isinstance(content, list)
        and all(
            isinstance(part, dict) and (part.get("type") in _TEXTS or _is_media(part.get("type")))
            for part in content
        )
    )
