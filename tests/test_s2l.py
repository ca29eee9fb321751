"""Tests of S2L: clusters and quotas by hand, what is left out, given trajectories, whole runs."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import corpus_of, kept, reasons, statistics, take
from pools import asked, save_tiny, table_of
from pydantic import ValidationError

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.errors import InputError, RecipeError
from siftline.contracts.runtime import Runtime
from siftline.models.likelihood import OK
from siftline.models.training import proxy as proxy_module
from siftline.models.training.proxy import checkpoints_in
from siftline.pipelines.manifest import StageManifest
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import RunResult, run
from siftline.pipelines.run_directory import read_finished
from siftline.pipelines.scores.identity import artifact_identity, identity_hash, scorer_identity
from siftline.reports.page import report_page
from siftline.scorers.given_trajectories import GivenTrajectory
from siftline.scorers.trajectory import Loss, trajectory_table
from siftline.selectors.s2l import S2L
from siftline.selectors.trajectories.normalising import Normalise, normalised
from siftline.selectors.trajectories.units import units_of

Losses = Sequence[Sequence[float]]


def method(**fields: Any) -> S2L:
    """Return S2L that makes as many clusters as it is told, whatever the pool's size."""
    return S2L.model_validate({"model": "m", "fewest_per_cluster": 1, "clusters": 3, **fields})


def pool(
    losses: Losses,
    prompts: Sequence[str] | None = None,
    status: dict[int, str] | None = None,
    tokens: Sequence[int] | None = None,
    chars: Sequence[int] | None = None,
    **columns: Any,
) -> Corpus:
    """Return a corpus of rows with these losses; those with a status have none."""
    lacking = status or {}
    counts = tokens or [7] * len(losses)
    records = [
        [Loss(lacking[row])] * len(each)
        if row in lacking
        else [Loss(OK, loss, 1, counts[row], False) for loss in each]
        for row, each in enumerate(losses)
    ]
    ids = [f"r{row}" for row in range(len(losses))]
    trajectory = trajectory_table("id", pa.chunked_array([ids]), records).drop_columns(["id"])
    tables = {"trajectory": trajectory, "statistics": statistics(chars or [50] * len(losses))}
    return corpus_of(prompts or ids, tables=tables, **columns)


def derived(selector: S2L, corpus: Corpus) -> Corpus:
    return corpus.with_scores("s2l", selector.derive(corpus)["s2l"])


def decide(selector: S2L, corpus: Corpus) -> pa.Table:
    return selector.decide(derived(selector, corpus))


def groups(sizes: Sequence[int], seed: int = 0) -> tuple[Losses, list[int]]:
    """Return trajectories in groups that lie 4 nats apart, mixed, and the group of each."""
    random = np.random.default_rng(seed)
    names = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    losses = 4.0 * names[:, None] + random.uniform(0, 0.5, (len(names), 4))
    return losses.tolist(), names.tolist()


def taken(selector: S2L, sizes: Sequence[int]) -> list[int]:
    """Return how many rows of each group are kept."""
    losses, names = groups(sizes)
    corpus = pool(losses)
    chosen = kept(corpus, decide(selector, corpus))
    count = Counter(names[int(name[1:])] for name in chosen)
    return [count[group] for group in range(len(sizes))]


def test_the_budget_is_spread_over_clusters_from_the_smallest_up() -> None:
    assert sorted(taken(method(budget=2), [10, 10, 10])) == [0, 1, 1]
    assert taken(method(budget=9), [10, 10, 10]) == [3, 3, 3]
    assert taken(method(budget=12), [2, 13, 5]) == [2, 5, 5]  # 4 asked of the first; 10 over two
    assert taken(method(budget="50%"), [1, 10, 9]) == [1, 5, 4]  # 10: 3 asked; 9 over two
    assert taken(method(budget=99), [2, 13, 5]) == [2, 13, 5]


