"""The hash of a row of text alone is that of its canonical JSON, however it is come by."""

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.examples import Message, content_hash, normalise, prompt_hash

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
turns = st.builds(Message, role=texts, content=texts)


def canonical(pairs: list[list[str]]) -> str:
    text = json.dumps([pairs, None, None], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@given(st.lists(turns, max_size=4))
def test_text_alone_is_hashed_as_its_canonical_json(messages: list[Message]) -> None:
    pairs = [[message["role"], message["content"]] for message in messages]
    normal = [[role, normalise(content)] for role, content in pairs[:-1]]
    assert content_hash(messages) == canonical(pairs)
    assert prompt_hash(messages) == canonical(normal)
    nulls = [Message(**message, reasoning=None, weight=None) for message in messages]
    assert content_hash(nulls) == canonical(pairs)
    assert prompt_hash(nulls) == canonical(normal)


def test_a_hash_stays_as_it_is() -> None:
    """Scores are kept by it."""
    row = [Message(role="user", content='"é"\n'), Message(role="assistant", content="\\ü")]
    assert content_hash(row) == "bb783f0b76a8e447a45feb4d5e156fed"
