"""Tests of GRAPE: the choice per prompt, its ties, its guards and its cap."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from corpora import corpus_of, kept, likelihood, reasons, statistics
from pydantic import ValidationError

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError
from siftline.pipelines.recipe import parse_recipe
from siftline.selectors.grape import Grape


def pool(prompts: str, means: list[float | None], **columns: Any) -> Corpus:
    """Return a corpus with a row per letter of `prompts`, that row's prompt."""
    index = {name: columns.pop(name) for name in ("origin", "source") if name in columns}
    counts = {name: columns.pop(name, None) for name in ("repeated", "overlap")}
    tables = {
        "likelihood": likelihood(means, **columns),
        "statistics": statistics([100] * len(prompts), **counts),
    }
    return corpus_of(list(prompts), tables=tables, **index)


def test_keeps_the_likeliest_response_of_each_prompt() -> None:
    corpus = pool("aaabbc", [-2.0, -1.0, -3.0, -0.5, -0.4, -9.0])
    decided = Grape(model="target").decide(corpus)
    assert reasons(decided) == {
        "r0": "less_likely",
        "r1": "likeliest",
        "r2": "less_likely",
        "r3": "less_likely",
        "r4": "likeliest",
        "r5": "no_choice",
    }
    assert kept(corpus, decided) == {"r1", "r4", "r5"}
    assert decided["rank"].to_pylist() == [2, 1, 3, 2, 1, 1]
    assert decided["gain"].to_pylist() == pytest.approx([-2.0, -1.0, -3.0, -0.5, -0.4, -9.0])


def test_the_mean_decides_not_the_sum() -> None:
    short = likelihood([-2.0], tokens=5)  # sum -10
    long = likelihood([-1.0], tokens=50)  # sum -50
    tables = {"likelihood": pa.concat_tables([short, long]), "statistics": statistics([1, 1])}
    corpus = corpus_of(["a", "a"], tables=tables)
    assert kept(corpus, Grape(model="target").decide(corpus)) == {"r1"}


def test_k_keeps_more() -> None:
    corpus = pool("aaab", [-2.0, -1.0, -3.0, -1.0])
    assert kept(corpus, Grape(model="target", k=2).decide(corpus)) == {"r0", "r1", "r3"}


def test_match_original_keeps_as_many_as_the_original_sources_gave() -> None:
    source = ["old", "old", "new", "new", "new", "new"]
    corpus = pool("aaaabb", [-4.0, -3.0, -2.0, -1.0, -2.0, -1.0], source=source)
    method = Grape(model="target", k="match_original", original=("old",))
    assert kept(corpus, method.decide(corpus)) == {"r2", "r3", "r5"}


def test_ties_within_a_thousandth_go_to_fewer_tokens_then_the_content_hash() -> None:
    corpus = pool("aabb", [-1.0, -1.0002, -2.0, -2.0], response_tokens=[10, 8, 7, 7])
    assert kept(corpus, Grape(model="target").decide(corpus)) == {"r1", "r2"}


def test_self_generated_candidates_are_not_ranked() -> None:
    corpus = pool("aa", [-0.1, -2.0], origin=["My-Model", "human"])
    decided = Grape(model="target", self_origins=("my-model",)).decide(corpus)
    assert reasons(decided) == {"r0": "self_generated", "r1": "likeliest"}
    assert decided["rank"].to_pylist() == [None, 1]


def test_repetitive_candidates_are_not_ranked() -> None:
    corpus = pool("aa", [-0.1, -2.0], repeated=[0.8, 0.0])
    assert reasons(Grape(model="target").decide(corpus))["r0"] == "repetition"
    free = Grape(model="target", max_repeated_ngrams=None)
    assert kept(corpus, free.decide(corpus)) == {"r0"}


def test_copies_of_the_prompt_give_way_only_to_others() -> None:
    corpus = pool("aabb", [-0.1, -2.0, -0.1, -2.0], overlap=[1.0, 0.0, 1.0, 0.95])
    decided = Grape(model="target").decide(corpus)
    assert reasons(decided)["r0"] == "prompt_copy"
    assert kept(corpus, decided) == {"r1", "r2"}


def test_truncated_candidates_give_way_only_to_others() -> None:
    corpus = pool("aabb", [-0.1, -2.0, -0.1, -2.0], truncated=[True, False, True, True])
    decided = Grape(model="target").decide(corpus)
    assert reasons(decided)["r0"] == "truncated"
    assert kept(corpus, decided) == {"r1", "r2"}


def test_a_response_that_could_not_be_scored_is_kept_and_an_empty_one_is_not() -> None:
    corpus = pool(
        "aaa",
        [None, None, -1.0],
        status=["prompt_too_long", "empty_response", "ok"],
        truncated=[None, None, False],
    )
    decided = Grape(model="target").decide(corpus)
    assert reasons(decided) == {"r0": "unscored", "r1": "empty_response", "r2": "undecided"}
    assert kept(corpus, decided) == {"r0", "r2"}
    assert decided["gain"].to_pylist() == [None, None, pytest.approx(-1.0)]


def test_a_prompt_that_fills_the_window_is_unscored_and_not_truncated() -> None:
    corpus = pool("aa", [-1.0, None], status=["ok", "prompt_too_long"], truncated=[False, True])
    told = reasons(Grape(model="target").decide(corpus))
    assert told == {"r0": "undecided", "r1": "unscored"}


