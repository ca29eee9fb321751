"""Shingles of rows, beside sets that Python makes of the same words."""

import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.corpus import EXAMPLES
from siftline.scorers import shingles as module
from siftline.scorers.shingles import Over, row_shingles, side_texts
from siftline.scorers.text_statistics import words


def row(prompt: str, response: str, **fields: Any) -> dict[str, Any]:
    answer = {"role": "assistant", "content": response}
    turns = [{"role": "user", "content": prompt}, {**answer, **fields.pop("answer", {})}]
    return {"messages": turns, **fields}


def sets(*rows: dict[str, Any], over: Over = "both", ngram: int = 2) -> list[set[int]]:
    """Return the shingles of each text that is compared."""
    found = row_shingles(pa.Table.from_pylist(list(rows), schema=EXAMPLES), over, ngram)
    bounds = found.offsets.tolist()
    return [set(found.hashes[start:end].tolist()) for start, end in itertools.pairwise(bounds)]


def test_windows_of_words() -> None:
    prompt, response = sets(row("a b c d", "A, b! c"))
    assert (len(prompt), len(response)) == (3, 2)  # ab bc cd, ab bc
    assert not prompt & response  # of another side
    (same,) = sets(row("x", "a b c"), over="response")
    assert same == response
    assert sets(row("a b c d", "x"), over="prompt") == [prompt]


def test_short_texts_and_texts_without_words() -> None:
    texts = ["a b", "a  B.", "a", "", " ", "+", "-", "\U0001f642"]
    found = sets(*[row(text, "x") for text in texts], over="prompt", ngram=5)
    assert [len(each) for each in found] == [1] * len(texts)
    assert found[0] == found[1] != found[2]
    assert found[3] == found[4]
    assert len({*map(frozenset, found)}) == 6


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("3 + 5", "3 - 5", False),
        ("3 + 5", "3  +  5.", True),
        ("3 + 5", "3 5", False),
        ("5", "-5", False),
        ("5 %", "5 \u20ac", False),
        ("1.5", "1:5", False),
        ("Yes", "yes \U0001f642", False),
        ("yes \u2764\ufe0f", "Yes \u2764", True),
        ("a_b", "a b", False),
        ("Negative.", "negative", True),
        ("\u201cNegative\u201d!", "(negative)", True),
        ("`Negative`", "negative", True),
        ("+", "- ", False),
        ("+ -", "+  -", True),
        ("-", "-.", True),
        ("?", "...", False),
        ("\u0915\u093f", "\u0915\u0940", False),  # vowels of Hindi are marks on a letter
        ("a\x00", "a", True),
    ],
)
def test_signs_count_in_texts_shorter_than_a_window(one: str, other: str, alike: bool) -> None:
    found = sets(row(one, "x"), row(other, "x"), over="prompt", ngram=5)
    assert (found[0] == found[1]) is alike


def test_signs_do_not_count_in_longer_texts() -> None:
    found = sets(row("a + b c", "x"), row("a - b c", "x"), over="prompt", ngram=3)
    assert found[0] == found[1]


def test_a_prompt_is_all_before_the_last_turn_and_thoughts_are_text() -> None:
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a", "reasoning": "t"},
        {"role": "tool", "content": "r"},
        {"role": "assistant", "content": "b", "reasoning": "v"},
    ]
    alone = [{"role": "assistant", "content": "z"}]
    rows = [{"messages": turns}, {"messages": alone}, row("q", "w")]
    found = side_texts(pa.Table.from_pylist(rows, schema=EXAMPLES))
    assert found == (["s\nu\nt\na\nr", "", "q"], ["v\nb", "z", "w"])


CALL = '[{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]'
OTHER_ID = CALL.replace('"1"', '"2"')
OTHER_CALL = CALL.replace(": 1}", ": 2}")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ({"tools": '[{"name": "f"}]'}, {}, False),
        ({"tools": '[{"name": "f"}]'}, {"tools": '[{"name":  "f"}]'}, True),
        ({"media": '{"images": ["a.png"]}'}, {"media": '{"images": ["b.png"]}'}, False),
        ({"answer": {"tool_calls": CALL}}, {}, False),
        ({"answer": {"tool_calls": CALL}}, {"answer": {"tool_calls": OTHER_CALL}}, False),
        ({"answer": {"tool_calls": CALL}}, {"answer": {"tool_calls": OTHER_ID}}, True),
        ({"answer": {"weight": 0.0}}, {}, False),
        ({"answer": {"weight": 1.0}}, {}, True),
    ],
)
def test_what_is_no_text_is_in_every_shingle(
    one: dict[str, Any], other: dict[str, Any], alike: bool
) -> None:
    first, second = row("a b c", "d e f", **one), row("a b c", "d e f", **other)
    found = sets(first, second)
    assert (found[:2] == found[2:]) is alike
    assert alike or not (found[0] | found[1]) & (found[2] | found[3])


TEXT = st.text(alphabet="ab \n日é.", max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6), st.integers(1, 4))
def test_sets_are_equal_where_those_of_the_words_are(
    pairs: list[tuple[str, str]], ngram: int
) -> None:
    def plain(text: str) -> frozenset[tuple[str, ...]]:
        said = tuple(words(text)) or ("", text.strip())
        return frozenset(said[n : n + ngram] for n in range(max(1, len(said) - ngram + 1)))

    found = sets(*[row(*pair) for pair in pairs], ngram=ngram)
    for side in (0, 1):
        texts = [plain(pair[side]) if words(pair[side]) else pair[side].strip() for pair in pairs]
        made = [frozenset(each) for each in found[side::2]]
        for one, first in zip(texts, made, strict=True):
            for other, second in zip(texts, made, strict=True):
                assert (one == other) == (first == second)
                if isinstance(one, frozenset) and isinstance(other, frozenset):
                    assert len(one & other) == len(first & second)


def test_portions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"ask {n} of it", "answer " * n) for n in range(9)]
    whole = sets(*rows)
    monkeypatch.setattr(module, "CHARS_AT_ONCE", 20)
    assert sets(*rows) == whole
