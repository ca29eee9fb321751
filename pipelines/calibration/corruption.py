"""Known errors, planted into responses: what a confidence must find to be trusted.

Four kinds: `swapped` gives the response of another prompt of the source, `number` changes the last
number, `cut` ends the response early, and `prompt_sentence` answers with a sentence of the prompt,
as the noise of CLEAR's SQuAD-N does.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from siftline.contracts.examples import Message

Kind = Literal["swapped", "number", "cut", "prompt_sentence"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\S+")
_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")
_FEWEST_WORDS = 8  # of a response that is cut
_MOST_DIGITS = 15  # of a number; what is longer is a key or the like


class Planted(NamedTuple):
    """A response with an error.

    Attributes:
        kind: Of the error.
        response: With it.
    """

    kind: Kind
    response: str


def plant(
    kinds: Sequence[Kind],
    turns: Sequence[Message],
    others: Sequence[str],
    random: np.random.Generator,
) -> Planted | None:
    """Plant the first kind of error that the response allows.

    Args:
        kinds: In the order in which they are tried.
        turns: The conversation; the last turn is the response.
        others: Responses to other prompts of the source.
        random: Where chance is needed.

    Returns:
        The response with an error, or None where no kind changes it.
    """
    response = turns[-1]["content"].strip()
    for kind in kinds:
        damaged = _attempt(kind, response, turns[-2]["content"], others, random)
        if damaged and damaged.strip() not in ("", response):
            return Planted(kind, damaged)
    return None


def _attempt(
    kind: Kind, response: str, prompt: str, others: Sequence[str], random: np.random.Generator
) -> str | None:
    if kind == "swapped":
        return others[int(random.integers(len(others)))] if others else None
    if kind == "number":
        return _other_number(response, random)
    if kind == "cut":
        ends = [word.end() for word in _WORD.finditer(response)]
        return response[: ends[len(ends) // 2 - 1]] if len(ends) >= _FEWEST_WORDS else None
    sentences = [part for part in _SENTENCE.split(prompt) if part.strip()]
    return sentences[int(random.integers(len(sentences)))] if len(sentences) > 1 else None


def _other_number(response: str, random: np.random.Generator) -> str | None:
    """Raise the last number by up to half of it, at least by one; its decimals stay."""
    numbers = list(_NUMBER.finditer(response))
    if not numbers:
        return None
    whole = numbers[-1].group(1)
    digits = whole.replace(",", "")
    if len(digits) > _MOST_DIGITS:
        return None
    value = int(digits)
    changed = value + int(random.integers(1, max(2, value // 2 + 1)))
    start, end = numbers[-1].span(1)
    return f"{response[:start]}{changed:{',' if ',' in whole else ''}}{response[end:]}"
