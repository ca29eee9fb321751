"""Where a fault of a conversation is, in one short line that a terminal shows and does not obey."""

from siftline.contracts.printable import excerpt, printable

_CHARS = 120
_AROUND = 20  # characters on each side of what is quoted


def place_in_turn(turn: int, detail: str) -> str:
    """Return the place of a fault, such as `turn 3: weather: town: required`.

    Args:
        turn: Its number, from 0.
        detail: What is wrong in it.
    """
    return printable(excerpt(f"turn {turn + 1}: {detail}", _CHARS))


def quoted(text: str, start: int, end: int) -> str:
    """Return a part of a text in quotation marks, with a little of what stands around it."""
    begin, until = max(0, start - _AROUND), min(len(text), end + _AROUND)
    before, after = "\u2026" if begin else "", "\u2026" if until < len(text) else ""
    return f'"{before}{text[begin:until].strip()}{after}"'
