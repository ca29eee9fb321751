"""Tests of paraphrases of the gold answer, with scripted models."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from golds import rows_of
from scripted import Scripted, playing, said, texts

from siftline.scorers.paraphrase import PARAPHRASE, Paraphrase, meta_text


def paraphrased(reply: Callable[[Any], Any], rows: pa.Table, patch: pytest.MonkeyPatch) -> Any:
    model = Scripted(reply)
    runtime = playing(model, patch, "m")
    scored = Paraphrase(model="m", max_tokens=9, template="plain").score(rows, runtime)
    assert scored.table.schema == PARAPHRASE
    return model, scored.table.to_pylist()


def test_a_paraphrase_is_refused_where_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    replies: dict[str, Any] = {
        "good": said(" It makes 4. \n"),
        "cut": said("It makes", finish="length"),
        "cut meta": said("The reference answer is", finish="length"),
        "empty": said(" \n"),
        "empty and cut": said(" \n", finish="length"),
        "same": said("It is 4.\n"),
        "meta": said("As the reference says, it is 4."),
        "too long": "prompt_too_long",
    }
    rows = rows_of(*[[("user", name), ("assistant", " It is 4. ")] for name in replies])
    model, found = paraphrased(
        lambda turns: replies[str(texts([turns])[0]).partition("\n")[0]], rows, monkeypatch
    )
    assert [(row["content_hash"], row["status"], row["text"]) for row in found] == [
        ("h0", "ok", "It makes 4."),
        ("h1", "cut", "It makes"),
        ("h2", "cut", "The reference answer is"),
        ("h3", "empty_candidate", None),
        ("h4", "empty_candidate", None),
        ("h5", "unchanged", "It is 4."),
        ("h6", "meta_text", "As the reference says, it is 4."),
        ("h7", "prompt_too_long", None),
    ]
    assert {row["origin"] for row in found[:-1]} == {"builtin:toy"}
    assert model.samplings[0].temperature == 0
    assert model.samplings[0].max_tokens == 9


def test_the_reference_stands_in_a_turn_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    system, first = ("system", "Be brief."), ("user", "Hello?")
    dialogue = [system, first, ("assistant", "Hi."), ("user", "Two and two?")]
    tool = [first, ("assistant", ""), ("tool", "4")]
    rows = rows_of(*[[*turns, ("assistant", " GOLD ")] for turns in (dialogue, tool)])
    model, _ = paraphrased(lambda turns: said("words"), rows, monkeypatch)
    one, two = [[(turn["role"], turn["content"]) for turn in turns] for turns in model.generated]
    assert one[:3] == dialogue[:3]
    assert one[3][0] == "user"
    assert one[3][1].startswith("Two and two?\n\nAnswer the task above in your own words.")
    assert one[3][1].endswith("\n\nGOLD")
    assert two[:3] == tool
    assert two[3][0] == "user"
    assert two[3][1].startswith("Answer the task above")
    assert len(one) == len(two) == 4


@pytest.mark.parametrize(
    ("text", "meta"),
    [
        ("The reference answer says 4.", True),
        ("As the provided solution shows, 4.", True),
        ("Based on the GIVEN\nanswer: 4.", True),
        ("It is 4, like in the original response.", True),
        ("According to the reference, 4.", True),
        ("The answer you provided is right: 4.", True),
        ("In my own words: 4.", True),
        ("Here is a paraphrased version: 4.", True),
        ("Rephrasing it, 4.", True),
        ("The answer is 4.", False),
        ("Given two solutions, the answer is their sum: 4.", False),
        ("The reference frame moves at 4 m/s relative to the reference point.", False),
        ("The solution given by the formula is 4.", False),
        ("He wrote the text in his own words.", False),
    ],
)
def test_text_about_a_reference_is_known(text: str, meta: bool) -> None:
    turns: Any = [
        {"role": "user", "content": "What is 2 and 2?"},
        {"role": "assistant", "content": "4"},
    ]
    assert meta_text(text, turns) is meta


@pytest.mark.parametrize("place", ["user", "assistant"])
def test_words_of_the_row_itself_are_not_about_a_reference(place: str) -> None:
    contents = {"user": "Sum up.", "assistant": "It is long."}
    contents[place] = "The Original\ntext has been reworded."
    turns: Any = [{"role": role, "content": content} for role, content in contents.items()]
    assert not meta_text("Somebody rewords what the original text said.", turns)
    assert meta_text("Somebody reworded the original answer.", turns)
