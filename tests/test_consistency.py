"""Tests of the consistency of samples with responses, on tables of rows."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from conversations import DIALOGUE, rows_of, table
from scripted import Scripted, playing, texts

from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.scorers.consistency import CONSISTENCY, Consistency
from siftline.scorers.judges.comparers import Embedding, Judge, Numeric
from siftline.scorers.samples import SAMPLES, Samples

TOY = Runtime(models={"judge": ModelSpec(name="builtin:toy")})
COSINE = Embedding(model="judge")  # the toy is an embedder too


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
        ("That is 12", True, True),  # unmarked, and so compared as it is
        ("That is 12", False, False),
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


def test_a_response_that_ends_in_its_thought_is_compared_with_nothing() -> None:
    thoughts = ["<think>Answer: 4", "<think>4</think>", "<think>5</think>Answer: 4"]
    found = consistent(thoughts, ("Answer: 4", True), ("4", True))
    assert [each["status"] for each in found] == ["unfinished_thought", "empty_response", "ok"]
    assert [each["agreement"] for each in found] == [None, None, 1.0]
