"""Tests of exact numbers: what is one, what is none, and that equal ones have the same value."""

import re
import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.runtime import Runtime
from siftline.scorers.judges.comparers import Comparison, Numeric, agreement
from siftline.scorers.judges.exact_numbers import ExactNumber, exact_number, same_answer

NONE = None


def equal(one: str, two: str) -> float | str | None:
    return agreement(Numeric(), [Comparison("?", one, two)], Runtime()).values[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", "5"),
        ("It is 5.", "5"),
        ("72 clips altogether", "72"),
        ("I am sure that it is 5.", "5"),
        ("She sold 48 + 24 = 72 clips altogether.", "72"),
        ("x = 5", "5"),
        ("f(2) = 5", "5"),
        ("**5**", "5"),
        ("(5)", "5"),
        ("$5$", "5"),
        (r"\(5\)", "5"),
        ("So:\n\\[\n5\n\\]", "5"),
        ("Two and two.\nThat is 5.\n---", "5"),
        ("-5", "-5"),
        ("\u22125", "-5"),
        ("+5", "5"),
        ("07", "7"),
        ("2.50", "5/2"),
        (".5", "1/2"),
        # fractions and mixed numbers
        (r"\frac{1}{2}", "1/2"),
        (r"\dfrac{-1}{2}", NONE),
        (r"-\tfrac12", "-1/2"),
        ("1/2", "1/2"),
        ("12/3", "4"),
        ("1 1/2 cups", "3/2"),
        (r"1\frac{1}{2}", "3/2"),
        (r"1\frac{3}{2}", NONE),
        ("1/0", NONE),
        ("1/2/3", NONE),
        ("\u00bd", NONE),
        # separators of thousands
        ("1,234,567.5", "2469135/2"),
        ("1,00,000", "100000"),
        ("1 000", "1000"),
        ("1\u202f000", "1000"),
        ("1'000", "1000"),
        (r"1{,}000", "1000"),
        (r"1\,000", "1000"),
        ("1.000.000", NONE),
        ("3,5", NONE),
        ("1,2345", NONE),
        # powers
        ("10^5", "100000"),
        (r"3 \times 10^{-2}", "3/100"),
        ("3e5", "300000"),
        ("2^5", NONE),
        ("5\u00b2", NONE),
        ("5 squared", NONE),
        # units and money
        ("5 km", "5"),
        ("5km", "5"),
        (r"5\text{ cm}", "5"),
        (r"90^\circ", "90"),
        ("$5.00", "5"),
        (r"\$5", "5"),
        ("-$5", "-5"),
        (r"-\$5", "-5"),
        ("\u20135", "-5"),
        ("\u20145", NONE),
        ("3\u20135", NONE),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{5\text{ apples}}", "5"),
        (r"\boxed{x = 5}", "5"),
        ("It is 72 clips altogether", "72"),
        ("60 km per hour", "60"),
        ("20% of 50 = 10", "10"),
        ("The value of x = 5", "5"),
        ("Her score is 85.", "85"),
        ("50%", "50"),
        ("5x", NONE),
        ("5M", NONE),
        ("5k", NONE),
        ("5 million", NONE),
        ("5 dozen", NONE),
        ("5 \u4e07\u5143", NONE),
        # several numbers, and what is another thing
        ("x = 5 or x = 3", NONE),
        ("Answer: 5 or 3", NONE),
        (r"\boxed{5} or \boxed{3}", NONE),
        ("five or 3", NONE),
        ("3:30", NONE),
        ("(1,2)", NONE),
        ("(1,234)", NONE),
        ("[1, 2)", NONE),
        (r"\{5\}", NONE),
        (r"2\sqrt3", NONE),
        ("2\u221a3", NONE),
        ("2020-01-02", NONE),
        ("May 5", NONE),
        ("5 pm", NONE),
        ("3-5", NONE),
        ("3 of 4", NONE),
        ("at least 5", NONE),
        ("about 5", NONE),
        ("5 or more", NONE),
        ("x > 5", NONE),
        ("x >= 5", NONE),
        ("2x = 10", NONE),
        ("not 5", NONE),
        ("5!", NONE),
        ("5...", NONE),
        ("x2", NONE),
        ("", NONE),
    ],
)
def test_an_answer_is_exactly_one_number_or_none(text: str, value: str | None) -> None:
    found = exact_number(text)
    assert (None if found is None else found.value) == (None if value is None else Fraction(value))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (r"\frac{1}{2}", r"\frac{3}{2}"),
        ("3:30", "2:30"),
        ("(1,2)", "(3,2)"),
        ("10^5", "5"),
        (r"2\sqrt3", r"5\sqrt3"),
        ("1 000", "2 000"),
        ("5 km", "5 miles"),
        ("$5", "5 cents"),
        ("50%", "50"),
    ],
)
def test_what_differs_is_never_equal(one: str, two: str) -> None:
    assert equal(one, two) in (0.0, None)
    assert not same_answer(one, two)


