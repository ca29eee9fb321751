"""Tests of final answers: how they are found, and when two are one."""

import tracemalloc

import pytest

from siftline.scorers.judges.answers import final_answer
from siftline.scorers.judges.exact_numbers import same_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("He has 3 left.\n#### 3", "3"),
        ("so \\boxed{42} it is", "42"),
        ("Because of this.\nAnswer: Paris", "Paris"),
        ("Step one.\n**Final answer:** 12 km", "12 km"),
        ("Thus 5 + 6 = 11\nA: 11", "11"),
        ("Hence the answer is 7.", "7"),
        ("Answer: 1\nNo, wait.\nAnswer: 2", "2"),
        ("Paris is the capital.", None),
        ("A walk in the park", None),
    ],
)
def test_marked_answers_are_found(text: str, answer: str | None) -> None:
    found = final_answer(text)
    assert (found.strip("* ") if found else found) == answer


def test_answers_are_compared_as_numbers_then_as_text() -> None:
    assert same_answer("$1,000.00", "1000")
    assert same_answer("Paris.", "paris")
    assert not same_answer("10", "100")
    assert not same_answer("-3", "3")
    assert not same_answer("", "no")


@pytest.mark.parametrize(
    "text",
    [
        "#### 1. Introduction\nLong ago.\n#### 2. End\nThe end.",
        "Some say the answer is not simple. Others disagree, and may be right.\nSo be it.",
        "A: red\nB: blue\nC: green",
    ],
)
def test_headings_options_and_phrases_mark_no_answer(text: str) -> None:
    assert final_answer(text) is None


def test_of_boxes_in_a_box_the_outermost_counts_at_no_cost() -> None:
    assert final_answer(r"\boxed{\boxed{5}}") == final_answer(r"\boxed{ \boxed {5} }") == "5"
    assert final_answer(r"\boxed{5 + \boxed{3}}") == r"5 + \boxed{3}"
    assert final_answer(r"\boxed{\boxed{5} or \boxed{3}}") == r"\boxed{5} or \boxed{3}"
    assert final_answer(r"\boxed{\boxed{5}}, \boxed{3}") == "5, 3"
    deep = 10_000
    tracemalloc.start()
    try:
        assert final_answer("\\boxed{" * deep + "5" + "}" * deep) == "5"
        assert final_answer("\\boxed{" * deep + "}" * deep) is None
        assert final_answer("\\boxed{1" * deep + "}" * deep) is not None
        assert tracemalloc.get_traced_memory()[1] < 100 * deep * len("\\boxed{1}")
    finally:
        tracemalloc.stop()


def test_braces_within_a_box_are_part_of_the_answer() -> None:
    assert final_answer(r"So it is \boxed{\frac{1}{2}}, as we saw.") == r"\frac{1}{2}"
    nested = "At first \\boxed{5}.\nNo: \\boxed{\\sqrt{\\frac{1}{2}}}."
    assert final_answer(nested) == r"\sqrt{\frac{1}{2}}"
    assert final_answer(r"A set: \boxed{\{1, 2\}}") == r"\{1, 2\}"


def test_several_boxes_in_a_line_are_one_answer() -> None:
    assert final_answer(r"\boxed{5} or \boxed{3}") == "5, 3"
    assert final_answer(r"\boxed{5}, that is \boxed{5}") == "5"
    assert final_answer("\\boxed{4}\nNo, \\boxed{5}") == "5"
    assert final_answer(r"\boxed{5") is None
