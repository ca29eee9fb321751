"""Near-duplicates on texts: by hand, beside sets of Python, and in a run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siftline.contracts.corpus import EXAMPLES, Corpus, shard_name
from siftline.contracts.errors import RecipeError
from siftline.contracts.parquet import write_table
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import run
from siftline.reports.page import report_page
from siftline.scorers import shingle_sets
from siftline.scorers.minhash import MinHash
from siftline.scorers.text_statistics import words
from siftline.selectors.duplicates import verification
from siftline.selectors.near_duplicates import NearDuplicates

Row = tuple[str, str, str]  # id, prompt, response


def corpus_in(
    folder: Path, rows: Sequence[Row], per_shard: int = 3, source: dict[str, str] | None = None
) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.parquet"):
        old.unlink()
    made = [
        {
            "id": name,
            "content_hash": f"{prompt}|{response}",
            "prompt_id": prompt,
            "source": (source or {}).get(name, "s"),
            "messages": [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": response},
            ],
        }
        for name, prompt, response in rows
    ]
    table = pa.Table.from_pylist(made, schema=EXAMPLES)
    for number, start in enumerate(range(0, len(made), per_shard)):
        write_table(table.slice(start, per_shard), folder / shard_name(number))
    return Corpus.open(folder)


def decided(corpus: Corpus, method: NearDuplicates) -> dict[str, dict[str, Any]]:
    """Return the verdicts by id."""
    return {row["id"]: row for row in measured(corpus, method)[1].to_pylist()}


def measured(corpus: Corpus, method: NearDuplicates) -> tuple[Corpus, pa.Table]:
    for scorer in method.scorers():
        parts = [scorer.score(shard, Runtime()).table for shard in corpus.iter_shards()]
        corpus = corpus.with_scores(
            scorer.table, pa.concat_tables(parts).drop_columns("content_hash")
        )
    for name, table in method.derive(corpus).items():
        corpus = corpus.with_scores(name, table)
    return corpus, method.decide(corpus)


def goes(found: dict[str, dict[str, Any]]) -> dict[str, tuple[str, float]]:
    return {n: (row["match"], row["similarity"]) for n, row in found.items() if row["match"]}


def text_similarity(one: str, other: str, ngram: int) -> float:
    first, second = (
        {tuple(said[n : n + ngram]) for n in range(max(1, len(said) - ngram + 1))}
        for said in (words(one) or [one.strip()], words(other) or [other.strip()])
    )
    return len(first & second) / len(first | second)


SAID = "one two three four five six seven eight nine ten"


def test_by_hand(tmp_path: Path) -> None:
    rows = [
        ("a", "Count to ten.", SAID),
        ("b", "count  to TEN", f"{SAID.upper()}!"),  # the same words
        ("c", "Count to ten.", f"{SAID} eleven"),  # windows of 2: 9 of 10
        ("d", "Count to ten.", "ten nine eight seven six five four three two one"),  # a candidate
        ("e", "Count to nine.", SAID),  # windows: count to, to ten; count to, to nine: 1 of 3
    ]
    corpus = corpus_in(tmp_path / "c", rows)
    found = decided(corpus, NearDuplicates(ngram=2))
    assert goes(found) == {"b": ("a", 1.0), "c": ("a", 0.9)}
    assert {n: row["reason"] for n, row in found.items()} == {
        "a": "represents",
        "b": "near_duplicate",
        "c": "near_duplicate",
        "d": "kept",
        "e": "kept",
    }
    assert goes(decided(corpus, NearDuplicates(ngram=2, threshold=0.95))) == {"b": ("a", 1.0)}
    of_prompts = goes(decided(corpus, NearDuplicates(ngram=2, over="prompt")))
    assert of_prompts == {"b": ("a", 1.0), "c": ("a", 1.0), "d": ("a", 1.0)}
    of_responses = goes(decided(corpus, NearDuplicates(ngram=2, over="response")))
    assert of_responses == {"b": ("a", 1.0), "c": ("a", 0.9), "e": ("a", 1.0)}


def test_a_long_instruction_that_all_rows_share_hides_no_duplicate(tmp_path: Path) -> None:
    shared = " ".join(f"rule{n}" for n in range(600))
    rows: list[Row] = []
    for number in range(200):
        asked = " ".join(f"q{number}x{n}" for n in range(8))
        said = [f"a{number}x{n}" for n in range(25)]
        rows.append((f"r{number:03}", f"{shared} {asked}", " ".join(said)))
        if number % 5 == 0:
            rows.append((f"z{number:03}", f"{shared} {asked}", " ".join([*said, "more"])))
    corpus, found = measured(corpus_in(tmp_path / "c", rows, 100), method := NearDuplicates())
    going = [row["id"] for row in found.to_pylist() if not row["keep"]]
    assert going == [f"z{number:03}" for number in range(0, 200, 5)]
    figures = method.diagnose(corpus, found)
    assert "rows_not_compared_with_all" not in figures
    assert figures["pairs_refused"] < 10


def test_what_is_reported_stays_with_its_match(tmp_path: Path) -> None:
    corpus = corpus_in(tmp_path / "c", [("a", "q", SAID), ("b", "q", SAID), ("c", "q", "other")])
    method = NearDuplicates(action="report")
    corpus, found = measured(corpus, method)
    assert found["keep"].to_pylist() == [True] * 3
    assert found["reason"].to_pylist() == ["represents", "near_duplicate", "kept"]
    assert method.picture(corpus, found) == {"reported": {"near_duplicate": ["b"]}}


def test_which_row_stays(tmp_path: Path) -> None:
    """The best score, then the source, then the id; a missing score comes last."""
    rows = [(name, "q", SAID) for name in "abcd"]
    source = {"a": "x", "b": "y", "c": "z", "d": "y"}
    corpus = corpus_in(tmp_path / "c", rows, source=source)

    def stays(score: list[float | None] | None, *sources: str) -> str:
        prefer = None if score is None else "grade.value"
        method = NearDuplicates(prefer=prefer, source_priority=sources)
        table = pa.table({"value": pa.array(score or [0] * 4, pa.float64())})
        found = decided(corpus.with_scores("grade", table), method)
        (name,) = [name for name, row in found.items() if row["reason"] == "represents"]
        assert {row["match"] for row in found.values()} == {None, name}
        return name

    assert stays(None) == "a"
    assert stays(None, "z", "y") == "c"
    assert stays(None, "y") == "b"
    assert stays([1, 2, 3, 3]) == "c"
    assert stays([1, 2, 3, 3], "y") == "d"
    assert stays([None, None, float("nan"), -1]) == "d"
    assert NearDuplicates(source_priority=("y",)).source_names() == ("y",)
    assert NearDuplicates(prefer="a.b").score_columns() == {"near_duplicates.prefer": "a.b"}
    with pytest.raises(RecipeError, match=r"near_duplicates\.prefer: no stage before it"):
        decided(corpus, NearDuplicates(prefer="grade.value"))


WORD = st.sampled_from(["red", "blue", "日", "Grün", "+"])
SIDE = st.lists(WORD, max_size=9).map(" ".join)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(
    st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=9),
    st.sampled_from([0.5, 0.7, 1.0]),
    st.sampled_from(["both", "prompt", "response"]),
    st.randoms(use_true_random=False),
)
def test_whoever_goes_is_similar_to_a_row_that_stays_in_any_order(
    tmp_path: Path, texts: list[tuple[str, str]], threshold: float, over: Any, shuffled: Any
) -> None:
    rows = [(f"r{number}", *pair) for number, pair in enumerate(texts)]
    method = NearDuplicates(threshold=threshold, over=over, ngram=2)
    found = decided(corpus_in(tmp_path / "c", rows), method)
    text = {name: pair for name, *pair in rows}
    for name, (match, similarity) in goes(found).items():
        assert found[match]["keep"]
        assert not found[name]["keep"]
        pairs = zip(text[name], text[match], strict=True)
        sides = [text_similarity(one, other, 2) for one, other in pairs]
        exact = {"both": min(sides), "prompt": sides[0], "response": sides[1]}[over]
        assert similarity == exact >= threshold
    copies = {(p, r): n for n, p, r in reversed(rows)}
    for name, prompt, response in rows:  # equal texts are always found
        assert copies[prompt, response] == name or not found[name]["keep"]
    again = list(rows)
    shuffled.shuffle(again)
    assert decided(corpus_in(tmp_path / "c", again, per_shard=4), method) == found


def pool(rows: int, seed: int) -> tuple[list[Row], list[tuple[str, str]]]:
    """Return generated rows, half of them an earlier one with some of its words changed."""
    rng = np.random.default_rng(seed)
    made: list[Row] = []
    pairs = []
    for number in range(rows // 2):
        said = [f"w{n}" for n in rng.integers(0, 5000, 80)]
        made.append((f"a{number}", " ".join(said[:30]), " ".join(said[30:])))
    for number in range(rows // 2):
        _, prompt, response = made[number]
        sides = [text.split() for text in (prompt, response)]
        for _ in range(rng.integers(0, 8)):
            side = sides[int(rng.integers(0, 2))]
            side[int(rng.integers(0, len(side)))] = f"new{rng.integers(0, 9999)}"
        made.append((f"b{number}", " ".join(sides[0]), " ".join(sides[1])))
        pairs.append((f"a{number}", f"b{number}"))
    return made, pairs


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
def test_planted_duplicates_are_found_and_nothing_else_is(tmp_path: Path, threshold: float) -> None:
    rows, pairs = pool(3000, seed=3)
    text = {name: pair for name, *pair in rows}
    corpus = corpus_in(tmp_path / "c", rows, per_shard=1000)
    found = goes(decided(corpus, NearDuplicates(threshold=threshold)))
    exact = {
        (one, other): min(text_similarity(text[one][n], text[other][n], 5) for n in (0, 1))
        for one, other in pairs
    }
    planted = {other: first for (first, other), value in exact.items() if value >= threshold}
    assert len(planted) > 200
    assert found.items() <= {other: (f, exact[f, other]) for other, f in planted.items()}.items()
    sure = [o for o, first in planted.items() if exact[first, o] >= max(threshold, 0.8)]
    assert sum(other in found for other in sure) / len(sure) >= 0.99


def test_texts_that_do_not_fit_in_memory_are_read_in_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = pool(300, seed=5)
    corpus = corpus_in(tmp_path / "c", rows, per_shard=50)
    whole = decided(corpus, NearDuplicates())
    monkeypatch.setattr(verification, "HELD_SHINGLES", 800)
    monkeypatch.setattr(shingle_sets, "SHINGLES_AT_ONCE", 100)
    assert decided(corpus, NearDuplicates()) == whole
    assert len(goes(whole)) > 20


def test_the_figures_count_clusters_and_pairs(tmp_path: Path) -> None:
    rows = [(f"r{n}", "q", SAID) for n in range(3)] + [("t", "q", "x"), ("u", "q", "x")]
    method = NearDuplicates()
    corpus, found = measured(corpus_in(tmp_path / "c", rows), method)
    assert method.diagnose(corpus, found) == {
        "clusters": 2,
        "clusters_by_rows": {"2": 1, "3": 1},
        "biggest_clusters": {"r0": 3, "t": 2},
        "duplicates_by_similarity": {"1.00": 3},
        "pairs_compared": 3,
        "pairs_alike": 3,
        "pairs_refused": 0,
    }


def test_another_threshold_hashes_nothing_and_the_page_shows_both_texts(tmp_path: Path) -> None:
    rows = [
        {"id": name, "prompt": "Count <b>to</b> ten.", "completion": text}
        for name, text in [("a", SAID), ("b", f"{SAID} eleven"), ("c", "no")]
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(lines, encoding="utf-8")

    def ran(threshold: float) -> Any:
        recipe = {
            "name": "near",
            "inputs": [{"path": "data.jsonl", "source": "made"}],
            "stages": [{"kind": "near_duplicates", "ngram": 2, "threshold": threshold}],
        }
        return run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs")

    first = ran(0.95)
    assert [stage.scored for stage in first.stages] == [3]
    again = ran(0.9)
    assert [(stage.scored, stage.kept) for stage in again.stages] == [(0, 2)]
    decisions = pq.read_table(again.folder / "decisions.parquet")
    assert not {"minhash.bands", "near_duplicates.stays"} & set(decisions.column_names)
    row = decisions.to_pylist()[1]
    assert (row["reason"], row["match"], row["similarity"]) == ("near_duplicate", "a", 0.9)
    page = report_page(RunRecord(again.folder))
    shown = page.split('<div class="pair">')[1]
    assert "matched with <code>a</code>, similarity 0.9" in shown
    assert f"{SAID} eleven" in shown
    assert f"<pre>{SAID}</pre>" in shown
    assert "<b>to</b>" not in page


def test_the_threshold_is_no_part_of_what_is_measured() -> None:
    same = NearDuplicates(threshold=0.6, prefer="a.b", action="report").scorers()
    assert same == NearDuplicates().scorers() == (MinHash(),)
    assert NearDuplicates(over="prompt").scorers() != same
    with pytest.raises(ValueError, match=r"greater than or equal to 0\.5"):
        NearDuplicates(threshold=0.4)
