"""The final answer of a text, found by its marker."""

import re
import string

# From the most to the least explicit, after \boxed; the last occurrence in the text counts. Those
# of the last line mark headings, options and turns of phrase too.
_LINE = re.compile(r"^[^\w\n]*(?:final answer|answer)\W*:[\s*_]*(\S.*)$", re.IGNORECASE | re.M)
_LAST_LINE_MARKERS = (
    re.compile(r"####\s*(.+)"),  # GSM8K
    re.compile(r"^\W*a\W*:[\s*_]*(\S.*)$", re.IGNORECASE),
    re.compile(r"\banswer is:?\s*([^\n]+?)(?:\.\s|\.?$)", re.IGNORECASE),
)
_BRACES = re.compile(r"\\boxed\s?\{|\\?[{}]")
# What stands around an answer and is no part of it.
EDGES = string.punctuation + string.whitespace


def final_answer(text: str) -> str | None:
    r"""Return what a text marks as its answer, or None where it marks nothing.

    Markers: `\boxed{}` (MATH) and a line that begins with "Answer:"; in the last line also `####`,
    "A:" and "the answer is". Several boxes in one line are one answer, with commas between them.
    """
    last = text.rstrip().rpartition("\n")[2]
    found = _boxed(text) or _LINE.findall(text)
    for marker in _LAST_LINE_MARKERS:
        found = found or marker.findall(last)
    return " ".join(found[-1].split()) if found else None


def stated_answer(text: str) -> str:
    """Return what a text marks as its answer, or else the whole text."""
    return final_answer(text) or text


def _boxed(text: str) -> list[str]:
    """Return what the boxes of the last line that has any hold, as one answer; or nothing."""
    boxes: list[tuple[int, int]] = []
    opened: list[
        tuple[int, bool]
    ] = []  # where the content of each brace begins, and if it is a box
    for brace in _BRACES.finditer(text):
        if brace.group() in (r"\{", r"\}"):
            continue
        if brace.group() != "}":
            opened.append((brace.end(), brace.group() != "{"))
        elif opened:
            start, box = opened.pop()
            if box:
                boxes.append((start, brace.start()))
    contents: list[str] = []
    later = len(text)
    for start, end in reversed(boxes):
        if contents and "\n" in text[end:later]:
            break
        contents.append(text[start:end].strip())
        later = start
    different = [each for each in dict.fromkeys(reversed(contents)) if each]
    return [", ".join(different)] if different else []
