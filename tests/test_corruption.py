"""Tests of planted errors: each kind changes the response in its way, and chance is repeatable."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.parquet import write_table
from siftline.pipelines.calibration.calibrate import _sample
from siftline.pipelines.calibration.corruption import KINDS, Kind, Planted, plant

TEXT = st.one_of(st.text(), st.text(alphabet="ab 0123456789,.-!?\n"))
SEEDS = st.integers(0, 1000)


def planted(
    kinds: Any, response: str, prompt: str = "Hi", others: Any = (), seed: int = 0
) -> Planted | None:
    turns: Any = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": response},
    ]
    return plant(kinds, turns, others, np.random.default_rng(seed))


LAST = re.compile(
    r"(?:(?<![\w.)])[-\u2212])?"
    r"(?:(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)"
)


def last_number(text: str) -> Decimal | None:
    numbers = LAST.findall(text)
    return Decimal(numbers[-1].replace(",", "").replace("\u2212", "-")) if numbers else None


@given(st.sampled_from(KINDS), TEXT, TEXT, st.lists(TEXT, max_size=4), SEEDS)
@example("swapped", "a", "Hi", [" \n"], 0)
def test_what_is_planted_is_another_text_and_repeatable(
    kind: Kind, response: str, prompt: str, others: list[str], seed: int
) -> None:
    found = planted([kind], response, prompt, others, seed)
    assert found == planted([kind], response, prompt, others, seed)
    if found:
        assert found.kind == kind
        assert found.response.strip() not in ("", response.strip())


@given(TEXT, st.lists(TEXT, max_size=4), SEEDS)
def test_a_swapped_response_is_one_of_the_others(
    response: str, others: list[str], seed: int
) -> None:
    found = planted(["swapped"], response, others=others, seed=seed)
    assert found is None or found.response in others
    if all(other.strip() not in ("", response.strip()) for other in others):
        assert bool(found) == bool(others)
    assert planted(["swapped"], response, others=[response] * 3, seed=seed) is None


@given(st.lists(st.sampled_from(["one", "two", " ", "\n", "  \n"])).map(" ".join), SEEDS)
def test_a_cut_response_is_the_beginning_of_it(response: str, seed: int) -> None:
    found = planted(["cut"], response, seed=seed)
    words = response.split()
    assert bool(found) == (len(words) >= 8)
    if found:
        assert response.strip().startswith(found.response)
        assert found.response.split() == words[: len(words) // 2]


@given(TEXT, SEEDS)
def test_another_number_is_another_and_the_rest_is_the_same(response: str, seed: int) -> None:
    found = planted(["number"], response, seed=seed)
    if last_number(response) is None:
        assert found is None
    if found:
        # What is no number, such as ".1.2", is read in another way there.
        ill_formed = re.search(r"(?<!\d)\.\d+\.\d", response)
        assert ill_formed or last_number(found.response) != last_number(response)
        assert _without_numbers(found.response) == _without_numbers(response.strip())


def _without_numbers(text: str) -> str:
    return "".join(letter for letter in text if not letter.isdecimal() and letter != ",")


@pytest.mark.parametrize(
    ("response", "low", "high"),
    [
        ("It is 4 or 8.", 9, 12),
        ("It is 1", 2, 2),
        ("0", 1, 1),
        ("$1,000", 1001, 1500),
        ("$18.00 in all", 19, 27),
        ("3.75 km", 4.75, 4.75),
        ("2,500,000.5", 2500001.5, 3750000.5),
        ("999999999999999", 10**15, 1.5 * 10**15),
    ],
)
def test_a_number_grows_by_one_up_to_half_of_it(response: str, low: float, high: float) -> None:
    values = set()
    for seed in range(40):
        found = planted(["number"], response, seed=seed)
        assert found is not None
        value = last_number(found.response)
        assert value is not None
        assert low <= value <= high
        assert found.response.count(",") == response.count(",")
        values.add(value)
    assert len(values) == 1 if low == high else len(values) > 2


def test_only_the_last_number_changes_and_keys_are_no_numbers() -> None:
    found = planted(["number"], "3 of 4 are 12, as said.")
    assert found is not None
    assert found.response.startswith("3 of 4 are 1")
    assert found.response.endswith(", as said.")
    for key in ("1234567890123456", "9" * 30, "9" * 5000):
        assert planted(["number"], f"It has the number {key}.") is None


def test_kinds_are_tried_in_their_order() -> None:
    response, others = "word " * 8 + "1", ["other"]
    for first in KINDS:
        rest = [kind for kind in KINDS if kind != first]
        found = planted([first, *rest], response, "One. Two.", others)
        assert found is not None
        assert found.kind == first
    chain: Any = ["number", "prompt_sentence", "cut", "swapped"]
    for text, prompt, kind in (
        ("some words", "One. Two.", "prompt_sentence"),
        ("word " * 8, "One", "cut"),
        ("some words", "One", "swapped"),
    ):
        found = planted(chain, text, prompt, others)
        assert found is not None
        assert found.kind == kind
    assert planted(chain, "some words", "One", []) is None
    assert planted([], response, "One. Two.", others) is None


def test_a_sentence_of_the_prompt_is_one_of_several() -> None:
    prompt = "One is first. Is two second?\nThree"
    found = {planted(["prompt_sentence"], "Four", prompt, seed=seed) for seed in range(30)}
    sentences = {each.response for each in found if each}
    assert sentences == {"One is first.", "Is two second?", "Three"}
    assert planted(["prompt_sentence"], "Four", "One is first.") is None


def test_a_swapped_response_was_given_to_another_prompt(tmp_path: Path) -> None:
    """Nor is it one that was swapped before, and belongs to the prompt after all."""
    rows = [
        {
            "id": f"r{row}",
            "content_hash": f"h{row}",
            "prompt_id": f"p{row % 4}",
            "messages": [
                {"role": "user", "content": f"Prompt {'abcd'[row % 4]}"},
                {"role": "assistant", "content": f"to {'abcd'[row % 4]} {'x' * row}y"},
            ],
            "source": "s",
            "metadata": "{}",
        }
        for row in range(60)
    ]
    write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), tmp_path / "a.parquet")
    for seed in range(5):
        sample = _sample(Corpus.open(tmp_path), 60, seed)
        assert sample.kinds.count("swapped") == 30
        for row, kind in zip(sample.rows, sample.kinds, strict=True):
            asked, answered = (turn["content"].split()[1] for turn in row["messages"])
            assert (asked == answered) == (kind == "")