def test_what_could_not_be_scored_outdoes_nothing() -> None:
    flaws: list[dict[str, Any]] = [{"overlap": [0.0, 1.0]}, {"truncated": [None, True]}]
    for flaw in flaws:
        corpus = pool("aa", [None, -1.0], **flaw)
        told = reasons(Grape(model="target").decide(corpus))
        assert told == {"r0": "unscored", "r1": "undecided"}
    # A copy that was not scored is outdone by a sound one that was.
    corpus = pool("aa", [None, -1.0], overlap=[1.0, 0.0])
    told = reasons(Grape(model="target").decide(corpus))
    assert told == {"r0": "prompt_copy", "r1": "likeliest"}


def test_a_prompt_with_an_unscored_candidate_drops_only_what_is_sure() -> None:
    means = [-1.0, -2.0, -3.0, None, -1.0, None, -1.0]
    corpus = pool("aaaabbc", means)
    told = reasons(Grape(model="target", k=2).decide(corpus))
    # The first is among the two likeliest whatever the fourth is, the second perhaps.
    assert told == {
        "r0": "likeliest",
        "r1": "undecided",
        "r2": "less_likely",
        "r3": "unscored",
        "r4": "likeliest",
        "r5": "unscored",
        "r6": "no_choice",
    }
    decided = Grape(model="target", k=2).decide(corpus)
    assert kept(corpus, decided) == {"r0", "r1", "r3", "r4", "r5", "r6"}
    found = Grape(model="target", k=2).diagnose(corpus, decided)
    assert (found["prompts_with_undecided_rows"], found["rows_without_a_score"]) == (1, 2)
    dropping = Grape(model="target", k=2, unscored="drop").decide(corpus)
    assert kept(corpus, dropping) == {"r0", "r1", "r4", "r6"}
    assert reasons(dropping)["r1"] == "likeliest"


@pytest.mark.parametrize("value", [-9.0, -2.5, -1.5, 0.0])
def test_what_is_sure_stays_so_whatever_the_missing_score_is(value: float) -> None:
    means: list[float | None] = [-1.0, -2.0, -3.0]
    for k in (1, 2, 3, 4):
        method = Grape(model="target", k=k)
        told = reasons(method.decide(pool("aaaa", [*means, None])))
        known = pool("aaaa", [*means, value])
        chosen = kept(known, method.decide(known))
        assert {row for row, why in told.items() if why == "likeliest"} <= chosen
        assert not chosen & {row for row, why in told.items() if why == "less_likely"}


def test_the_cap_swaps_nothing_where_a_score_is_missing() -> None:
    corpus = pool("aaa", [-1.0, -1.1, None], origin=["big", "small", "small"])
    told = reasons(Grape(model="target", max_origin_share=0.5).decide(corpus))
    assert told == {"r0": "undecided", "r1": "less_likely", "r2": "unscored"}


def capped() -> Corpus:
    """Return four prompts in which `big` is likeliest, by 0.1, 0.2, 0.3 and 0.4 nats."""
    means: list[float | None] = [-1.0, -1.1, -1.0, -1.2, -1.0, -1.3, -1.0, -1.4]
    return pool("aabbccdd", means, origin=["big", "small"] * 4)


def test_the_cap_swaps_the_closest_calls() -> None:
    corpus = capped()
    decided = Grape(model="target", max_origin_share=0.5).decide(corpus)
    assert kept(corpus, decided) == {"r1", "r3", "r4", "r6"}
    assert reasons(decided)["r0"] == reasons(decided)["r2"] == "origin_share"
    assert reasons(decided)["r1"] == "likeliest"


def test_a_cap_without_runners_up_is_left_unmet() -> None:
    corpus = pool("aabb", [-1.0, -2.0, -1.0, -2.0], origin=["big"] * 4)
    decided = Grape(model="target", max_origin_share=0.5).decide(corpus)
    assert kept(corpus, decided) == {"r0", "r2"}
    shares = Grape(model="target").diagnose(corpus, decided)["origin_share_of_selected"]
    assert shares == {"big": 1.0}


def test_diagnosis_by_hand() -> None:
    corpus = capped()
    method = Grape(model="target", max_origin_share=0.5)
    found = method.diagnose(corpus, method.decide(corpus))
    assert found["prompts"] == found["prompts_with_a_choice"] == 4
    # Kept: -1.1, -1.2, -1.0 and -1.0.
    assert found["mean_log_likelihood"]["selected"] == pytest.approx(-1.075)
    assert found["margin_quartiles"] == pytest.approx([0.175, 0.25, 0.325])
    assert found["origin_share_of_selected"] == {"big": 0.5, "small": 0.5}


def test_a_large_pool_agrees_with_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    prompts = [str(n) for n in random.integers(0, 300, 1000)]
    means: list[float | None] = list(np.round(random.uniform(-5, 0, 1000), 2))
    tables = {"likelihood": likelihood(means), "statistics": statistics([1] * 1000)}
    corpus = corpus_of(prompts, tables=tables)
    best: dict[str, int] = {}
    for row in sorted(range(1000), key=lambda row: (-(means[row] or 0), f"r{row}")):
        best.setdefault(prompts[row], row)
    expected = {f"r{row}" for row in best.values()}
    assert kept(corpus, Grape(model="target").decide(corpus)) == expected


@pytest.mark.parametrize(
    "fields", [{"k": 0}, {"k": "match_original"}, {"max_origin_share": 0}, {"unknown": 1}]
)
def test_bad_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Grape(model="target", **fields)


def test_an_original_source_that_no_input_has_is_refused() -> None:
    data = {
        "name": "r",
        "inputs": [{"path": "a.csv", "source": "chat"}],
        "models": {"m": {"name": "builtin:smollm2"}},
        "stages": [{"kind": "grape", "model": "m", "k": "match_original", "original": ["chta"]}],
    }
    with pytest.raises(RecipeError, match=r"no input has the source 'chta'\. Did you mean 'chat'"):
        parse_recipe(data, "r")
