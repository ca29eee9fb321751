"""Words of texts, one by one and in columns: both are held to each other."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.word_forms import template_of, words_of
from siftline.scorers.leaks import folded_hashes
from siftline.scorers.leaks.folded_hashes import hashed_words, ngram_hashes, pieces_of

ODD = [
    "",
    "1,000,000 apples, 1,2 and 12,345,6",
    "5,",
    "1,234",
    "123 begins where the text before has a comma",
    ",123",
    "3.5 is one word. 3. is not",
    "snake_case and kebab-case",
    "中文 and ก็ and ひらがな",
    "don\u2019t \u2014 \u201cquoted\u201d \u2026 \u00bd",
    "\uff21\uff22\uff23 ﬃ e\u0301 é हिन्दी",
    "three million and Twenty-five",
]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A farmer had 12 sheep.", "a  FARMER, had 12\nsheep"),
        ("It costs 1,000 dollars", "It costs $1000 dollars!"),
        ("She has three dogs", "she has 3 dogs"),
        ("\uff26\uff35\uff2c\uff2c width", "full width"),
        ("cafe\u0301", "CAFÉ"),
        ("first_name", "first name"),
    ],
)
def test_form_is_no_difference(one: str, other: str) -> None:
    assert words_of(one).words == words_of(other).words


@pytest.mark.parametrize(
    ("one", "other"), [("3.5 kg", "35 kg"), ("12 sheep", "13 sheep"), ("a b", "ab")]
)
def test_what_is_a_difference(one: str, other: str) -> None:
    assert words_of(one).words != words_of(other).words


def test_a_template_has_no_numbers() -> None:
    words = words_of("Of 1,200 sheep, three and 3.5 were sold on the 5th").words
    assert " ".join(template_of(words)) == "of # sheep # and # were sold on the #"


# Arrow and Python know other versions of Unicode, which differ in rare scripts.
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cn"]))


@given(st.lists(TEXTS, max_size=5))
def test_columns_agree_with_single_texts(texts: list[str]) -> None:
    # Lower case of these letters is not one and the same thing to Arrow and to Python.
    texts = [text.replace("İ", "i").replace("Σ", "s") for text in [*texts, *ODD]]
    numbers: dict[str, int] = {}
    for template in (False, True):
        hashed = hashed_words(pa.array(texts, pa.large_string()), template=template)
        words = [
            (number, word)
            for number, text in enumerate(texts)
            for word in (template_of if template else list)(words_of(text).words)
        ]
        assert hashed.texts.tolist() == [number for number, _ in words]
        for (_, word), code in zip(words, hashed.hashes.tolist(), strict=True):
            assert numbers.setdefault(word, code) == code
    assert len(set(numbers.values())) == len(numbers)


@given(st.text(), st.text())
def test_places_lead_to_the_words(before: str, after: str) -> None:
    text = f"{before} Twelve sheep {after}"
    words = words_of(text)
    shown = [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]
    assert "sheep" in shown


def test_no_ngram_reaches_into_the_next_text() -> None:
    texts = pa.array(["a b c", "d", "", "a b c d"])
    grams = ngram_hashes(hashed_words(texts), 3)
    assert grams.texts.tolist() == [0, 3, 3]
    assert grams.hashes[0] == grams.hashes[1]
    assert grams.hashes[1] != grams.hashes[2]
    assert not len(ngram_hashes(hashed_words(texts.slice(1, 1)), 3).hashes)


def test_pieces_are_hashed_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array([f"word {number} of {'many ' * number}" for number in range(30)])
    whole = hashed_words(texts)
    monkeypatch.setattr(folded_hashes, "PIECE_BYTES", 50)
    pieces = list(pieces_of(texts))
    assert len(pieces) > 5
    assert sum(len(piece) for _, piece in pieces) == len(texts)
    hashes = np.concatenate([hashed_words(piece).hashes for _, piece in pieces])
    assert np.array_equal(hashes, whole.hashes)