def test_clusters_of_two_may_wait_for_what_is_left_over() -> None:
    assert taken(method(budget=12, skip_tiny=True), [2, 13, 5]) == [0, 7, 5]
    assert taken(method(budget=19, skip_tiny=True), [2, 13, 5]) == [1, 13, 5]


def test_every_row_of_the_pool_has_a_reason_and_a_cluster() -> None:
    corpus = derived(method(budget=3), pool(groups([2, 2, 2])[0]))
    verdicts = method(budget=3).decide(corpus)
    assert Counter(reasons(verdicts).values()) == {"selected": 3, "over_quota": 3}
    assert len(set(corpus.column("s2l.cluster").to_pylist())) == 3


def test_an_empty_pool() -> None:
    assert method(budget=3).decide(corpus_of([])).equals(VERDICTS.empty_table())


def test_fewer_rows_than_clusters() -> None:
    losses = [[1.0, 1.0], [5.0, 5.0], [9.0, 9.0]]
    each = method(clusters=100, budget=2)
    corpus = derived(each, pool(losses))
    assert len(set(corpus.column("s2l.cluster").to_pylist())) == 3
    assert len(kept(corpus, each.decide(corpus))) == 2
    # By default three rows are too few for more than one cluster: the choice is random.
    default = S2L(model="m", budget=2)
    corpus = derived(default, pool(losses))
    assert set(corpus.column("s2l.cluster").to_pylist()) == {0}
    decided = default.decide(corpus)
    assert len(kept(corpus, decided)) == 2
    assert any("3 rows are few for 100 clusters" in each for each in warned(default, corpus))


def test_one_checkpoint_bins_the_losses() -> None:
    selector = method(budget=3)
    corpus = pool([[1.0], [1.1], [1.2], [5.0], [5.1], [9.0]])
    assert {"r5"} < kept(corpus, decide(selector, corpus))
    assert any("bins" in each for each in warned(selector, derived(selector, corpus)))


def test_identical_trajectories_are_one_cluster() -> None:
    selector = method(budget=5)
    corpus = derived(selector, pool([[2.0, 1.0]] * 12))
    assert len(set(corpus.column("s2l.cluster").to_pylist())) == 1
    assert corpus.column("s2l.distance").to_pylist() == [0.0] * 12
    assert len(kept(corpus, selector.decide(corpus))) == 5


@pytest.mark.parametrize("unit", ["row", "prompt", "token"])
def test_the_order_of_the_rows_does_not_matter(unit: Any) -> None:
    selector = method(budget=60 if unit == "token" else 8, unit=unit, clusters=4)
    losses, _ = groups([4, 9, 20, 7])
    corpus = pool(losses, prompts=[f"p{row // 2}" for row in range(40)])
    order = np.random.default_rng(1).permutation(40).tolist()
    chosen = kept(corpus, decide(selector, corpus))
    other = take(corpus, order)
    assert kept(other, decide(selector, other)) == chosen
    reseeded = selector.model_copy(update={"seed": 1})
    assert kept(corpus, decide(reseeded, corpus)) != chosen


def test_units_are_the_same_to_the_bit_in_any_order_of_the_rows() -> None:
    random = np.random.default_rng(2)
    corpus = pool(
        random.uniform(0, 9, (30, 3)).tolist(),
        prompts=[f"p{row // 5}" for row in range(30)],
        source=[f"s{row % 2}" for row in range(30)],
    )
    one = units_of(corpus, "prompt", "source", seed=0)
    other = take(corpus, random.permutation(30).tolist())
    same = units_of(other, "prompt", "source", seed=0)
    assert same.keys == one.keys
    assert same.points.tobytes() == one.points.tobytes()
    assert same.sources.tolist() == one.sources.tolist() == ["s0"] * 6  # the first by name
    ids, others = (each.rows["id"].to_pylist() for each in (corpus, other))
    assert [others[row] for row in same.first_row] == [ids[row] for row in one.first_row]


