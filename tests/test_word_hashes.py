"""Words in columns, beside the same words one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.scorers.text_statistics import words
from siftline.scorers.word_hashes import hashed_ngrams, hashed_words

ODD = [
    "",
    "a",
    "A_b c",
    "STRASSE Straße ﬁn",
    "日本語 and ไทย",
    "x" * 300,
    "é" * 200,
    "a\nb",
    "İi",
    "🙂²",
]
TEXTS = st.lists(st.text(max_size=30) | st.sampled_from(ODD), max_size=6)


@given(TEXTS)
def test_words_are_those_of_the_patterns_and_equal_where_they_are(texts: list[str]) -> None:
    found = hashed_words(texts)
    wanted = [(number, word) for number, text in enumerate(texts) for word in words(text)]
    assert found.text.tolist() == [number for number, _ in wanted]
    by_word = dict(zip([word for _, word in wanted], found.hashes.tolist(), strict=True))
    assert [by_word[word] for _, word in wanted] == found.hashes.tolist()
    assert len(set(by_word.values())) == len(by_word)


@given(TEXTS)
def test_a_word_has_one_number_whatever_it_stands_beside(texts: list[str]) -> None:
    together = hashed_words(texts)
    for number, text in enumerate(texts):
        alone = hashed_words([text]).hashes.tolist()
        assert alone == together.hashes[together.text == number].tolist()


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 17, 127, 128, 129, 400])
def test_the_last_letter_of_a_word_counts(size: int) -> None:
    one, other = hashed_words(["a" * size + "b", "a" * size + "c"]).hashes.tolist()
    assert one != other


def test_windows_do_not_reach_into_the_next_text() -> None:
    grams = hashed_ngrams(hashed_words(["a b c", "b c", "c b", "a"]), 2)
    assert grams.text.tolist() == [0, 0, 1, 2]
    assert grams.hashes[1] == grams.hashes[2]
    assert len(np.unique(grams.hashes)) == 3
