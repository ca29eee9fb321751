"""Tests of samples, reflection and consistency, on tables of rows and with scripted models."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scripted import Scripted, playing, said, texts
from test_clear import decisions, go

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.models.generation import Sampling
from siftline.scorers.confidence import (
    CONSISTENCY,
    REFLECTION,
    SAMPLES,
    Consistency,
    Reflection,
    Samples,
)
from siftline.scorers.judges.comparers import Embedding, Judge, Numeric

TOY = Runtime(models={"judge": ModelSpec(name="builtin:toy")})
COSINE = Embedding(model="judge")  # the toy is an embedder too
CALLS = {"tool_calls": [[{"type": "function", "function": {"name": "f", "arguments": {}}}]]}
DIALOGUE = [("system", "Be brief."), ("user", "Two and two?"), ("assistant", "Four.")]


def rows_of(*responses: str, prompt: str = "How many?", calls: Sequence[int] = ()) -> pa.Table:
    """One single-turn row for each response; those in `calls` call a tool."""
    return table([[("user", prompt), ("assistant", text)] for text in responses], calls)


def table(conversations: Sequence[Any], calls: Sequence[int] = ()) -> pa.Table:
    records = [
        {
            "id": f"r{row}",
            "content_hash": f"h{row}",
            "prompt_id": f"p{row}",
            "messages": [{"role": role, "content": content} for role, content in turns],
            "source": "s",
            "metadata": json.dumps(CALLS if row in calls else {}),
        }
        for row, turns in enumerate(conversations)
    ]
    return pa.Table.from_pylist(records, schema=EXAMPLES)


def said_in(turns: Any) -> str:
    return str(texts([turns])[0])


# Samples


def sampled(model: Any, patch: pytest.MonkeyPatch, rows: pa.Table, **fields: Any) -> Any:
    scorer = Samples(model="judge", sampling=Sampling(n=2, temperature=0.7), **fields)
    found = scorer.score(rows, playing(model, patch))
    assert found.table.schema == SAMPLES
    return found


def test_samples_are_kept_with_how_they_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    replies: dict[str, Any] = {
        "one": [*said("Answer: 4"), *said("I think", finish="length", tokens=7)],
        "two": "special_token",
        "three": [*said("a"), *said("b", tokens=None)],
    }
    model = Scripted(lambda turns: replies[turns[-1]["content"].split("\n")[0]])
    rows = table([[("user", text), ("assistant", "x")] for text in ("one", "two", "three")])
    found = sampled(model, monkeypatch, rows)
    assert found.table.to_pylist() == [
        {
            "prompt_id": "p0",
            "status": "ok",
            "texts": ["Answer: 4", "I think"],
            "finished": [True, False],
            "generated_tokens": 10,
        },
        dict.fromkeys(SAMPLES.names) | {"prompt_id": "p1", "status": "special_token"},
        {
            "prompt_id": "p2",
            "status": "ok",
            "texts": ["a", "b"],
            "finished": [True, True],
            "generated_tokens": None,  # nobody counted one of them
        },
    ]
    assert found.usage == (1, 3)
    assert model.samplings == [Sampling(n=2, temperature=0.7)]


@pytest.mark.parametrize("explain", [True, False])
def test_the_last_turn_alone_asks_for_an_explanation(
    explain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Scripted(lambda _: said("a", "b"))
    conversation = [*DIALOGUE, ("user", "And three?"), ("assistant", "RESPONSE")]
    sampled(model, monkeypatch, table([conversation]), explain=explain)
    ((*earlier, last),) = model.generated
    assert [(turn["role"], turn["content"]) for turn in earlier] == DIALOGUE
    assert last["role"] == "user"
    assert last["content"].startswith("And three?")
    assert last["content"].endswith("'Answer: <final answer>'.") == explain
    assert (last["content"] == "And three?") is not explain


def test_a_prompt_beyond_the_window_has_a_status_and_stays(tmp_path: Path) -> None:
    rows = [
        {"instruction": "How many? " * 300, "output": "Very many."},
        {"instruction": "How many?", "output": "many " * 40},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    for name in ("data.jsonl", "chat.jsonl"):
        (tmp_path / name).write_text(lines + "\n", encoding="utf-8")
    long, short, *_ = decisions(go(tmp_path))
    assert long["samples.status"] == long["consistency.status"] == "prompt_too_long"
    assert (long["decision"], long["reason"]) == ("keep", "unjudged_prompt_too_long")
    assert long["confidence.value"] is None
    assert short["consistency.status"] == "ok"


# Reflection


def reflected(
    model: Any, patch: pytest.MonkeyPatch, rows: pa.Table, **fields: Any
) -> list[dict[str, Any]]:
    found = Reflection(model="judge", **fields).score(rows, playing(model, patch)).table
    assert found.schema == REFLECTION
    assert found["content_hash"].to_pylist() == rows["content_hash"].to_pylist()
    records: list[dict[str, Any]] = found.drop_columns(["content_hash"]).to_pylist()
    return records


def doubts(turns: Any) -> bool:
    """Return whether this is the second look."""
    return "really sure" in said_in(turns)


def test_each_look_counts_a_as_one_and_c_as_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = {False: [0.4, 0.2, 0.2], True: [0.1, 0.1, 0.3]}
    model = Scripted(choose=lambda turns: looks[doubts(turns)])
    (found,) = reflected(model, monkeypatch, rows_of("Four."))
    assert found == {
        "status": "ok",
        "first": pytest.approx((0.4 + 0.5 * 0.2) / 0.8),
        "second": pytest.approx((0.1 + 0.5 * 0.3) / 0.5),
        "first_letter": "A",
        "second_letter": "C",
        "unparsable": 0,
        "letter_mass": pytest.approx((0.8 + 0.5) / 2),
    }


def test_a_reply_without_a_letter_counts_a_half_and_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = {
        ("one", False): "Answer: A",
        ("one", True): "Who knows.",
        ("two", False): "",
        ("two", True): "A question to answer.",
        ("three", False): "Answer: B",
        ("three", True): "Answer: C",
    }

    def reply(turns: Any) -> Any:
        (name,) = [name for name, _ in replies if f"\n{name}\n" in said_in(turns)][:1]
        return said(replies[name, doubts(turns)])

    found = reflected(
        Scripted(reply), monkeypatch, rows_of("one", "two", "three"), reading="letter"
    )
    columns = ["first", "second", "first_letter", "second_letter", "unparsable"]
    assert [[row[name] for name in columns] for row in found] == [
        [1.0, 0.5, "A", None, 1],
        [0.5, 0.5, None, None, 2],
        [0.0, 0.5, "B", "C", 0],
    ]
    assert [row["status"] for row in found] == ["ok"] * 3


def test_only_what_can_be_judged_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(choose=lambda turns: [1, 0, 0] if "good" in said_in(turns) else [0, 1, 0])
    rows = rows_of("", "bad", "calls", " \n", "good", calls=[2])
    found = reflected(model, monkeypatch, rows)
    statuses = ["empty_response", "ok", "tool_calls", "empty_response", "ok"]
    assert [row["status"] for row in found] == statuses
    assert [row["first"] for row in found] == [None, 0, None, None, 1]
    assert [row["unparsable"] for row in found] == [None, 0, None, None, 0]
    assert len(model.chosen) == 2 * 2
    assert [doubts(turns) for turns in model.chosen] == [False, False, True, True]


def test_an_empty_response_makes_no_call_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted()
    found = reflected(model, monkeypatch, rows_of("", " ", "calls", calls=[2]))
    assert [row["status"] for row in found] == ["empty_response", "empty_response", "tool_calls"]
    assert not model.calls


@pytest.mark.parametrize("failing", [False, True])
def test_a_look_that_fails_gives_the_row_a_status(
    failing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(turns: Any) -> Any:
        return (
            "prompt_too_long"
            if "long" in said_in(turns) and doubts(turns) == failing
            else [1, 0, 0]
        )

    long, short = reflected(Scripted(choose=choose), monkeypatch, rows_of("long", "short"))
    assert long == dict.fromkeys(REFLECTION.names[1:]) | {"status": "prompt_too_long"}
    assert (short["status"], short["first"]) == ("ok", 1.0)


def test_the_last_turn_is_judged_given_what_precedes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scripted(choose=lambda _: [1, 0, 0])
    conversation = [*DIALOGUE, ("user", "And three?"), ("assistant", " Five. \n")]
    reflected(model, monkeypatch, table([conversation]))
    history = "system: Be brief.\nuser: Two and two?\nassistant: Four.\nuser: And three?"
    for question in texts(model.chosen):
        assert question.startswith(f"Question:\n{history}\n\nProposed answer:\nFive.\n\n")
    assert len(model.chosen) == 2


# Consistency


def consistent(
    responses: Sequence[str],
    *samples: tuple[str, bool],
    comparer: Any = None,
    runtime: Runtime = TOY,
    status: str = "ok",
    **fields: Any,
) -> list[dict[str, Any]]:
    """Compare these samples, each a text and whether it is finished, with each response."""
    calls = fields.pop("calls", ())
    return compared(
        rows_of(*responses, calls=calls), samples, comparer or Numeric(), runtime, status, **fields
    )


def compared(
    rows: pa.Table,
    samples: Sequence[tuple[str, bool]],
    comparer: Any,
    runtime: Runtime,
    status: str = "ok",
    **fields: Any,
) -> list[dict[str, Any]]:
    record: dict[str, Any] = dict.fromkeys(SAMPLES.names[1:]) | {"status": status}
    if status == "ok":
        record |= {"texts": [text for text, _ in samples]}
        record |= {"finished": [finished for _, finished in samples]}
    kind = pa.struct(list(SAMPLES)[1:])
    given = rows.append_column("samples", pa.array([record] * len(rows), kind))
    scorer = Consistency(samples=Samples(model="judge"), comparer=comparer, **fields)
    found = scorer.score(given, runtime).table
    assert found.schema == CONSISTENCY
    assert found["content_hash"].to_pylist() == rows["content_hash"].to_pylist()
    records: list[dict[str, Any]] = found.drop_columns(["content_hash"]).to_pylist()
    return records


def test_agreement_and_match_are_means_over_the_valid_samples() -> None:
    samples = [("2 + 2\nAnswer: 4", True), ("Answer: 5", True), ("I start with", False)]
    marked, worded = consistent(["2 + 2\n#### 4", "It is 4"], *samples)
    assert marked == {
        "status": "ok",
        "agreement": 0.5,
        "match": 0.5,
        "valid": 2,
        "agreements": [1.0, 0.0, None],
        "matches": [True, False, None],
    }
    # The number agrees; "It is 4" and "4" are not the same text.
    assert (worded["agreement"], worded["match"], worded["valid"]) == (0.5, 0.0, 2)


@pytest.mark.parametrize(
    ("text", "finished", "valid"),
    [
        ("Answer: 12", True, True),
        ("Twelve is 12", True, True),  # unmarked, and so compared as it is
        ("Twelve is 12", False, False),
        ("Answer: 12\nFor 3 x 4", False, True),  # cut after its answer
        ("so \\boxed{12}, which", False, True),
        ("Answer: 12", False, False),  # may have been on the way to 120
        ("The answer is 12.", False, False),  # or to 12.5
        ("", True, False),
        (" \n", True, False),
        ("", False, False),
    ],
)
def test_a_sample_counts_that_came_to_its_answer(text: str, finished: bool, valid: bool) -> None:
    (found,) = consistent(["12"], ("Answer: 12", True), ("Answer: 12", True), (text, finished))
    assert found["agreements"] == [1.0, 1.0, 1.0 if valid else None]
    assert found["matches"][2] in ((True, False) if valid else (None,))
    assert found["valid"] == 2 + valid


def test_answers_match_whatever_marks_them() -> None:
    samples = [("Answer: -5", True), ("#### -5", True), ("**Answer:** $-5$", True), ("A: 5", True)]
    (found,) = consistent(["It falls.\n#### -5"], *samples)
    assert found["matches"] == [True, True, True, False]
    assert found["agreements"] == [1.0, 1.0, 1.0, 0.0]
    (sign,) = consistent(["Answer: +"], ("Answer: +", True), ("Answer: -", True), comparer=COSINE)
    assert sign["matches"] == [True, False]


def test_a_long_response_is_compared_as_a_whole_with_whole_samples() -> None:
    response = "so many words and so few of them say " * 5
    samples = [(response, True), (response, False), ("Answer: many", True)]
    (found,) = consistent([response], *samples, comparer=COSINE)
    assert found["agreements"][:2] == pytest.approx([1, 1])  # cut or not
    assert found["matches"] == [True, True, False]
    assert found["agreements"][2] < 0.7
    assert found["valid"] == 3


def test_a_long_response_with_a_marked_answer_is_compared_by_it() -> None:
    response = "so many words and so few of them say " * 5 + "\nAnswer: Paris"
    samples = [("I think so.\nAnswer: paris.", True), ("Answer: Rome", True), ("We are", False)]
    (found,) = consistent([response], *samples, comparer=COSINE)
    assert found["matches"] == [True, False, None]


@pytest.mark.parametrize(("words", "valid"), [(30, 0), (31, 2)])
def test_a_short_response_has_no_more_words_than_said(words: int, valid: int) -> None:
    cut = [("it is", False)] * 2
    (found,) = consistent(["word " * words], *cut, comparer=COSINE)
    assert found["valid"] == valid
    (found,) = consistent(["word " * words], *cut, comparer=COSINE, short_words=words - 1)
    assert found["valid"] == 2


@pytest.mark.parametrize(
    "samples",
    [
        [("Answer: 4", True), ("I start", False), ("", True)],
        [("Answer: 4", True), ("Answer: four", True)],  # one number is none
    ],
)
def test_fewer_than_two_valid_samples_are_no_consistency(samples: Any) -> None:
    (found,) = consistent(["4"], *samples)
    rest = [None] * (len(samples) - 1)
    assert found == {
        "status": "too_few_samples",
        "agreement": None,
        "match": None,
        "valid": 1,
        "agreements": [1.0, *rest],
        "matches": [True, *rest],
    }


def test_a_response_that_the_comparer_cannot_read_is_not_judged() -> None:
    (found,) = consistent(["no number"], ("Answer: 4", True), ("Answer: 4", True))
    assert (found["status"], found["valid"], found["agreement"]) == ("too_few_samples", 0, None)


def test_statuses_of_rows_and_samples_are_passed_on() -> None:
    # Without models: nothing may be compared.
    none, samples = Runtime(), [("Answer: 4", True)] * 2
    options: Any = {"comparer": Embedding(), "runtime": none}
    (long,) = consistent(["4"], **options, status="prompt_too_long")
    empty, calls = consistent(["", "calls"], *samples, **options, calls=[1])
    (both,) = consistent([" "], **options, status="prompt_too_long")
    for row, status in (
        (long, "prompt_too_long"),
        (empty, "empty_response"),
        (calls, "tool_calls"),
        (both, "empty_response"),
    ):
        assert row == dict.fromkeys(CONSISTENCY.names[1:]) | {"status": status, "valid": 0}


def test_rows_keep_their_own_comparisons() -> None:
    samples = [("Answer: 4", True), ("Answer: 5", True), ("cut", False), ("Answer: 4", True)]
    found = consistent(["5", "", "4", "6"], *samples)
    assert [row["agreements"] for row in found] == [
        [0.0, 1.0, None, 0.0],
        None,
        [1.0, 0.0, None, 1.0],
        [0.0, 0.0, None, 0.0],
    ]
    assert [row["agreement"] for row in found] == pytest.approx([1 / 3, None, 2 / 3, 0])


def test_the_comparer_is_shown_the_answers_and_what_precedes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = Scripted(choose=lambda _: [1, 1])
    rows = table([[*DIALOGUE, ("user", "And three?"), ("assistant", "So:\n#### 5")]])
    runtime = playing(judge, monkeypatch)
    samples = [("Since.\nAnswer: 6", True), ("7", True)]
    (found,) = compared(rows, samples, Judge(model="judge"), runtime)
    assert found["agreement"] == 0.5
    for question, sample in zip(texts(judge.chosen), "67", strict=True):
        assert "assistant: Four.\nuser: And three?\n\nFirst answer:\n5\n\n" in question
        assert f"Second answer:\n{sample}\n\n" in question
