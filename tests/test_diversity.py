"""Tests of the diversity selector."""

import numpy as np
import pytest
from corpora import corpus_of, embedding, kept, likelihood

from siftline.pipelines.corpus import Corpus
from siftline.pipelines.errors import RecipeError
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


def test_rows_without_the_preferred_score_come_last() -> None:
    pool = corpus([None, -5.0, -4.0, None, -2.0, -1.0, -1.0, None, -9.0])
    method = Diversity(model="e", clusters=2, budget=4, prefer="likelihood.mean_logprob")
    assert kept(pool, method.decide(pool)) == {"r4", "r5", "r6", "r8"}


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


@pytest.mark.parametrize(
    ("prompts", "clusters"), [(1, 1), (3, 1), (8, 2), (400, 100), (10**4, 256), (10**6, 1000)]
)
def test_default_number_of_clusters(prompts: int, clusters: int) -> None:
    assert Diversity(model="e", budget=1)._count(prompts) == clusters


def test_more_clusters_than_prompts() -> None:
    pool = corpus()
    assert len(kept(pool, Diversity(model="e", clusters=500, budget=3).decide(pool))) == 3
