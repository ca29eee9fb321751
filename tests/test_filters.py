"""The filters on real conversations, from text to verdict."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from agent_rows import OPENAI, assistant, call, example, result, user

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.method import Method
from siftline.contracts.runtime import Runtime
from siftline.filters.exact_duplicates import ExactDuplicates
from siftline.filters.rules import Rules


def corpus_of(pairs: list[tuple[str, str]], method: Method) -> Corpus:
    rows = pa.Table.from_pylist(
        [
            {
                "id": str(n),
                "content_hash": f"h{n}",
                "prompt_id": f"p{prompt}",
                "source": "s",
                "task": None,
                "origin": None,
                "file": "f",
                "row": n,
                "metadata": "{}",
                "messages": [
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": response},
                ],
            }
            for n, (prompt, response) in enumerate(pairs)
        ],
        schema=EXAMPLES,
    )
    corpus = Corpus(rows=rows, shards=())
    for scorer in method.scorers():
        table = scorer.score(rows, Runtime()).table.drop_columns(["content_hash"])
        corpus = corpus.with_scores(scorer.table, table)
    return corpus


def reasons(pairs: list[tuple[str, str]], method: Method) -> list[Any]:
    decided = method.decide(corpus_of(pairs, method))
    found: list[Any] = decided["reason"].to_pylist()
    assert decided["keep"].to_pylist() == [reason == "kept" for reason in found]
    return found


LOOP = "and then we go " * 20
QUESTION = "Name the three largest cities of the country and say how many people live there."


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("Paris is the capital of France.", "kept"),
        ("7", "kept"),
        ("  \n ", "empty_response"),
        ("x" * 32_001, "too_long"),
        (LOOP, "repetition"),
        ("I'm sorry, but I cannot do that.", "refusal"),
        ("I\u2019m sorry, but I can\u2019t help.", "refusal"),
        ("No matter how hard he tried, he wrote: I am unable to come.", "kept"),
        ("As an AI language model, I have no taste.", "boilerplate"),
        (QUESTION, "prompt_copied"),
        (f'"""{QUESTION}"""\n' + " ".join(f"line{n} of code" for n in range(30)), "kept"),
    ],
)
def test_rules_give_the_first_reason(response: str, reason: str) -> None:
    assert reasons([(QUESTION, response)], Rules()) == [reason]


def test_a_phrase_of_the_task_is_no_boilerplate() -> None:
    task = "How many vowels has 'Hello, I am an AI language model'?"
    pairs = [
        (task, "'Hello, I'm an AI language model' has 13."),
        ("Hi!", "I'm an AI language model"),
    ]
    assert reasons(pairs, Rules()) == ["kept", "boilerplate"]


def test_a_placeholder_is_the_whole_response() -> None:
    pairs = [("q", text) for text in ("<nooutput>", "N/A", "No output.", "None", "no output here")]
    assert reasons(pairs, Rules()) == ["placeholder"] * 3 + ["kept"] * 2


def test_every_rule_can_be_turned_off() -> None:
    off = Rules(
        max_chars=None,
        max_repeated_ngrams=None,
        refusals=(),
        boilerplate=(),
        placeholders=(),
        max_prompt_coverage=None,
    )
    answers = ["x" * 40_000, LOOP, "I am sorry, but no", "As an AI language model", QUESTION, "N/A"]
    assert reasons([(QUESTION, answer) for answer in answers], off) == ["kept"] * 6


def test_a_threshold_is_no_part_of_what_is_measured() -> None:
    assert Rules(min_chars=5).scorers() == Rules(max_chars=9).scorers()
    assert reasons([("q", "four")], Rules(min_chars=5)) == ["too_short"]


def test_exact_duplicates_keep_the_first() -> None:
    pairs = [("a", "B  c"), ("A", "b c"), ("a", "other"), ("a", "b c ")]
    expected = ["kept", "exact_duplicate", "kept", "exact_duplicate"]
    assert reasons(pairs, ExactDuplicates()) == expected


def test_to_the_letter_nothing_here_is_a_duplicate() -> None:
    pairs = [("a", "B  c"), ("A", "b c")]
    assert reasons(pairs, ExactDuplicates(match="content")) == ["kept", "kept"]


def agents(method: Method, *records: dict[str, Any]) -> list[Any]:
    rows = pa.Table.from_pylist(
        [example(each, f"r{n}") for n, each in enumerate(records)], EXAMPLES
    )
    corpus = Corpus(rows=rows, shards=())
    for scorer in method.scorers():
        table = scorer.score(rows, Runtime()).table.drop_columns(["content_hash"])
        corpus = corpus.with_scores(scorer.table, table)
    found: list[Any] = method.decide(corpus)["reason"].to_pylist()
    return found


THOUGHT = f"As an AI language model I read: {QUESTION} " + "I count on. " * 3


@pytest.mark.parametrize(
    "thinks",
    [
        lambda text: assistant(text, reasoning_content=THOUGHT),
        lambda text: assistant(f"<think>\n{THOUGHT}\n</think>\n\n{text}"),
    ],
)
def test_what_follows_a_thought_is_judged(thinks: Callable[[str], dict[str, Any]]) -> None:
    """A thought may restate the prompt, speak of the model, and be long."""
    texts = ["Berlin.", "I'm sorry, but I cannot.", "N/A", QUESTION, "As an AI assistant, no."]
    rows = [{"messages": [user(QUESTION), thinks(text)]} for text in texts]
    found = ["kept", "refusal", "placeholder", "prompt_copied", "boilerplate"]
    assert agents(Rules(), *rows) == found
    assert agents(Rules(max_chars=7), *rows[:2]) == ["kept", "too_long"]


def test_a_thought_that_goes_in_circles() -> None:
    row = {"messages": [user(QUESTION), assistant("Berlin.", reasoning_content=LOOP)]}
    assert agents(Rules(), row) == ["repetition"]


def test_calls_and_answers_to_results_are_no_copies() -> None:
    many = [call("weather", {"town": town}) for town in "ABCDEFGHIJKLMNOP"]
    passed_on = assistant(None, call("ask", {"question": QUESTION}, 1))
    rows = [
        {"messages": [user(QUESTION), passed_on]},
        {"messages": [user(QUESTION), passed_on, result(QUESTION, 1), assistant(QUESTION)]},
        {"messages": [user(QUESTION), assistant(None, *many)]},
    ]
    assert agents(Rules(), *rows, *OPENAI.values()) == ["kept"] * (3 + len(OPENAI))


WORDY = Rules(min_words=2, max_words=6, max_special_chars="50%", max_repeated_chars="50%")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("Paris is in France.", "kept"),
        ("Paris.", "too_few_words"),
        ("one two three four five six seven", "too_many_words"),
        ("a -> *** <- b", "special_characters"),
        ("hahahahahahahahahahaha hahahahahahahahaha", "repeated_characters"),
    ],
)
def test_rules_that_are_off_by_default(response: str, reason: str) -> None:
    assert reasons([("Where is it?", response)], WORDY) == [reason]
    assert reasons([("Where is it?", response)], Rules()) == ["kept"]


def test_a_rule_that_is_reported_drops_nothing() -> None:
    pairs = [("Q?", "I'm sorry, but I cannot do that."), ("Q?", "I'm sorry, but"), ("Q?", "Yes.")]
    method = Rules(report=("refusal",), min_chars=20, max_chars=None)
    corpus = corpus_of(pairs, method)
    decided = method.decide(corpus)
    assert decided["reason"].to_pylist() == ["refusal", "too_short", "too_short"]
    assert decided["keep"].to_pylist() == [True, False, False]
    assert method.picture(corpus, decided) == {"reported": {"refusal": ["0"]}}


def test_a_rule_that_nobody_knows_cannot_be_reported() -> None:
    with pytest.raises(ValueError, match="too_few_words"):
        Rules.model_validate({"report": ["few_words"]})
