"""Tests of the diversity selector."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from corpora import corpus_of, embedding, kept, likelihood, reasons, statistics, take

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import ModelError, RecipeError
from siftline.pipelines.recipe import Recipe, parse_recipe
from siftline.selectors.diversity import Diversity

# Prompts a to f point one way, g and h another; h alone has two rows.
PROMPTS = list("abcdefghh")
ANGLES = np.deg2rad([0, 1, 2, 3, 4, 5, 90, 91, 91])


def corpus(means: list[float | None] | None = None) -> Corpus:
    """Return a corpus of a cluster of six prompts and one of two, with means if given."""
    vectors = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    tables = {"prompt_embedding": embedding(vectors)}
    if means:
        tables["likelihood"] = likelihood(means)
    sources = ["common"] * 6 + ["rare"] * 3
    return corpus_of(PROMPTS, tables=tables, source=sources)


def test_budget_is_spread_by_the_root_of_the_cluster_sizes() -> None:
    # Sizes in prompts are 6 and 2. A floor of 1 each leaves 2, which go 2.45 : 1.41, so 1 and 1.
    method = Diversity(model="e", clusters=2, budget=4, unit="prompt")
    chosen = kept(corpus(), method.decide(corpus()))
    assert {"r6", "r7", "r8"} <= chosen  # both prompts of the rare cluster, h with its two rows
    assert len(chosen) == 5


def test_without_a_preference_the_most_typical_prompts_are_kept() -> None:
    method = Diversity(model="e", clusters=2, budget=4, unit="prompt")
    # The large cluster's centroid is at 2.5 degrees, next to c and d.
    assert {"r2", "r3"} <= kept(corpus(), method.decide(corpus()))


def test_rows_of_one_prompt_come_in_turns() -> None:
    # Six and three rows; a budget of 4 gives the small cluster 2: g and one of h's two rows.
    method = Diversity(model="e", clusters=2, budget=4, unit="row")
    chosen = kept(corpus(), method.decide(corpus()))
    assert len(chosen) == 4
    assert "r6" in chosen
    assert len(chosen & {"r7", "r8"}) == 1


def test_the_preferred_score_decides_inside_a_cluster() -> None:
    means: list[float | None] = [-6.0, -5.0, -4.0, -3.0, -2.0, -1.0, -1.0, -3.0, -2.0]
    pool = corpus(means)
    method = Diversity(model="e", clusters=2, budget=4, prefer="likelihood.mean_logprob")
    decided = method.decide(pool)
    assert kept(pool, decided) == {"r4", "r5", "r6", "r8"}
    assert decided["gain"].to_pylist() == pytest.approx(means)
    assert decided["rank"].to_pylist()[:6] == [6, 5, 4, 3, 2, 1]


def test_rows_without_the_preferred_score_are_kept_beside_the_budget() -> None:
    pool = corpus([None, -5.0, -4.0, None, -2.0, -1.0, -1.0, None, -9.0])
    method = Diversity(model="e", clusters=2, budget=4, prefer="likelihood.mean_logprob")
    decided = method.decide(pool)
    assert kept(pool, decided) == {"r0", "r3", "r7", "r4", "r5", "r6", "r8"}
    assert method.diagnose(pool, decided)["rows_without_a_score"] == 3
    left_out = method.model_copy(update={"unscored": "drop"}).decide(pool)
    assert kept(pool, left_out) == {"r4", "r5", "r6", "r8"}


def test_an_unknown_preference_names_the_columns() -> None:
    method = Diversity(model="e", budget=2, prefer="likelihood.sum_logprop")
    with pytest.raises(RecipeError, match=r"'likelihood\.sum_logprop'.*likelihood\.sum_logprob"):
        method.decide(corpus([-1.0] * 9))


def test_a_mean_that_no_stage_has_measured_is_unknown_too() -> None:
    method = Diversity(model="e", budget=2, prefer="likelihood.mean_logprob")
    with pytest.raises(RecipeError, match=r"prompt_embedding\.vector"):
        method.decide(corpus())


def test_diagnosis_by_hand() -> None:
    method = Diversity(model="e", clusters=2, budget=4)
    found = method.diagnose(corpus(), method.decide(corpus()))
    assert found["clusters"] == 2
    # Shares of rows 6/9 and 3/9: exp(entropy) is 1.89; the selection is 2 and 2.
    assert found["effective_clusters"]["pool"] == 1.89
    assert found["effective_clusters"]["selected"] == 2.0
    assert found["largest_cluster_share"]["selected"] == 0.5
    assert found["source_share"]["selected"] == {"common": 0.5, "rare": 0.5}


def test_more_clusters_than_prompts() -> None:
    pool = corpus()
    assert len(kept(pool, Diversity(model="e", clusters=500, budget=3).decide(pool))) == 3


def circle(
    degrees: Sequence[float], prompts: Sequence[str] | None = None, **columns: Any
) -> Corpus:
    """Return a corpus of prompts in these directions, of one row each unless they are named."""
    radians = np.deg2rad(np.array(degrees, dtype=np.float64))
    vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1)
    tables = {"prompt_embedding": embedding(vectors)}
    return corpus_of(prompts or [str(n) for n in range(len(degrees))], tables=tables, **columns)


def ranked(degrees: Sequence[float], **columns: Any) -> Corpus:
    """Return the same with means that put the rows in their order."""
    means = [-0.1 * n for n in range(len(degrees))]
    return circle(degrees, **columns).with_scores("likelihood", likelihood(means))


def diversity(**fields: Any) -> Diversity:
    given = {"model": "e", "prefer": "likelihood.mean_logprob", **fields}
    return Diversity.model_validate(given)


def test_a_prompt_counts_once_however_many_responses_it_has() -> None:
    # Nine prompts around 0 degrees, one at 90 with 30 rows. Floors of 1, the other 8 go 3 : 1.
    degrees, prompts = [*range(9), *[90] * 30], [*"abcdefghi", *"z" * 30]
    pool = circle(degrees, prompts)
    chosen = kept(pool, Diversity(model="e", clusters=2, budget=10).decide(pool))
    assert len(chosen & {f"r{n}" for n in range(9)}) == 7
    chosen = kept(pool, Diversity(model="e", clusters=2, budget=4, unit="prompt").decide(pool))
    assert len(chosen) == 3 + 30


def test_the_cluster_of_each_row_is_a_score() -> None:
    pool = corpus()
    table = Diversity(model="e", clusters=2, budget=4).derive(pool)["diversity"]
    labels = table["cluster"].to_pylist()
    assert len(set(labels[:6])) == len(set(labels[6:])) == 1
    assert labels[0] != labels[6]
    # Six prompts around 2.5 degrees; g and h around 90.5, whatever the rows of h.
    offsets = np.array([2.5, 1.5, 0.5, 0.5, 1.5, 2.5, 0.5, 0.5, 0.5])
    assert table["similarity"].to_pylist() == pytest.approx(np.cos(np.deg2rad(offsets)), abs=1e-6)


def test_what_has_been_derived_is_not_computed_again() -> None:
    method = Diversity(model="e", clusters=2, budget=4)
    table = method.derive(corpus())["diversity"]
    moved = table.set_column(0, "cluster", [[0, 0, 0, 0, 0, 1, 1, 1, 1]])
    pool = corpus().with_scores("diversity", moved)
    assert method.diagnose(pool, method.decide(pool))["largest_cluster_share"]["pool"] == 0.5556


def test_near_duplicates_give_way_within_their_cluster() -> None:
    # In order: 0, then 2 and 4 within ten degrees of it, 15, 30, and 120 in a cluster of its own.
    pool = ranked([0, 2, 4, 15, 30, 120])
    limit = float(np.cos(np.deg2rad(10)))
    decided = diversity(clusters=2, budget=3, max_similarity=limit).decide(pool)
    assert reasons(decided) == {
        "r0": "selected",
        "r1": "near_duplicate",
        "r2": "near_duplicate",
        "r3": "selected",
        "r4": "over_budget",
        "r5": "selected",
    }
    assert decided["rank"].to_pylist() == [1, 4, 5, 2, 3, 1]
    assert kept(pool, diversity(clusters=2, budget=3).decide(pool)) == {"r0", "r1", "r5"}


def test_of_two_near_duplicates_the_preferred_one_stays() -> None:
    pool = circle([0, 1, 40]).with_scores("likelihood", likelihood([-3.0, -1.0, -2.0]))
    decided = diversity(clusters=1, budget=2, max_similarity=0.99).decide(pool)
    assert kept(pool, decided) == {"r1", "r2"}


def test_means_within_a_thousandth_of_a_nat_are_equal() -> None:
    # What a batch of another shape moves must not decide; the seed does.
    pool = circle(range(12))
    method = diversity(clusters=1, budget=5)
    noise = np.random.default_rng(0).uniform(-4e-4, 4e-4, 12)
    chosen = [
        kept(pool, method.decide(pool.with_scores("likelihood", likelihood(means))))
        for means in ([-1.0] * 12, (-1 + noise).tolist())
    ]
    assert chosen[0] == chosen[1]


def test_near_duplicates_come_back_rather_than_miss_the_budget() -> None:
    pool = ranked([0, 2, 4, 15, 30, 120])
    limit = float(np.cos(np.deg2rad(10)))
    decided = diversity(clusters=2, budget=5, max_similarity=limit).decide(pool)
    assert kept(pool, decided) == {"r0", "r1", "r3", "r4", "r5"}
    assert reasons(decided)["r1"] == reasons(decided)["r2"] == "near_duplicate"


def test_all_rows_of_a_near_duplicate_are_passed_over() -> None:
    prompts = list("aabbc")
    pool = ranked([0, 0, 1, 1, 40], prompts=prompts)
    for unit, budget in (("row", 3), ("prompt", 2)):
        method = diversity(clusters=1, budget=budget, unit=unit, max_similarity=0.99)
        assert kept(pool, method.decide(pool)) == {"r0", "r1", "r4"}


def test_a_specialist_keeps_its_share_and_spreads_the_rest() -> None:
    degrees = [*range(60), *range(90, 110), *range(120, 140)]
    source = ["code"] * 60 + ["chat"] * 20 + ["facts"] * 20
    pool = circle(degrees, source=source)
    domains = {"in": ["code"], "share": 0.9}
    method = Diversity.model_validate({"model": "e", "budget": 40, "domains": domains})
    decided = method.decide(pool)
    rows = decided.append_column("source", pool.rows["source"]).to_pylist()
    counts = {s: sum(r["keep"] for r in rows if r["source"] == s) for s in set(source)}
    assert counts == {"code": 36, "chat": 2, "facts": 2}
    found = method.diagnose(pool, decided)
    assert found["domains"]["chat"] == {"available": 20, "asked": 2, "given": 2, "share": 0.05}
    assert found["warnings"] == []


def test_a_foreign_cluster_keeps_its_own_best() -> None:
    # One cluster holds both sides: each takes its first, though the domain's rows rank higher.
    pool = ranked([0, 1, 2, 3], source=["code", "code", "code", "chat"])
    method = diversity(clusters=1, budget=2, domains={"in": ["code"], "share": 0.5})
    assert kept(pool, method.decide(pool)) == {"r0", "r3"}


def test_a_domain_that_is_short_is_reported() -> None:
    pool = circle(range(12), source=["code"] * 2 + ["chat"] * 10)
    method = diversity(prefer=None, budget=6, domains={"in": ["code"]})
    decided = method.decide(pool)
    assert len(kept(pool, decided)) == 6
    found = method.diagnose(pool, decided)
    assert found["domains"]["in the domain"] == {
        "available": 2,
        "asked": 6,
        "given": 2,
        "share": 0.3333,
    }
    assert "'in the domain' has 2 of the 6" in found["warnings"][0]


def test_a_giant_cluster_is_split() -> None:
    degrees = [0, 1, 2, 3, 57, 58, 59, 60, 200, 201]
    labels = [
        Diversity(model="e", clusters=2, budget=3, max_cluster_share=share)
        .derive(circle(degrees))["diversity"]["cluster"]
        .to_pylist()
        for share in (None, 0.5)
    ]
    assert [len(set(each)) for each in labels] == [2, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"max_similarity": 0.995},
        {"domains": {"in": ["a"], "share": 0.6}},
        {"max_cluster_share": 0.1, "unit": "prompt"},
        {"domains": {"in": ["a"], "share": 0.6}, "max_similarity": 0.99, "unit": "prompt"},
    ],
)
@pytest.mark.parametrize("budget", [1, 7, 30, 61])
def test_the_contract_holds_with_every_field(fields: dict[str, Any], budget: int) -> None:
    random = np.random.default_rng(0)
    prompts = [f"p{row if row % 3 else row // 2}" for row in range(61)]
    angles = {prompt: random.uniform(0, 360) for prompt in sorted(set(prompts))}
    source = [{p: "abc"[n % 3] for n, p in enumerate(sorted(angles))}[p] for p in prompts]
    pool = circle([angles[prompt] for prompt in prompts], prompts, source=source)
    method = Diversity.model_validate({"model": "e", "clusters": 5, "budget": budget, **fields})
    decided = method.decide(pool)
    chosen = kept(pool, decided)
    units = pool.rows["prompt_id" if method.unit == "prompt" else "id"].to_pylist()
    of_row = dict(zip(pool.rows["id"].to_pylist(), units, strict=True))
    assert len({of_row[row] for row in chosen}) == min(budget, len(set(units)))
    shuffled = take(pool, random.permutation(61).tolist())
    assert reasons(method.decide(shuffled)) == reasons(decided)
    assert kept(shuffled, method.decide(shuffled)) == chosen


def test_lengths_are_told() -> None:
    pool = corpus().with_scores("statistics", statistics([10] * 6 + [40] * 3))
    method = Diversity(model="e", clusters=2, budget=4)
    found = method.diagnose(pool, method.decide(pool))["response_chars_quartiles"]
    assert found["pool"] == [10, 10, 40]
    assert found["selected"] == [10, 25, 40]


def test_the_report_draws_a_map_unless_told_not_to() -> None:
    method = Diversity(model="e", clusters=2, budget=4)
    found = method.picture(corpus(), method.decide(corpus()))["map"]
    assert (found["kept"], found["dropped"]) == (4, 4)  # prompts, of which h has two rows
    quiet = Diversity(model="e", clusters=2, budget=4, map=None)
    assert quiet.picture(corpus(), quiet.decide(corpus())) == {}


def test_a_map_that_cannot_be_drawn_stops_the_stage_before_it_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ModelError, match=r"'siftline\[umap\]'"):
        Diversity(model="e", budget=4, map="umap").derive(corpus())


def recipe(**fields: Any) -> Recipe:
    stage = {"kind": "diversity", "model": "m", "budget": 3, **fields}
    inputs = [{"path": "a.jsonl", "source": "code"}, {"path": "b.jsonl", "source": "chat"}]
    data = {"name": "r", "inputs": inputs, "models": {"m": {"name": "x"}}, "stages": [stage]}
    return parse_recipe(data, "r.yaml")


def test_a_recipe_with_domains_survives_its_own_dump() -> None:
    found = recipe(domains={"in": ["code"], "share": 0.9})
    assert Recipe.model_validate(found.model_dump(mode="json")) == found


def test_a_domain_that_no_input_has() -> None:
    with pytest.raises(RecipeError, match=r"no input has the source 'cod'\. Did you mean 'code'"):
        recipe(domains={"in": ["cod"]})
    assert recipe(domains={"in": ["sql"], "by": "task"}).stages