def test_a_prompt_has_the_mean_of_its_responses_and_keeps_them_all() -> None:
    losses = [[1.0, 1.0], [3.0, 2.0], [9.0, 9.0], [2.0, 1.5], [50.0, 50.0]]
    corpus = pool(losses, prompts=list("aabcc"), status={4: "nan"})
    units = units_of(corpus, "prompt", None, seed=0)
    points = dict(zip(units.keys, units.points.tolist(), strict=True))
    assert points == {"a": [2.0, 1.5], "b": [9.0, 9.0], "c": [2.0, 1.5]}
    assert units.cost.tolist() == [1, 1, 1]
    selector = method(unit="prompt", clusters=2, budget=2)
    decided = decide(selector, corpus)
    assert {"r2"} < kept(corpus, decided)  # the small cluster, and one of the two prompts
    # A prompt's row without a trajectory shares the fate of the others.
    assert kept(corpus, decided) - {"r2"} in ({"r0", "r1"}, {"r3", "r4"})
    assert kept(corpus, decide(method(unit="prompt", budget="100%"), corpus)) == {
        "r0",
        "r1",
        "r2",
        "r3",
        "r4",
    }


def test_a_budget_of_tokens_is_met_within_one_row() -> None:
    losses, _ = groups([10, 20, 30])
    tokens = np.random.default_rng(0).integers(5, 40, 60).tolist()
    corpus = pool(losses, tokens=tokens)
    for budget in (1, 100, 333, sum(tokens) - 1):
        chosen = [
            tokens[int(name[1:])]
            for name in kept(corpus, decide(method(unit="token", budget=budget), corpus))
        ]
        assert budget <= sum(chosen) < budget + max(chosen)
    share = kept(corpus, decide(method(unit="token", budget="50%"), corpus))
    half = sum(tokens) // 2
    assert half <= sum(tokens[int(name[1:])] for name in share) < half + 40


def test_sources_share_the_budget_first() -> None:
    losses, _ = groups([12, 12])
    source = ["small"] * 4 + ["large"] * 20
    corpus = pool(losses, source=source)
    whole = method(budget=10, clusters=2)
    split = method(budget=10, clusters=2, stratify_by="source")

    def by_source(selector: S2L) -> Counter[str]:
        return Counter(source[int(n[1:])] for n in kept(corpus, decide(selector, corpus)))

    assert by_source(split) == {"small": 4, "large": 6}
    assert by_source(whole)["small"] < 4
    clusters = np.array(derived(split, corpus).column("s2l.cluster").to_pylist())
    assert not set(clusters[:4]) & set(clusters[4:])


def test_rows_without_a_trajectory_are_kept_or_left_out_and_listed() -> None:
    losses, _ = groups([5, 5, 5])
    status = {0: "empty_response", 1: "prompt_too_long", 2: "nan", 3: "nan"}
    selector = method(budget="100%")
    corpus = derived(selector, pool(losses, status=status))
    decided = selector.decide(corpus)
    told = reasons(decided)
    assert {told[f"r{row}"] for row in status} == {"unscored"}
    assert kept(corpus, decided) == {f"r{row}" for row in range(15)}
    left_out = method(budget="100%", unscored="drop").decide(corpus)
    assert kept(corpus, left_out) == {f"r{row}" for row in range(4, 15)}
    assert reasons(left_out) == told
    assert corpus.column("s2l.cluster").to_pylist()[:4] == [None] * 4
    assert corpus.column("s2l.distance").null_count == 4
    found = selector.diagnose(corpus, decided)
    assert found["rows_without_a_score"] == 4
    assert len(kept(corpus, decide(method(budget="50%"), corpus))) == 5 + 4  # of eleven; beside it


def test_a_pool_without_any_trajectory() -> None:
    selector = method(budget=2)
    corpus = derived(selector, pool([[1.0], [2.0]], status={0: "nan", 1: "nan"}))
    decided = selector.decide(corpus)
    assert kept(corpus, decided) == {"r0", "r1"}
    assert selector.diagnose(corpus, decided)["warnings"] == ["No row has a trajectory."]
    assert selector.picture(corpus, decided) == {}