LEFT = ["-{}", "{}^2", "{} - 3", "1/{}", "2 {}", "|{}|", "log {}", "{} % 7", "{}!", "2({})"]
LEFT += ["3 + {}", "{} / 2", "the square of {}", "half of {}", "sin({})", "{}'", "{} mod 7", "2{}"]
LEFT += ["\u221a{}", "{}\u00b2", "(1 + {})", "\\frac{{{}}}{{2}}", "twice {}", "the opposite of {}"]
LEFT += ["when {}", "let {}", "{} y", "3 ab {}", r"\bar {}", "e^{}", "{}_1 + {}_2", "not {}"]


@given(st.sampled_from(LEFT), st.sampled_from("xnt"), st.sampled_from(["{}", "So {}", "We see {}"]))
def test_an_equation_gives_its_right_side_for_a_bare_name_only(
    left: str, name: str, frame: str
) -> None:
    assert exact_number(frame.format(left.format(name, name) + " = 5")) is None
    for bare in (name, f"f({name})", f"{name}_1", "total", "2 + 3", "the value of " + name):
        assert exact_number(frame.format(bare) + " = 5") == ExactNumber(Fraction(5), "")


@given(
    st.integers(2, 99),
    st.sampled_from(["xy", "a", "ab", "dx", "cis", "\\,xy", "xyz", "abcd", "k", "apples"]),
)
def test_letters_in_a_box_are_variables_unless_they_are_text(number: int, letters: str) -> None:
    assert exact_number(rf"\boxed{{{number} {letters}}}") is None
    found = exact_number(rf"\boxed{{{number}\text{{ apples}}}}")
    assert found == ExactNumber(Fraction(number), "apples")
    assert letters in ("abcd", "apples") or exact_number(f"{number} {letters}") is None


SCALED = [
    "5 grand",
    "5 gross",
    "5 score",
    "5 to the nth",
    "101 in binary",
    "a loss of $5",
    "5 less",
]
SCALED += ["5 fewer", "He owes $5", "a decrease of 5", "5 down", "EUR 5", "day 5", "US$5", "step 5"]


@pytest.mark.parametrize("text", SCALED)
def test_words_that_make_it_another_number_are_no_prose(text: str) -> None:
    assert exact_number(text) is None


UNITS = "GB MB|cubic feet,cubic meters|km per hour,km per minute|kilowatts,watts|acres,hectares"
UNITS += "|apples,pears|red balls,blue balls|km north,km south|dollars per pound,dollars"
UNITS += "|metric tons,short tons|km/h,km/s|test tubes,test kits"
PAIRS = [tuple(re.split(r",| (?=MB)", pair)) for pair in UNITS.split("|")]


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_numbers_of_different_units_have_no_verdict(one: str, two: str) -> None:
    assert equal(f"5 {one}", f"5 {two}") is equal(f"5 {one}", f"6 {two}") is None
    assert equal(f"5 {one}", f"5 {one}") == equal(f"5 {one}", "5") == 1


