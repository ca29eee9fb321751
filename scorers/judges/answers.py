"""The final answer of a text, found by its marker."""

import re
import string
from typing import NamedTuple

# From the most to the least explicit, after \boxed; the last occurrence in the text counts. Those
# of the last line mark headings, options and turns of phrase too.
_LINE = re.compile(r"^[^\w\n]*(?:final answer|answer)\W*:[\s*_]*(\S.*)$", re.IGNORECASE | re.M)
_LAST_LINE_MARKERS = (
    re.compile(r"####\s*(.+)"),  # GSM8K
    re.compile(r"^\W*a\W*:[\s*_]*(\S.*)$", re.IGNORECASE),
    re.compile(r"\banswer is:?\s*([^\n]+?)(?:\.\s|\.?$)", re.IGNORECASE),
)
_BOX = re.compile(r"\\boxed\s?\{")
_BRACES = re.compile(r"\\boxed\s?\{|\\?[{}]")
# What stands around an answer and is no part of it.
EDGES = string.punctuation + string.whitespace


def final_answer(text: str) -> str | None:
    r"""Return what a text marks as its answer, or None where it marks nothing.

    Markers: `\boxed{}` (MATH) and a line that begins with "Answer:"; in the last line also `####`,
    "A:" and "the answer is". Several boxes in one line are one answer, with commas between them.
    """
    boxed = boxed_answer(text)
    if boxed is not None:
        return boxed
    last = text.rstrip().rpartition("\n")[2]
    found = _LINE.findall(text)
    for marker in _LAST_LINE_MARKERS:
        found = found or marker.findall(last)
    return " ".join(found[-1].split()) if found else None


def claimed_answers(text: str) -> list[str]:
    """Return what the lines of a text call the answer, be it a turn of phrase, in their order."""
    markers = (_LAST_LINE_MARKERS[0], _LAST_LINE_MARKERS[-1])
    return [
        each for line in text.splitlines() for marker in markers for each in marker.findall(line)
    ]


def boxed_answer(text: str) -> str | None:
    """Return what the boxes of the last line that has any hold, as one answer; None without any."""
    contents: list[str] = []
    earliest = len(text)
    for box in reversed(_outermost_boxes(text)):
        if contents and "\n" in text[box.end : earliest]:
            break
        contents.append(" ".join(text[box.inner].split()))
        earliest = box.start
    different = [each for each in dict.fromkeys(reversed(contents)) if each]
    return ", ".join(different) if different else None


class _Box(NamedTuple):
    """A box: where its content begins and ends, and the content without boxes right around it."""

    start: int
    end: int
    inner: slice


def _outermost_boxes(text: str) -> list[_Box]:
    """Return the boxes of a text, but for those in another one."""
    boxes: list[_Box] = []
    opened: list[tuple[int, bool]] = []  # where the content of a brace begins, and if it is a box
    for brace in _BRACES.finditer(text):
        if brace.group() in (r"\{", r"\}"):
            continue
        if brace.group() != "}":
            opened.append((brace.end(), brace.group() != "{"))
        elif opened:
            start, is_box = opened.pop()
            if is_box:
                boxes.append(_box(text, start, brace.start(), boxes))
    return boxes


def _box(text: str, start: int, end: int, boxes: list[_Box]) -> _Box:
    """Return a box in the place of those in it, which are removed."""
    inner = slice(start, end)
    while boxes and boxes[-1].start > start:
        within = boxes.pop()
        around = _BOX.sub("", text[start : within.start], count=1), text[within.end + 1 : end]
        inner = inner if "".join(around).strip() else within.inner
    return _Box(start, end, inner)