def warned(selector: S2L, corpus: Corpus) -> list[str]:
    found: list[str] = selector.diagnose(corpus, selector.decide(corpus))["warnings"]
    return found


def test_the_diagnosis_compares_the_choice_with_the_pool_and_the_baselines() -> None:
    losses = [[3.0, 1.0]] * 16 + [[9.0, 9.0]] * 4
    chars = [10] * 16 + [1000] * 4
    selector = method(budget=8, clusters=2)
    corpus = derived(selector, pool(losses, chars=chars))
    found = selector.diagnose(corpus, selector.decide(corpus))
    final = found["mean_final_loss"]
    assert final["pool"] == pytest.approx((16 * 1 + 4 * 9) / 20)
    assert final["selected"] == pytest.approx((4 * 1 + 4 * 9) / 8)
    assert final["longest"] == final["selected"]
    assert final["random"] < final["selected"]
    assert found["cost_in_units_of_the_budget"]["stratified_random"] == 8
    assert found["clusters"] == 2
    assert found["largest_cluster_share"] == 0.8
    assert found["cluster_explains_of_log_length"] == pytest.approx(1.0)
    assert any("what is selected is 5.00, that of the pool 2.60" in w for w in found["warnings"])
    calm = pool([[3.0, 1.0]] * 16 + [[3.5, 1.2]] * 4)
    assert warned(method(budget=8, clusters=2, fewest_per_cluster=5), derived(selector, calm)) == []


@pytest.mark.parametrize("normalise", ["none", "center", "l2", "rank"])
def test_the_picture_has_each_cluster_with_its_quota_and_centroid(normalise: Normalise) -> None:
    losses, _ = groups([2, 13, 5])
    selector = method(budget=12, normalise=normalise, stratify_by=None)
    corpus = derived(selector, pool(losses))
    decided = selector.decide(corpus)
    curves = selector.picture(corpus, decided)["curves"]
    json.dumps(curves)
    labels = np.array(corpus.column("s2l.cluster").to_pylist())
    keep = decided["keep"].to_numpy()
    raw = np.array(losses, dtype=np.float32)
    points = normalised(raw, normalise)
    distance = np.array(corpus.column("s2l.distance").to_pylist())
    assert sum(curve["size"] for curve in curves) == 20
    assert [curve["size"] for curve in curves] == sorted(
        (curve["size"] for curve in curves), reverse=True
    )
    for curve in curves:
        mine = labels == int(curve["name"].removeprefix("cluster "))
        assert curve["size"] == mine.sum()
        assert curve["selected"] == keep[mine].sum() == min(curve["quota"], curve["size"])
        assert curve["values"] == pytest.approx(raw[mine].mean(axis=0), abs=1e-4)
        assert curve["centroid"] == pytest.approx(points[mine].mean(axis=0), abs=1e-6)
        gap = np.linalg.norm(points[mine] - curve["centroid"], axis=1)
        assert distance[mine] == pytest.approx(gap, abs=1e-5)
        assert set(curve["ids"]) <= {f"r{row}" for row in np.flatnonzero(mine)}
        assert len(curve["ids"]) == min(3, curve["size"])
    if normalise == "none":
        assert [curve["quota"] for curve in curves] == [5, 5, 4]


def floats(values: Losses) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", [[3.0, 4.0], [0.0, 0.0], [6.0, 8.0], [3.0, 4.0]]),
        ("center", [[-0.5, 0.5], [0.0, 0.0], [-1.0, 1.0], [-0.5, 0.5]]),
        ("l2", [[0.6, 0.8], [0.0, 0.0], [0.6, 0.8], [0.6, 0.8]]),
        ("rank", [[0.5, 0.5], [0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]),  # places 1 and 2 are shared
    ],
)
def test_what_is_clustered(how: Normalise, expected: Losses) -> None:
    found = normalised(floats([[3, 4], [0, 0], [6, 8], [3, 4]]), how)
    assert found.dtype == np.float32
    assert found.tolist() == [pytest.approx(row) for row in expected]
    assert normalised(floats([[3, 4]])[:0], how).shape == (0, 2)


