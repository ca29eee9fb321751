"""The order of a conversation's turns: what is legal, and what a recipe lets be repaired.

System turns come first, then the user. After it the assistant answers, in one turn or in several;
tools answer the assistant, and after them the assistant or the user goes on. The last turn is the
assistant's, since it is the response.
"""

from siftline.contracts.printable import excerpt
from siftline.pipelines.ingestion.repair import Notes, remedy
from siftline.pipelines.ingestion.turns import Turn
from siftline.pipelines.ingestion.values import BadRecordError, check_text, unless_blank

# Which role may follow which, after the system turns.
_FOLLOWERS = {
    "start": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool", "assistant"),
    "tool": ("tool", "assistant", "user"),
    "system": (),
}
_USUAL = ["user", "assistant"]


def in_order(turns: list[Turn], notes: Notes) -> list[Turn]:
    """Hold a conversation to its order, once what may be repaired is.

    Args:
        turns: In the order of the data.
        notes: What may be repaired, and what is.

    Raises:
        BadRecordError: `empty_prompt`, `no_assistant_turn`, `wrong_role_order` or
            `lone_surrogate`.
    """
    if [turn.message["role"] for turn in turns] != _USUAL:
        turns = _repaired(turns, notes) if notes.mends_order else turns
        _check_roles([turn.message["role"] for turn in turns])
    if not any([_asks(turn) for turn in turns]):
        raise BadRecordError("empty_prompt", "no user turn has any text")
    for turn in turns:
        for text in turn.message.values():
            if isinstance(text, str) and not text.isascii():
                check_text(text)
    return turns


def _asks(turn: Turn) -> bool:
    message = turn.message
    return message["role"] == "user" and bool(turn.parts or unless_blank(message["content"]))


def _repaired(turns: list[Turn], notes: Notes) -> list[Turn]:
    repair = notes.repair
    roles = [turn.message["role"] for turn in turns]
    first = next((n for n, role in enumerate(roles) if role != "system"), len(roles))
    if repair.leading_assistant and first < len(roles) and roles[first] == "assistant":
        user = roles.index("user") if "user" in roles else len(roles)
        turns = turns[:first] + turns[user:]
        notes.repaired.add("leading_assistant")
    if repair.trailing_user and turns and turns[-1].message["role"] == "user":
        while turns and turns[-1].message["role"] == "user":
            turns = turns[:-1]
        notes.repaired.add("trailing_user")
    return _merged(turns, notes) if repair.same_role else turns


def _merged(turns: list[Turn], notes: Notes) -> list[Turn]:
    merged: list[Turn] = []
    for turn in turns:
        if merged and _can_merge(merged[-1], turn):
            merged[-1] = _joined(merged[-1], turn)
            notes.repaired.add("same_role")
        else:
            merged.append(turn)
    return merged


def _can_merge(one: Turn, two: Turn) -> bool:
    """Return whether two turns may become one: what is called or thought must come last."""
    first, second = one.message, two.message
    return (
        first["role"] == second["role"]
        and first["role"] in ("user", "assistant")
        and not first.get("tool_calls")
        and not second.get("reasoning")
        and all(first.get(field) == second.get(field) for field in ("name", "weight"))
    )


def _joined(one: Turn, two: Turn) -> Turn:
    texts = [text for text in (one.message["content"], two.message["content"]) if text]
    message = {**two.message, **one.message, "content": "\n\n".join(texts)}
    if two.message.get("tool_calls"):
        message["tool_calls"] = two.message["tool_calls"]
    parts = None
    if one.parts or two.parts:
        parts = [*_parts_of(one), *_parts_of(two)]
    extras = {**one.extras, **two.extras}
    for name in one.extras.keys() & two.extras.keys():
        if one.extras[name] != two.extras[name]:
            extras[name] = [one.extras[name], two.extras[name]]
    return Turn(message, extras, parts)  # type: ignore[arg-type]


def _parts_of(turn: Turn) -> list[object]:
    return turn.parts or [{"type": "text", "text": turn.message["content"]}]


def _check_roles(roles: list[str]) -> None:
    if "assistant" not in roles:
        found = f"the roles are {excerpt(', '.join(roles))}" if roles else "there is no turn"
        raise BadRecordError("no_assistant_turn", found)
    while roles and roles[0] == "system":
        roles = roles[1:]
    for before, after in zip(["start", *roles], roles, strict=False):
        if after not in _FOLLOWERS[before]:
            raise BadRecordError("wrong_role_order", _misplaced(before, after))
    if roles[-1] != "assistant":
        mended = _mended("trailing_user", "drop") if roles[-1] == "user" else ""
        raise BadRecordError(
            "wrong_role_order", f"the last turn is by '{roles[-1]}', expected 'assistant'{mended}"
        )


def _misplaced(before: str, after: str) -> str:
    if before == "start":
        mended = _mended("leading_assistant", "drop") if after == "assistant" else ""
        return f"'{after}' opens the conversation, expected 'user'{mended}"
    mended = _mended("same_role", "merge") if before == after == "user" else ""
    return f"'{after}' follows '{before}'{mended}"


def _mended(field: str, verb: str) -> str:
    return f"; {remedy(field)} would {verb} it"
