"""Texts on which a pattern that backtracks does not end, and a process that says whether it does.

What stands here is no data: each text is one piece, repeated. Some pieces are what the project's
patterns look for; others are made from a pattern itself, from what it repeats.
"""

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

SIZE = 1 << 20
SECONDS = 60  # of the processor for a text, after which a process is ended
GROWTH = 8  # at four times the size; 4 is linear, 16 quadratic
_MADE = 6  # pieces of a pattern's own, at most


class Piece(NamedTuple):
    """What a text is made of: a beginning, and what is repeated after it."""

    repeated: str
    first: str = ""


PIECES = tuple(
    Piece(each)
    for each in (
        *' \n\ta0,.:-*\\"`([{<',
        "1,",
        "1 ",
        "\\\\",
        '"a" ',
        "```\n",
        "``` python\n",
        "[BEGIN]",
        "[[BEGIN]]",
        "[DONE]",
        "answer ",
        "Answer:\n",
        "the answer is ",
        "\\boxed{",
        "#### ",
        "(A) ",
        "A:",
        "\n:",
        ", ",
        " ,",
        "{ ,",
        "<think>",
        "the reference ",
        "as in the ",
        "word word word\n",
        "\u00e9",
        "\u4e2d",
    )
)

# A pattern that is linear by construction meets these beside what it repeats itself.
FEW_PIECES = tuple(
    each for each in PIECES if each.repeated in (" ", "a", "0", ",", '"a" ', "\u4e2d")
)

# Given a function `go(text)`, runs it on texts of each piece; a time that grows faster than the
# text is an error. Only times that can be told from noise are compared. The longest text is left
# out where a shorter one says that, grown with the square, it would take less than a second.
_GROWING = """
import resource, sys, time
def seconds(repeated, first, size):
    text = first + repeated * (size // len(repeated)) + "\\x01"
    began = time.process_time()
    go(text)
    return time.process_time() - began
go(" a")
whole = given["size"]
for piece in given["pieces"]:
    most = int(time.process_time()) + given["seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    if any(seconds(*piece, whole // part) * part**2 < 1 for part in (64, 16, 4)):
        continue
    took = seconds(*piece, whole)
    if took > 1 and took > given["growth"] * min(seconds(*piece, whole // 4) for _ in "12"):
        sys.exit(f"{piece} takes more than linear time: {took:.1f} s")
"""


def growth(source: str, pieces: Sequence[Piece], size: int = SIZE, seconds: int = SECONDS) -> str:
    """Return what is wrong with how long a function takes on longer texts; '' for nothing.

    Args:
        source: Python that defines `go(text)`.
        pieces: What the texts are made of.
        size: Characters of the longest text.
        seconds: Of the processor, after which it does not end for practical purposes.
    """
    numbers = {"seconds": seconds, "growth": GROWTH, "size": size}
    given: dict[str, Any] = {**numbers, "pieces": pieces}
    program = f"import json\ngiven = json.loads({json.dumps(given)!r})\n{source}\n{_GROWING}"
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True)
    if done.returncode < 0:
        return f"it was ended after {seconds} s"
    return done.stderr if done.returncode else ""


def pieces_of(pattern: str, flags: int = 0) -> list[Piece]:
    """Return what a pattern repeats, and what it wants before that: draws of each repetition."""
    draw = random.Random(0)
    try:
        parsed = re._parser.parse(pattern, flags)  # type: ignore[attr-defined]
    except re.error:  # RE2 knows classes that this parser does not
        return []
    places = [place for place in _repeated(parsed, []) for _ in range(2)]
    draw.shuffle(places)
    made = [Piece(_sample(body, draw), _sample(before, draw)) for before, body in places]
    made += [Piece(_sample(parsed, draw)) for _ in range(2)]
    return [each for each in dict.fromkeys(made) if each.repeated and each not in PIECES][:_MADE]


def _repeated(nodes: Iterable[Any], before: list[Any]) -> Iterator[tuple[list[Any], Any]]:
    """Yield what stands under a repetition without a bound, behind what stands before it."""
    before = list(before)
    for node in nodes:
        operator, argument = node
        if str(operator).endswith("_REPEAT") and argument[1] == re._constants.MAXREPEAT:  # type: ignore[attr-defined]
            yield list(before), argument[2]
        for part in _parts(argument):
            yield from _repeated(part, before)
        before.append(node)


def _parts(argument: Any) -> Iterator[Any]:
    """Yield the patterns inside the argument of a node."""
    if isinstance(argument, re._parser.SubPattern):  # type: ignore[attr-defined]
        yield argument
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _parts(each)


def _sample(nodes: Iterable[Any], draw: random.Random) -> str:
    """Return a text that a pattern matches, or nearly: what it looks around at is left out."""
    return "".join(_sample_of(str(operator), argument, draw) for operator, argument in nodes)


def _sample_of(operator: str, argument: Any, draw: random.Random) -> str:
    if operator == "LITERAL":
        return chr(argument)
    if operator in ("NOT_LITERAL", "ANY"):
        return "\x02"
    if operator == "IN":
        return _of_class(argument, draw)
    if operator == "BRANCH":
        return _sample(draw.choice(argument[1]), draw)
    if operator.endswith("_REPEAT"):
        times: int = min(max(1, argument[0]), 100)
        return _sample(argument[2], draw) * times
    if operator in ("SUBPATTERN", "ATOMIC_GROUP"):
        return _sample(argument[-1] if operator == "SUBPATTERN" else argument, draw)
    return ""


def _of_class(items: Sequence[Any], draw: random.Random) -> str:
    """Return a character of a class; one that only exotic negated classes do not have."""
    operator, argument = draw.choice(items)
    if any(str(each) == "NEGATE" for each, _ in items):
        return "\x02"
    if str(operator) == "CATEGORY":
        classes = {"DIGIT": "0", "SPACE": " ", "NOT_WORD": "-"}
        return classes.get(str(argument).removeprefix("CATEGORY_"), "a")
    return chr(argument if str(operator) == "LITERAL" else argument[0])