def test_ranks_are_those_in_the_pool_not_in_the_source() -> None:
    selector = method(budget=1, normalise="rank", stratify_by="source", clusters=1)
    corpus = derived(selector, pool([[1.0], [2.0], [3.0], [4.0]], source=["a", "a", "b", "b"]))
    curves = selector.picture(corpus, selector.decide(corpus))["curves"]
    assert sorted(curve["centroid"][0] for curve in curves) == pytest.approx([1 / 6, 5 / 6])


def test_shapes_not_levels_are_clustered_when_centred() -> None:
    falling = [[9.0, 8.0], [5.0, 4.0], [2.0, 1.0]]
    flat = [[9.0, 9.0], [5.0, 5.0], [1.0, 1.0]]
    selector = method(budget=2, clusters=2, normalise="center")
    clusters = derived(selector, pool(falling + flat)).column("s2l.cluster").to_pylist()
    assert len(set(clusters[:3])) == len(set(clusters[3:])) == 1
    assert clusters[0] != clusters[3]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_proxy_is_trained_on_a_share_and_all_rows_are_scored(share: float) -> None:
    selector = method(budget=1, training={"share": share, "epochs": 4})
    corpus = corpus_of([f"p{row}" for row in range(40)])
    (request,) = selector.follow(corpus)
    assert request.rows.all()
    assert request.training is not None
    assert request.training.rows.sum() == 40 * share
    order = list(reversed(range(40)))
    (other,) = selector.follow(take(corpus, order))
    assert other.scorer == request.scorer  # the same rows, whatever their order
    assert other.training is not None
    assert (other.training.rows[::-1] == request.training.rows).all()
    assert not selector.follow(corpus.with_scores("trajectory", pa.table({"x": [0] * 40})))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"budget": 1}, "either 'model'"),
        ({"budget": 1, "model": "m", "trajectories": "t.parquet"}, "either 'model'"),
        ({"budget": 1, "trajectories": "t.parquet", "unit": "token"}, "do not tell how many"),
        ({"budget": 0, "model": "m"}, "above 0"),
        ({"budget": 1, "model": "m", "seed": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        S2L.model_validate(fields)


def test_the_proxy_cannot_be_on_a_server() -> None:
    data = {
        "name": "n",
        "inputs": [{"path": "a", "source": "a"}],
        "models": {"m": {"name": "x", "server": {"url": "http://localhost:1/v1"}}},
        "stages": [{"kind": "s2l", "model": "m", "budget": 1}],
    }
    with pytest.raises(RecipeError, match="'m' is on a server"):
        parse_recipe(data, "recipe")


ROWS = table_of({name: asked(f"how {name}", "so") for name in ("a", "b", "c", "d")})


def look_up(folder: Path, losses: Any, ids: Any = ("a", "b", "x")) -> pa.Table:
    """Write trajectories, and return what is found for the rows a, b, c and d."""
    pq.write_table(pa.table({"id": ids, "losses": losses}), folder / "t.parquet")
    return GivenTrajectory(file="t.parquet").score(ROWS, Runtime(base=folder)).table


def test_given_trajectories_are_looked_up_by_id(tmp_path: Path) -> None:
    losses = pa.array([[1.0, 0.5], [2.0, float("nan")], [3.0, 3.0]], pa.list_(pa.float64()))
    found = look_up(tmp_path, losses)
    assert found["id"].to_pylist() == ["a", "b", "c", "d"]
    assert found["status"].to_pylist() == ["ok", "nan", "missing", "missing"]
    assert found["losses"].to_pylist() == [[1.0, 0.5], None, None, None]
    assert found["last_loss"].to_pylist() == [0.5, None, None, None]
    assert found["tokens"].to_pylist() == [None] * 4


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param(
            pa.array([[1.0, 0.5], [float("inf"), 1.0], None], pa.list_(pa.float32(), 2)),
            marks=pytest.mark.pinned,  # some releases of pyarrow cannot read what they write
        ),
        pa.array([[1.0, 0.5], [None, 1.0], None], pa.large_list(pa.float32())),
    ],
)
def test_lists_of_any_kind_are_read(tmp_path: Path, losses: pa.Array) -> None:
    found = look_up(tmp_path, losses, ids=["a", "b", "c"])
    assert found["status"].to_pylist() == ["ok", "nan", "missing", "missing"]
    assert found.schema.field("losses").type == pa.large_list(pa.float32())


