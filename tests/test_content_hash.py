"""The hashes of a row are those of its canonical JSON, however that is come by."""

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.examples import Message, content_hash, hashes, normalise, prompt_hash

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.lists(st.dictionaries(texts, values, max_size=3), min_size=1, max_size=2)
rests = st.fixed_dictionaries(
    {},
    optional={
        "reasoning": st.none() | texts,
        "tool_calls": st.none() | calls,
        "tool_call_id": st.none() | texts,
        "name": st.none() | texts,
        "weight": st.none() | st.floats(0, 1),
    },
)
turns = st.tuples(texts, texts, rests)


def as_message(turn: tuple[str, str, dict[str, Any]]) -> Message:
    role, content, rest = turn
    called = {"tool_calls": json.dumps(rest["tool_calls"])} if rest.get("tool_calls") else {}
    return Message(role=role, content=content, **{**rest, **called})  # type: ignore[typeddict-item]


def canonical(pairs: list[list[Any]], tools: Any, media: Any) -> str:
    identity = [pairs, {"tools": tools} if tools else None, None, *([media] if media else [])]
    text = json.dumps(identity, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def there(rest: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in rest.items() if value is not None}


def of_prompt(rest: dict[str, Any]) -> dict[str, Any]:
    kept = {field: value for field, value in there(rest).items() if field != "weight"}
    return kept | ({"reasoning": normalise(kept["reasoning"])} if "reasoning" in kept else {})


def turn_of(role: str, said: str, rest: dict[str, Any]) -> list[Any]:
    return [role, said, rest] if rest else [role, said]


@given(st.lists(turns, max_size=4), st.none() | calls, st.none() | st.just({"images": ["a"]}))
def test_a_row_is_hashed_as_its_canonical_json(
    row: list[tuple[str, str, dict[str, Any]]], tools: Any, media: Any
) -> None:
    messages = [as_message(turn) for turn in row]
    held = (json.dumps(tools) if tools else None, json.dumps(media) if media else None)
    whole = [turn_of(role, said, there(rest)) for role, said, rest in row]
    prompt = [turn_of(role, normalise(said), of_prompt(rest)) for role, said, rest in row[:-1]]
    assert hashes(messages, *held) == (content_hash(messages, *held), prompt_hash(messages, *held))
    assert content_hash(messages, *held) == canonical(whole, tools, media)
    assert prompt_hash(messages, *held) == canonical(prompt, tools, media)


def test_a_hash_stays_as_it_is() -> None:
    """Scores are kept by it."""
    row = [Message(role="user", content='"é"\n'), Message(role="assistant", content="\\ü")]
    assert content_hash(row) == "bb783f0b76a8e447a45feb4d5e156fed"