def test_a_unit_per_another_has_one_spelling() -> None:
    assert equal("60 km per hour", "60 km/h") == equal("$5 per pound", "$5/lb") == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 42.\nCheck: 44 - 42 = 2.", NONE),
        ("The answer is 42.\nSo 44 - 42 = 2.", NONE),
        ("#### 42\nSo 44 - 42 = 2.", NONE),
        ("The answer is 42.\nI hope that this helps!", "42"),
        ("The answer is 42.\nSo there are 42.", "42"),
        ("Some say the answer is 41.\nThe answer is 42.\nGood luck!", NONE),
        ("There are 42.\nCheck: 44 - 42 = 2", NONE),
        ("Answer: 42\nSo 44 - 42 = 2.", "42"),
    ],
)
def test_an_unmarked_last_line_does_not_win_over_an_answer_above(
    text: str, value: str | None
) -> None:
    found = exact_number(text)
    assert (None if found is None else found.value) == (None if value is None else Fraction(value))


def test_a_number_without_a_unit_is_compared_with_its_value() -> None:
    assert equal("5 km", "5") == equal("5 hours", "5 h") == equal("50%", "50 percent") == 1
    assert equal("50%", "0.5") is None


def grouped(number: int, separator: str) -> str:
    return f"{number:,}".replace(",", separator)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, Fraction | None]:
    """Return an answer and its value; None where it is not one number."""
    a, b = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    large = draw(st.integers(0, 10**7))
    numbers = [
        (str(a), Fraction(a)),
        (f"{a}.{b:02d}", Fraction(a) + Fraction(b, 100)),
        (f"{a}/{b}", Fraction(a, b)),
        (f"\\frac{{{a}}}{{{b}}}", Fraction(a, b)),
        (f"{a} {b}/13", Fraction(a) + Fraction(b, 13)),
        (f"{a}e{b}", Fraction(a * 10**b)),
        (f"{a} \\times 10^{{{b}}}", Fraction(a * 10**b)),
        *((grouped(large, mark), Fraction(large)) for mark in (",", "'", "\u202f", "{,}", "\\,")),
    ]
    others = [
        "{}:{}",
        "({},{})",
        "[{}, {})",
        "{}^{}",
        "{}\\sqrt{{{}}}",
        "{} or {}",
        "{}-{}",
        "{} {}",
    ]
    others += ["{}x+{}", "{} \\pm {}", "{};{}", "{}h {}min", "x={}, y={}", "{}!/{}", "{}~{}"]
    if draw(st.booleans()):
        number, value = draw(st.sampled_from(numbers))
        sign = draw(st.sampled_from(["", "-", "\u2212"]))
        text, known = sign + number, -value if sign else value
    else:
        text, known = draw(st.sampled_from(others)).format(a, b), None
    frames = [
        "{}",
        "Answer: {}",
        "\\boxed{{{}}}",
        "It is {}.",
        "${}$",
        "#### {}",
        "x = {}",
        "{} apples",
    ]
    frame = draw(st.sampled_from(frames))
    return frame.format(text), known


@given(written(), written())
def test_answers_that_are_judged_equal_have_the_same_value(
    one: tuple[str, Fraction | None], two: tuple[str, Fraction | None]
) -> None:
    verdict = equal(one[0], two[0])
    if verdict is not None:
        assert None not in (one[1], two[1])
        assert verdict == (one[1] == two[1])


@given(written())
def test_a_number_keeps_its_value_however_it_is_written(
    answer: tuple[str, Fraction | None],
) -> None:
    text, value = answer
    found = exact_number(text)
    assert value is None or (found is not None and found.value == value)


@given(st.text(alphabet="0123456789.,'/^{}\\ -+e=()$%xkm\u2212\u202f\u00bd\u4e07", max_size=12))
def test_any_text_has_one_number_or_none(text: str) -> None:
    found = exact_number(text)
    if found is not None:  # it is stated with no other digits than its own
        assert found == exact_number(text)
        assert equal(text, text) == 1


def test_it_takes_no_time_and_works_in_threads() -> None:
    texts = ["9" * 10**6, "1 " * 10**6, "\\boxed{" * 10**5, "answer is " * 10**5, "\n" * 10**6]
    texts += ["the answer is \n" * 10**5, "\\boxed{" * 10**5 + "}" * 10**5, "x " * 10**5 + "= 5"]
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend(exact_number(text) for text in texts))
    thread.start()
    thread.join()
    assert found == [None] * len(texts)