def test_a_shard_of_which_the_file_knows_nothing_has_the_same_columns(tmp_path: Path) -> None:
    known = look_up(tmp_path, [[1.0, 0.5], [2.0, 1.0]], ids=["a", "b"])
    unknown = look_up(tmp_path, [[1.0, 0.5], [2.0, 1.0]], ids=["x", "y"])
    assert unknown["status"].to_pylist() == ["missing"] * 4
    assert unknown.schema == known.schema


def test_numbers_as_ids_are_read_as_text(tmp_path: Path) -> None:
    found = look_up(tmp_path, [[1], [2]], ids=[7, 8])
    assert found["status"].to_pylist() == ["missing"] * 4


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([1.0, 2.0, 3.0], "lists of numbers"),
        ([["x"], ["y"], ["z"]], "lists of numbers"),
        ([[1.0], [2.0, 1.0], [1.0]], r"lists of \[1, 2\] losses"),
        ([[1.0], [1.0], []], r"lists of \[0, 1\] losses"),
        (pa.array([None] * 3, pa.list_(pa.float32())), r"lists of \[\] losses"),
    ],
)
def test_trajectories_that_cannot_be_used_are_an_error(
    tmp_path: Path, losses: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        look_up(tmp_path, losses)


def test_a_file_that_is_not_what_it_should_be_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several times"):
        look_up(tmp_path, [[1.0], [2.0], [3.0]], ids=["a", "b", "a"])
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"name": ["a"], "losses": [[1.0]]}), path)
    scorer = GivenTrajectory(file="t.parquet")
    with pytest.raises(InputError, match="has the columns name, losses; expected 'id'"):
        scorer.score(ROWS, Runtime(base=tmp_path))
    path.write_text("no parquet", encoding="utf-8")
    with pytest.raises(InputError, match="is no Parquet file"):
        scorer.score(ROWS, Runtime(base=tmp_path))


def test_a_file_that_holds_none_of_the_rows_is_an_error() -> None:
    selector = method(budget=1, model=None, trajectories="t.parquet")
    corpus = pool([[1.0], [2.0]], status={0: "missing", 1: "missing"})
    with pytest.raises(InputError, match=r"'t\.parquet' holds none of the 2 rows.*'r0'"):
        decide(selector, corpus)


