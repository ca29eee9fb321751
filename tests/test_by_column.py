"""What is measured by column is what the same row measures by itself."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conversations import CALLS
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Runtime
from siftline.scorers import text_blocks
from siftline.scorers.character_statistics import CharacterStatistics
from siftline.scorers.phrase_search import may_hold, plain_text
from siftline.scorers.phrases import BOILERPLATE, PLACEHOLDERS, REFUSALS, PhraseMatches
from siftline.scorers.signature import Signature, signature
from siftline.scorers.sorted_groups import sorted_in_groups
from siftline.scorers.text_statistics import ResponseStatistics, bare, ngrams, said_of, words
from siftline.scorers.word_hashes import hashed_ngrams, hashed_words

Turn = dict[str, Any]

# Few words, so that they meet again, in cases and scripts that fold to other lengths.
SPELLED = """
a B b 15 25 15kg 25kg Stra\u00dfe STRASSE \u0130 \ufb01n \u212a \u017fo \u6771\u4eac\u90fd
\u0e44\u0e17\u0e22 xxxxxxx xxxxxxxx xxxxxxxxx \u00e9 I'm I\u2019m can't won't Sorry, but cannot help
<think> </think> N/A nooutput AI, _ a_b \x00 \U0001f600
"""
WORDS = st.sampled_from(
    [*SPELLED.split(), "x" * 16, "x" * 17, "y" * 130, "y" * 131, "my training data", "as an AI, I"]
)
SPACES = st.sampled_from([" ", " ", " ", "  ", "\n", "\u3000", "\x85", "\x1f", ", ", ". ", ""])
TEXTS = st.lists(st.tuples(WORDS, SPACES), max_size=14).map(lambda w: "".join(map("".join, w)))
TEXTS = TEXTS | st.text(max_size=12)


def user(text: str) -> Turn:
    return {"role": "user", "content": text}


ANSWERS = st.builds(
    lambda text, reasoning, calls: {
        "role": "assistant",
        "content": text,
        "reasoning": reasoning,
        "tool_calls": calls,
    },
    TEXTS,
    st.none() | st.none() | TEXTS,
    st.sampled_from([None, None, None, CALLS]),
)
CONVERSATIONS = st.lists(
    st.tuples(
        st.lists(st.builds(user, TEXTS) | ANSWERS, max_size=3), st.builds(user, TEXTS), ANSWERS
    ).map(lambda turns: [*turns[0], turns[1], turns[2]]),
    min_size=1,
    max_size=5,
)


def table(conversations: list[list[Turn]]) -> pa.Table:
    rows = [
        {"id": str(n), "content_hash": str(n), "messages": turns}
        for n, turns in enumerate(conversations)
    ]
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


def each_alone(conversations: list[list[Turn]]) -> list[list[Message]]:
    """The turns as the rows hold them, with a null for every field that a turn lacks."""
    turns: list[list[Message]] = table(conversations)["messages"].to_pylist()
    return turns


@given(CONVERSATIONS, st.sampled_from([1, 2, 4]))
def test_statistics(conversations: list[list[Turn]], n: int) -> None:
    scorer = ResponseStatistics(ngram=n)
    found = scorer.score(table(conversations), Runtime()).table.drop_columns("content_hash")
    assert found.to_pylist() == [scorer._measure(turns) for turns in each_alone(conversations)]


@given(CONVERSATIONS)
def test_signature(conversations: list[list[Turn]]) -> None:
    found = Signature().score(table(conversations), Runtime()).table["text"]
    assert found.to_pylist() == [signature(turns) for turns in each_alone(conversations)]


@given(CONVERSATIONS)
def test_phrases(conversations: list[list[Turn]]) -> None:
    found = PhraseMatches().score(table(conversations), Runtime()).table.to_pylist()
    for row, turns in zip(found, each_alone(conversations), strict=True):
        said = said_of(turns[-1])
        earlier = [plain_text(turn["content"]) for turn in turns[:-1]]
        places = [plain_text(said).find(plain_text(phrase)) for phrase in REFUSALS]
        assert row["refusal"] == any(0 <= place <= 20 for place in places)
        assert row["boilerplate"] == any(
            plain_text(phrase) in plain_text(said)
            and not any(plain_text(phrase) in text for text in earlier)
            for phrase in BOILERPLATE
        )
        assert row["placeholder"] == (bare(said) in {bare(phrase) for phrase in PLACEHOLDERS})


@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS.map(plain_text), max_size=3))
def test_no_text_with_a_phrase_is_passed_over(texts: list[str], phrases: list[str]) -> None:
    possible = may_hold(pa.array(texts, pa.string()), phrases).to_pylist()
    for text, may in zip(texts, possible, strict=True):
        assert may or not any(phrase in plain_text(text) for phrase in phrases)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("am sorry", "I'm sorry"),
        ("not help", "I can't help"),
        ("i am", "I\u2019M  here"),
        ("you cann", "You can't"),
        ("he will", "He won't"),
        ("i am sorry, i cannot", "I\u2019m\u3000SORRY,\nI can\u2019t"),
    ],
)
def test_a_phrase_that_is_written_as_a_contraction_is_found(phrase: str, text: str) -> None:
    assert phrase in plain_text(text)
    assert may_hold(pa.array([text]), [phrase]).to_pylist() == [True]


def test_a_text_without_a_phrase_is_mostly_passed_over() -> None:
    texts = pa.array(["I can explain.", "Sorry, but no.", "Wir k\u00f6nnen das."])
    assert may_hold(texts, ["i cannot help", "sorry, but i"]).to_pylist() == [False] * 3


@given(st.lists(TEXTS, max_size=4), st.integers(1, 4))
def test_words_and_ngrams_are_equal_where_their_numbers_are(texts: list[str], n: int) -> None:
    hashed = hashed_words(texts)
    spelled = [words(text) for text in texts]
    assert np.bincount(hashed.text, minlength=len(texts)).tolist() == list(map(len, spelled))
    flat = [word for tokens in spelled for word in tokens]
    assert len(set(zip(flat, hashed.hashes.tolist(), strict=True))) == len(set(flat))
    assert len(set(hashed.hashes.tolist())) == len(set(flat))
    grams = [gram for tokens in spelled for gram in ngrams(tokens, n)]
    numbers = hashed_ngrams(hashed, n).hashes.tolist()
    assert len(set(zip(grams, numbers, strict=True))) == len(set(grams)) == len(set(numbers))


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=9), max_size=6))
def test_sorting_in_groups(groups: list[list[int]]) -> None:
    keys = np.array([key for group in groups for key in group], dtype=np.uint64)
    found = sorted_in_groups(keys, np.array([len(group) for group in groups], dtype=np.int64))
    assert found.tolist() == [key for group in groups for key in sorted(group)]


def test_a_group_wider_than_a_matrix_is_sorted_too() -> None:
    keys = np.arange(3000, dtype=np.uint64)[::-1].copy()
    found = sorted_in_groups(keys, np.array([5, 2990, 5]))
    assert found[5:2995].tolist() == list(range(5, 2995))


@given(st.lists(TEXTS | st.text("ab", max_size=40), min_size=1, max_size=4), st.integers(1, 11))
def test_characters(texts: list[str], n: int) -> None:
    rows = table([[user("?"), {"role": "assistant", "content": text}] for text in texts])
    found = CharacterStatistics(ngram=n).score(rows, Runtime()).table
    for row, turns in zip(found.to_pylist(), rows["messages"].to_pylist(), strict=True):
        said = said_of(turns[-1]).strip()
        special = [not (each.isalnum() or each.isspace()) for each in said]
        runs = [said[start : start + n] for start in range(len(said) - n + 1)]
        assert row["special"] == (sum(special) / len(said) if said else 0)
        assert row["repeated"] == ((len(runs) - len(set(runs))) / len(runs) if runs else 0)


def test_a_shard_of_much_text_is_measured_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = [[user("a b c"), {"role": "assistant", "content": f"a b c {n} a b c"}] for n in range(9)]
    scorers = (ResponseStatistics(ngram=2), CharacterStatistics(ngram=3))
    whole = [scorer.score(table(talk), Runtime()).table for scorer in scorers]
    monkeypatch.setattr(text_blocks, "BLOCK_CHARS", 40)
    for scorer, before in zip(scorers, whole, strict=True):
        assert scorer.score(table(talk), Runtime()).table.equals(before)
