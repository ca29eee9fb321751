"""Tests of facility location."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import corpus_of, embedding, kept

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import InputError, RecipeError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.scorers.membership import Membership
from siftline.selectors.facility_location import FacilityLocation

# One row a to c and two of d at 90 degrees.
ANGLES = {"a": 0, "b": 20, "c": 10, "d": 90}
PROMPTS = list("abcdd")


def corpus(*members: str) -> Corpus:
    angles = np.deg2rad([ANGLES[name] for name in PROMPTS])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    tables = {"prompt_embedding": embedding(vectors)}
    if members:
        flags = [f"r{row}" in members for row in range(5)]
        tables["initial_subset"] = pa.table({"member": flags})
    return corpus_of(PROMPTS, tables=tables)


def cosine(degrees: float) -> float:
    return float(np.cos(np.deg2rad(degrees)))


def test_prompts_by_hand() -> None:
    decided = FacilityLocation(model="e", budget=2, unit="prompt").decide(corpus())
    # b covers 1 + cos 20 + cos 10 + cos 70 = 3.267, c 2 cos 10 + 1 + cos 80 = 3.143; then d adds
    # 1 - cos 70 = 0.658.
    assert kept(corpus(), decided) == {"r1", "r3", "r4"}
    assert decided["rank"].to_pylist() == [None, 1, None, 2, 2]
    first = 1 + cosine(20) + cosine(10) + cosine(70)
    second = 1 - cosine(70)
    gains = [None, first, None, second, second]
    assert decided["gain"].to_pylist() == pytest.approx(gains, abs=1e-4)


def test_a_prompt_counts_by_its_rows_where_rows_are_the_unit() -> None:
    decided = FacilityLocation(model="e", budget=5).decide(corpus())
    # b covers 3.267 + cos 70 = 3.609 now, c 3.317, d 2 + cos 70 + cos 80 = 2.516.
    gains, ranks = decided["gain"].to_pylist(), decided["rank"].to_pylist()
    assert ranks[1] == 1
    assert gains[1] == pytest.approx(1 + cosine(20) + cosine(10) + 2 * cosine(70), abs=1e-4)
    by_rank = dict(zip(ranks, gains, strict=True))
    assert by_rank[2] == pytest.approx(2 - 2 * cosine(70), abs=1e-4)
    assert sorted(ranks[3:]) == [2, 5]  # d's second row when every prompt has given one
    assert by_rank[5] == 0


def test_the_initial_subset_is_kept_and_its_neighbours_are_not_needed() -> None:
    method = FacilityLocation(model="e", budget=3, initial_subset="s.parquet")
    pool = corpus("r0")
    decided = method.decide(pool)
    reasons = decided["reason"].to_pylist()
    assert reasons[0] == "initial_subset"
    assert (decided["rank"].to_pylist()[0], decided["gain"].to_pylist()[0]) == (None, None)
    # a leaves 2 of d, 1 - cos 20 = 0.060 of b and 1 - cos 10 = 0.015 of c. After d, b or c covers
    # 0.060 of these: b itself, c the 0.015 of itself and cos 10 - cos 20 = 0.045 of b.
    chosen = kept(pool, decided)
    assert len(chosen) == 3
    assert len(chosen & {"r3", "r4"}) == len(chosen & {"r1", "r2"}) == 1
    by_rank = dict(zip(decided["rank"].to_pylist(), decided["gain"].to_pylist(), strict=True))
    assert by_rank[1] == pytest.approx(2, abs=1e-4)
    assert by_rank[2] == pytest.approx(1 - cosine(20), abs=1e-4)


@pytest.mark.parametrize("member", ["r3", "r4"])
def test_another_row_of_a_chosen_prompt_comes_last(member: str) -> None:
    pool = corpus(member)
    method = FacilityLocation(model="e", budget=4, initial_subset="s.parquet")
    assert kept(pool, method.decide(pool)) == {"r0", "r1", "r2", member}


def test_a_prompt_of_the_initial_subset_keeps_all_its_rows() -> None:
    method = FacilityLocation(model="e", budget=2, unit="prompt", initial_subset="s.parquet")
    pool = corpus("r4")
    decided = method.decide(pool)
    assert decided["reason"].to_pylist()[3:] == ["initial_subset"] * 2
    assert len(kept(pool, decided)) == 3


def test_more_than_the_budget_in_the_initial_subset() -> None:
    method = FacilityLocation(model="e", budget=1, initial_subset="s.parquet")
    with pytest.raises(RecipeError, match="got 1, but 2 rows of the pool are in the initial"):
        method.decide(corpus("r0", "r1"))
    exactly = FacilityLocation(model="e", budget=2, initial_subset="s.parquet")
    assert kept(corpus("r0", "r1"), exactly.decide(corpus("r0", "r1"))) == {"r0", "r1"}


def test_an_initial_subset_of_other_data() -> None:
    method = FacilityLocation(model="e", budget=2, initial_subset="s.parquet")
    with pytest.raises(InputError, match=r"'s\.parquet' holds none of the 5 rows.*'r0'"):
        method.decide(corpus("r9"))


def test_this_month_extends_last_month(tmp_path: Path) -> None:
    last = FacilityLocation(model="e", budget=2).decide(corpus())
    chosen = kept(corpus(), last)
    pq.write_table(pa.table({"id": sorted(chosen)}), tmp_path / "curated.parquet")
    method = FacilityLocation(model="e", budget=3, initial_subset="curated.parquet")
    scorer = method.scorers()[-1]
    assert scorer == Membership(file="curated.parquet")
    runtime = Runtime(base=tmp_path, models={"e": ModelSpec(name="builtin:toy")})
    ids = pa.table({"id": corpus().rows["id"]})
    member = scorer.score(ids, runtime).table.drop_columns(["id"])
    pool = corpus().with_scores("initial_subset", member)
    assert chosen < kept(pool, method.decide(pool))


def test_diagnosis_by_hand() -> None:
    method = FacilityLocation(model="e", budget=1, unit="prompt")
    found = method.diagnose(corpus(), method.decide(corpus()))
    covered = (1 + cosine(20) + cosine(10) + cosine(70)) / 4
    means = found["mean_similarity_to_what_is_kept"]
    assert means["selected"] == pytest.approx(covered, abs=1e-4)
    assert means["random of equal size"] <= means["selected"] + 1e-4
    assert found["prompts_in_the_largest_sample"] == found["prompts"] == 4
    assert (found["prompts_kept"], found["rows_of_the_initial_subset"]) == (1, 0)


def test_a_run_extends_the_curated_folder_of_an_earlier_one(tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"What is {n} by {n}?", "answer": str(n)}) for n in range(9)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def go(name: str, **fields: Any) -> RunResult:
        stage = {"kind": "facility_location", "model": "toy", **fields}
        recipe: dict[str, Any] = {"name": name, "inputs": [{"path": "data.jsonl"}]}
        recipe |= {"models": {"toy": {"name": "builtin:toy"}}, "stages": [stage]}
        return run(parse_recipe(recipe, "r"), tmp_path, tmp_path / "runs", Runtime())

    def ids(result: RunResult) -> set[str]:
        files = sorted((result.folder / "curated" / "data").glob("*.parquet"))
        return set(
            pa.concat_tables([pq.read_table(f, columns=["id"]) for f in files])["id"].to_pylist()
        )

    first = go("march", budget=3)
    second = go("april", budget=5, initial_subset="runs/march/v0001/curated")
    assert ids(first) < ids(second)
    assert len(ids(second)) == 5
    with pytest.raises(InputError, match=r"holds no \*\.parquet"):
        go("may", budget=5, initial_subset="runs/march")
    with pytest.raises(InputError, match="every row that was read, dropped ones too"):
        go("june", budget=5, initial_subset="runs/march/v0001")
