from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siftline.pipelines.scores.cache import ScoreCache
from siftline.pipelines.scores.identity import scorer_identity
from siftline.pipelines.verification import Verified, verify
from siftline.scorers.likelihood import Likelihood
from siftline.scorers.text_statistics import ResponseStatistics

IDENTITY = {"table": "t", "key": "content_hash"}


def part(**values: float) -> pa.Table:
    return pa.table({"content_hash": list(values), "score": list(values.values())})


def test_what_is_added_is_found_in_the_order_asked(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, IDENTITY)
    cache.add(part(a=1.0, b=2.0))
    cache.add(part(c=3.0))
    cache.refresh()
    found = cache.read(cache.locate(pa.array(["c", "a", "b", "a"])))
    assert found["score"].to_pylist() == [3.0, 1.0, 2.0, 1.0]
    assert cache.missing(pa.array(["a", "x"])).to_pylist() == [False, True]


def test_a_missing_key_is_an_error_not_a_default(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, IDENTITY)
    cache.add(part(a=1.0))
    cache.refresh()
    with pytest.raises(KeyError, match="1 of 2 rows"):
        cache.locate(pa.array(["a", "x"]))


def test_the_first_part_counts_when_two_hold_a_key(tmp_path: Path) -> None:
    one, other = ScoreCache(tmp_path, IDENTITY), ScoreCache(tmp_path, IDENTITY)
    one.add(part(a=1.0))
    other.add(part(a=9.0))
    for cache in (one, other):
        cache.refresh()
        assert cache.read(cache.locate(pa.array(["a"])))["score"].to_pylist() == [1.0]


def test_leftovers_of_a_killed_writer_are_not_read(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, IDENTITY)
    cache.add(part(a=1.0))
    (cache.folder / ".half.tmp").write_bytes(b"PAR1")
    cache.refresh()
    assert cache.missing(pa.array(["a"])).to_pylist() == [False]


def test_a_read_that_fails_leaves_what_was_known_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ScoreCache(tmp_path, IDENTITY)
    for row in "abc":
        cache.add(part(**{row: float(ord(row))}))
    read_table, reads = pq.read_table, []

    def fails_once(path: Path, **options: Any) -> pa.Table:
        reads.append(path)
        if len(reads) == 2:
            raise OSError("the disk is gone")
        return read_table(path, **options)

    monkeypatch.setattr(pq, "read_table", fails_once)
    with pytest.raises(OSError, match="the disk is gone"):
        cache.refresh()
    cache.refresh()
    scores = cache.read(cache.locate(pa.array(["c", "a", "b"])))["score"]
    assert scores.to_pylist() == [99.0, 97.0, 98.0]


def test_two_runs_may_find_the_same_part_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, rename = ScoreCache(tmp_path, IDENTITY), Path.rename
    cache.add(part(a=1.0))
    next(cache.folder.glob("*.parquet")).write_bytes(b"PAR1")

    def later(path: Path, target: Path) -> Path:
        rename(path, target)  # by the other run
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", later)
    cache.refresh()
    assert cache.missing(pa.array(["a"])).to_pylist() == [True]


def test_scores_that_depend_on_a_file_are_verified(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path, {**IDENTITY, "files": [{"digest": "d"}]})
    cache.add(part(a=1.0))
    assert verify(tmp_path) == verify(cache.folder) == Verified(files=2, damaged={})
    (cache.folder / "identity.json").write_text("{")
    assert list(verify(tmp_path).damaged) == [str(cache.folder / "identity.json")]


def test_a_role_is_a_name_and_the_model_is_the_identity() -> None:
    small, large = {"name": "small"}, {"name": "large"}
    first = scorer_identity(Likelihood(model="target"), {"target": small})
    assert first == scorer_identity(Likelihood(model="judge"), {"judge": small})
    assert first != scorer_identity(Likelihood(model="target"), {"target": large})
    assert first != scorer_identity(Likelihood(model="target", score_eos=True), {"target": small})
    assert scorer_identity(ResponseStatistics(), {})["model"] is None
