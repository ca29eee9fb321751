import pyarrow as pa
import pytest
from conversations import CALLS

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.runtime import Runtime
from siftline.scorers.text_statistics import ResponseStatistics, words


def measure(
    prompt: str, response: str, calls: str | None = None, ngram: int = 2
) -> dict[str, float]:
    row = {
        "id": "1",
        "content_hash": "h",
        "prompt_id": "p",
        "source": "s",
        "task": None,
        "origin": None,
        "file": "f",
        "row": 1,
        "metadata": "{}",
        "messages": [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": response, "tool_calls": calls},
        ],
    }
    rows = pa.Table.from_pylist([row], schema=EXAMPLES)
    result: dict[str, float] = (
        ResponseStatistics(ngram=ngram).score(rows, Runtime()).table.to_pylist()[0]
    )
    return result


def test_worked_example() -> None:
    # bigrams of "a b a b": ab ba ab, two distinct of three; of the prompt "a b c": ab bc
    found = measure("a b c", " A b, a b! ")
    assert found["response_chars"] == 9
    assert found["response_words"] == 4
    assert found["repeated_ngrams"] == pytest.approx(1 / 3)
    assert found["prompt_overlap"] == pytest.approx(2 / 3)
    assert found["prompt_coverage"] == pytest.approx(1 / 2)


def test_short_texts_have_no_ngrams() -> None:
    found = measure("a", "b")
    assert (found["repeated_ngrams"], found["prompt_overlap"], found["prompt_coverage"]) == (
        0,
        0,
        0,
    )


def test_scripts_without_spaces_count_by_character() -> None:
    assert words("東京 is 都市") == ["東", "京", "is", "都", "市"]


def test_a_tool_call_is_not_an_empty_response() -> None:
    assert measure("a", "", CALLS)["response_chars"] > 0
    assert measure("a", "")["response_chars"] == 0


@pytest.mark.parametrize(
    ("prompt", "response", "coverage"),
    [
        ("the sky is called", "The sky is called blue.", 0),  # goes on where the prompt breaks off
        ("the sky is called", "the sky is called", 1),  # and here it does not
        ("What is the sky?", "What is the sky? Blue.", 1),  # nothing breaks off there
        ("the sky is called", "So the sky is called blue", 1),
    ],
)
def test_going_on_where_the_prompt_breaks_off_is_no_copy(
    prompt: str, response: str, coverage: float
) -> None:
    assert measure(prompt, response)["prompt_coverage"] == coverage
