"""Tests of the words by which a language is told: what is taken out, and in linear time."""

import pyarrow as pa
import pytest

from siftline.scorers.language_words import words_of

PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0631\u0645"  # one word, with a joiner that parts letters


def words(text: str) -> str:
    (found,) = words_of(pa.array([text], pa.string())).to_pylist()
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "42",
        "",
        " \n\t",
        "3.14 + 2 = 5.14",
        "x",
        "https://example.org/a/page?of=many",
        "www.example.org",
        "write.to_me+now@example.org",
        "```python\nfor word in words:\n    print(word)\n```",
        "~~~\nsome code\n~~~",
        "```\nnever closed and so on",
        "`an inline name`",
        "$E = mc^2$",
        "$$\\sum_{number} number$$",
        "\\[ area \\cdot height \\]",
        "\\begin{align} sum &= of \\end{align}",
        "<div class='box'></div>&nbsp;",
        "snake_case value2 __init__",
        "\\alpha \\beta",
        "def celsius(degrees):\n    return (degrees - 32) * 5 / 9\n\nprint(celsius(212))",
        "function add(a, b) {\n  return a + b;\n}",
        "using namespace std;\nint one(int n) {\n  return n;}",
        "#include <stdio.h>\nint total = 0;\nfor (int i = 0; i < 9; i++) {\n  total += i;\n}",
        "import numpy as np\nfrom math import pi\nfor each in range(9):\n    total = each * pi",
    ],
)
def test_what_is_in_no_language_has_no_words(text: str) -> None:
    assert words(text) == ""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("HELLO, World!\n\nHow are\tyou?", "hello world how are you"),
        ("It costs $5 or $10 a day.", "it costs or a day"),
        ("See https://example.org/x for more.", "see for more"),
        ("请看https://example.org/x。谢谢", "请看 谢谢"),
        ("Use `len` or\n```\nlen(x)\n```\nto count.", "use or to count"),
        ("L'été n\u2019est pas fini", "l'été n\u2019est pas fini"),
        (PERSIAN, PERSIAN),
        ("हिन्दी में", "हिन्दी में"),
        ("The seller pays;\nthe buyer receives.", "the seller pays the buyer receives"),
        ("This is \\textbf{a short word}", "this is a short word"),
        ("# Add the numbers\ntotal = a + b", "add the numbers"),
        ("Return the book (it is due) to me.", "return the book it is due to me"),
        ("If 3 < 4 and 5 > 2 then", "if and then"),
    ],
)
def test_what_is_said_around_it_stays(text: str, left: str) -> None:
    assert words(text) == left


PIECES = [
    "`",
    "$",
    "$a",
    "$$",
    "\\(",
    "\\[",
    "\\begin{a}",
    "<a",
    "a@",
    "a.",
    "a1",
    "```",
    "~~~",
    "&a",
    "http://",
    "[",
    "\\a",
]


@pytest.mark.parametrize("piece", PIECES)
def test_a_megabyte_of_what_begins_a_pattern_ends(piece: str) -> None:
    """In time that is linear: what were quadratic would take hours."""
    text = piece * ((1 << 20) // len(piece))
    assert len(words(text + " in the end")) <= len(text) + len(" in the end")
    assert words("First of all " + text).startswith("first of all")
