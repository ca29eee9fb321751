"""Two texts side by side, with what they share marked in both."""

from collections.abc import Sequence
from typing import NamedTuple

from siftline.contracts.word_forms import Words, template_of, words_of


class Segment(NamedTuple):
    """A part of a text, and whether the other text has it too."""

    text: str
    shared: bool


def shared_passages(
    one: str, other: str, n: int, *, template: bool = False
) -> tuple[list[Segment], list[Segment]]:
    """Return two texts, cut where what they share begins and ends.

    Args:
        one: A text.
        other: Another.
        n: Words in a row that have to be the same.
        template: All numbers are one word.
    """
    words = [words_of(text) for text in (one, other)]
    forms = [template_of(each.words) if template else each.words for each in words]
    grams = [
        [tuple(form[start : start + n]) for start in range(len(form) - n + 1)] for form in forms
    ]
    held = [set(each) for each in grams]
    marked = [
        _marked(words[this], [gram in held[1 - this] for gram in grams[this]], n)
        for this in range(2)
    ]
    return _cut(one, marked[0]), _cut(other, marked[1])


def _marked(words: Words, shared: Sequence[bool], n: int) -> list[tuple[int, int]]:
    """Return the parts of a text that are covered by shared n-grams, as begin and end."""
    parts: list[tuple[int, int]] = []
    for start, is_shared in enumerate(shared):
        if not is_shared:
            continue
        begin, end = words.starts[start], words.ends[start + n - 1]
        if parts and begin <= parts[-1][1]:
            begin = parts.pop()[0]
        parts.append((begin, end))
    return parts


def _cut(text: str, parts: Sequence[tuple[int, int]]) -> list[Segment]:
    segments, done = [], 0
    for begin, end in parts:
        segments += [Segment(text[done:begin], shared=False), Segment(text[begin:end], shared=True)]
        done = end
    return [each for each in (*segments, Segment(text[done:], shared=False)) if each.text]