COUNT = 24
GIVEN = {"kind": "s2l", "trajectories": "t.parquet", "clusters": 3, "fewest_per_cluster": 1}
TRAINED = {
    "kind": "s2l",
    "model": "proxy",
    "clusters": 2,
    "fewest_per_cluster": 1,
    "training": {"epochs": 1, "batch_rows": 8, "checkpoints": 3, "learning_rate": 0.01},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of :func:`fill`."""
    return fill(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A folder of :func:`fill`, in which a proxy has been trained."""
    made = fill(tmp_path_factory.mktemp("trained"))
    return made, go(made, TRAINED)


def fill(folder: Path) -> Path:
    """Write data, trajectories of all but the last row, and a proxy."""
    rows = [
        {"id": f"r{n}", "prompt": f"how {'very ' * (n % 5)}cat {n}", "completion": "the mat. " * n}
        for n in range(1, COUNT + 1)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    losses, _ = groups([3, 8, 12])
    ids = [row["id"] for row in rows[:-1]]
    pq.write_table(pa.table({"id": ids, "losses": losses}), folder / "t.parquet")
    save_tiny(folder / "proxy")
    return folder


def go(folder: Path, stage: dict[str, Any], runs: str = "runs", shard_rows: int = 12) -> RunResult:
    data = {
        "name": "s2l",
        "inputs": [{"path": "data.jsonl", "source": "made"}],
        "models": {"proxy": {"name": str(folder / "proxy"), "dtype": "float32"}},
        "stages": [{"budget": 8, **stage}],
    }
    runtime = Runtime(shard_rows=shard_rows, device="cpu")
    return run(parse_recipe(data, "recipe"), folder, folder / runs, runtime)


def verdicts_of(result: RunResult) -> dict[str, str]:
    return reasons(pq.read_table(result.folder / "01-s2l" / "verdicts.parquet"))


def test_a_run_on_given_trajectories(folder: Path) -> None:
    result = go(folder, GIVEN)
    assert result.model_calls == 0
    told = verdicts_of(result)
    assert Counter(told.values()) == {"selected": 8, "over_quota": 15, "unscored": 1}
    assert told[f"r{COUNT}"] == "unscored"
    assert verdicts_of(go(folder, GIVEN, runs="others", shard_rows=1)) == told
    manifest = read_finished(result.folder / "01-s2l", StageManifest)
    assert manifest is not None
    curves = manifest.pictures["curves"]
    assert [(each["size"], each["quota"]) for each in curves] == [(12, 3), (8, 3), (3, 2)]
    page = report_page(RunRecord(result.folder))
    assert "3 of 12, quota 3" in page
    assert page.count("<polyline") == 3


def test_other_trajectories_make_another_version(folder: Path) -> None:
    first = go(folder, GIVEN)
    assert go(folder, GIVEN).reused
    table = pq.read_table(folder / "t.parquet")
    pq.write_table(table.slice(1), folder / "t.parquet")
    second = go(folder, GIVEN)
    assert second.folder != first.folder
    assert verdicts_of(second)["r1"] == "unscored"
    (folder / "t.parquet").unlink()
    with pytest.raises(InputError, match=r"t\.parquet' cannot be read"):
        go(folder, GIVEN)


def test_a_row_that_gets_another_id_is_looked_up_again(folder: Path) -> None:
    table = pq.read_table(folder / "t.parquet")
    ids = ["new", *table["id"].to_pylist()[1:]]
    pq.write_table(table.set_column(0, "id", pa.array(ids)), folder / "t.parquet")
    assert verdicts_of(go(folder, GIVEN))["r1"] == "unscored"
    path = folder / "data.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"r1"', '"new"'), encoding="utf-8")
    assert verdicts_of(go(folder, GIVEN))["new"] in ("selected", "over_quota")


def artifact_in(runs: Path) -> Path:
    (found,) = (runs / "cache" / "artifacts").glob("[0-9a-f]*")
    return found


def test_a_run_trains_once_and_pays_for_nothing_twice(trained: tuple[Path, RunResult]) -> None:
    folder, first = trained
    assert Counter(verdicts_of(first).values())["selected"] == 8
    assert first.model_calls >= 3 + 2 * 3  # steps, then two shards under three checkpoints
    assert go(folder, TRAINED).model_calls == 0
    other = go(folder, {**TRAINED, "budget": 12, "clusters": 3, "normalise": "rank"})
    assert other.folder != first.folder
    assert (other.model_calls, other.scored) == (0, 0)
    names = set(pq.read_table(first.folder / "decisions.parquet").column_names)
    assert {"trajectory.last_loss", "s2l.cluster", "s2l.distance"} <= names


def proxy_of(runs: Path) -> list[bytes]:
    """Return the weights of each checkpoint of the one proxy in a cache."""
    (artifact,) = (runs / "cache" / "artifacts").glob("[0-9a-f]*")
    return [(path / "model.safetensors").read_bytes() for path in checkpoints_in(artifact)]


def losses_of(result: RunResult) -> pa.Table:
    paths = sorted((result.folder / "01-s2l" / "scores").glob("trajectory-*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in paths])


def test_shards_do_not_matter_to_what_is_trained(trained: tuple[Path, RunResult]) -> None:
    folder, two_shards = trained
    one_shard = go(folder, TRAINED, runs="one-shard", shard_rows=100)
    assert proxy_of(folder / "one-shard") == proxy_of(folder / "runs")
    tables = [losses_of(result) for result in (one_shard, two_shards)]
    assert tables[0]["id"] == tables[1]["id"]
    one, two = (np.stack(table["losses"].to_numpy(zero_copy_only=False)) for table in tables)
    assert one == pytest.approx(two, abs=1e-4)


def test_a_run_that_was_killed_in_training_goes_on(
    trained: tuple[Path, RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = trained
    write = proxy_module._write_checkpoint
    steps: list[int] = []

    def killed(model: Any, tokenizer: Any, kind: str, place: Path, step: int) -> None:
        steps.append(step)
        if steps == [1, 2]:
            raise KeyboardInterrupt
        write(model, tokenizer, kind, place, step)

    monkeypatch.setattr(proxy_module, "_write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        go(folder, TRAINED, runs="killed")
    result = go(folder, TRAINED, runs="killed")
    assert steps == [1, 2, 2, 3]
    assert result.model_calls < whole.model_calls
    assert verdicts_of(result) == verdicts_of(whole)
    assert proxy_of(folder / "killed") == proxy_of(folder / "runs")


def flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_training_with_a_damaged_checkpoint_begins_anew(
    trained: tuple[Path, RunResult],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, _ = trained
    write = proxy_module._write_checkpoint
    steps: list[int] = []

    def killed(model: Any, tokenizer: Any, kind: str, place: Path, step: int) -> None:
        steps.append(step)
        if steps == [1, 2]:
            flip_last_bit(place / "step-0000001" / "model.safetensors")
            raise KeyboardInterrupt
        write(model, tokenizer, kind, place, step)

    monkeypatch.setattr(proxy_module, "_write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        go(folder, TRAINED, runs="torn")
    go(folder, TRAINED, runs="torn")
    assert steps == [1, 2, 1, 2, 3]
    assert "The training begins anew" in caplog.text
    assert proxy_of(folder / "torn") == proxy_of(folder / "runs")


def test_a_damaged_proxy_is_trained_again(
    trained: tuple[Path, RunResult], caplog: pytest.LogCaptureFixture
) -> None:
    folder, whole = trained
    go(folder, TRAINED, runs="worn")
    sound = proxy_of(folder / "worn")
    for cached in (folder / "worn" / "cache" / "trajectory").glob("*/scores-*.parquet"):
        cached.unlink()
    (artifact,) = (folder / "worn" / "cache" / "artifacts").glob("[0-9a-f]*")
    flip_last_bit(artifact / "step-0000002" / "model.safetensors")
    for version in folder.glob("worn/*/v0001"):
        shutil.rmtree(version)
    result = go(folder, TRAINED, runs="worn")
    assert "It is trained again" in caplog.text
    assert proxy_of(folder / "worn") == sound
    assert verdicts_of(result) == verdicts_of(whole)


def test_what_a_trajectory_depends_on() -> None:
    prints = {role: {"digest": role} for role in ("m", "other")}
    corpus = corpus_of([f"p{row}" for row in range(9)])

    def identities(**fields: Any) -> list[str]:
        (request,) = method(**{"budget": 1, **fields}).follow(corpus)
        assert request.training is not None
        return [
            identity_hash(scorer_identity(request.scorer, prints)),
            identity_hash(artifact_identity(request.training, corpus, prints)),
        ]

    usual = identities()
    assert identities(budget=5, clusters=7, normalise="l2", unit="prompt", seed=4) == usual
    for fields in ({"model": "other"}, {"training": {"epochs": 1}}, {"training": {"share": 0.5}}):
        assert not set(identities(**fields)) & set(usual)
