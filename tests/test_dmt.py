"""Tests of `dmt`: who is replayed, by hand, and the two splits of a whole run."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from corpora import corpus_of, kept, reasons, statistics, take

from siftline.contracts.corpus import VERDICTS, Corpus
from siftline.contracts.errors import RecipeError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import RunResult, run
from siftline.selectors.dmt import Dmt


def pool(math: int, code: int, chat: int) -> Corpus:
    """Return rows of three sources, with a length each."""
    source = ["math"] * math + ["code"] * code + ["chat"] * chat
    lengths = [10 if name == "chat" else 100 for name in source]
    names = [f"p{n}" for n in range(len(source))]
    return corpus_of(names, source=source, tables={"statistics": statistics(lengths)})


def splits(dmt: Dmt, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    table = dmt.derive(corpus)["splits"]
    return table["stage1"].to_numpy(), table["stage2"].to_numpy()


SPECIAL = ("math", "code")


def test_the_default_by_hand() -> None:
    # 600 specialised rows at 1/256: 2.3, rounded up.
    corpus = pool(500, 100, 50)
    dmt = Dmt(specialised=SPECIAL)
    first, second = splits(dmt, corpus)
    assert first.tolist() == [True] * 600 + [False] * 50
    assert second[600:].all()
    replayed = first & second
    assert (replayed[:500].sum(), replayed[500:600].sum()) == (2, 1)
    found = reasons(dmt.decide(corpus))
    assert [sum(r == name for r in found.values()) for name in ("replayed", "specialised")] == [
        3,
        597,
    ]
    assert len(kept(corpus, dmt.decide(corpus))) == 650


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [("1/256", 1), (0.1, 2), ("10%", 2), ("1/3", 4), (0.25, 3), (1, 12), ("1", 12), (0, 0)],
)
def test_fractions_are_exact_and_at_least_one_row(fraction: Any, expected: int) -> None:
    dmt = Dmt(specialised=SPECIAL, fraction=fraction)
    first, second = splits(dmt, pool(8, 4, 3))
    assert (first & second).sum() == expected
    assert Dmt.model_validate(dmt.model_dump(mode="json")) == dmt


@pytest.mark.parametrize("fraction", [-0.1, 1.5, "2", "half", "1/0", True, None, "nan", "110%"])
def test_no_fraction(fraction: Any) -> None:
    stage = {"kind": "dmt", "specialised": ["a"], "fraction": fraction}
    with pytest.raises(
        RecipeError, match=r"stages\[0\].fraction: got .*; expected a share from 0 to 1"
    ):
        parse_recipe({"name": "r", "inputs": [{"path": "a"}], "stages": [stage]}, "r")


def test_a_small_specialised_source_is_replayed_too() -> None:
    first, second = splits(Dmt(specialised=SPECIAL, fraction="1%"), pool(297, 3, 1))
    assert (first & second)[297:300].sum() == 1
    assert (first & second).sum() == 3


def test_tasks_and_sources_can_be_named_together() -> None:
    corpus = corpus_of(
        list("abcd"),
        source=["math", "chat", "chat", "chat"],
        task=[None, "code", "talk", None],
        tables={"statistics": statistics([1, 1, 1, 1])},
    )
    first, _ = splits(Dmt(specialised=("math", "code")), corpus)
    assert first.tolist() == [True, True, False, False]


def test_a_name_that_was_never_read() -> None:
    with pytest.raises(RecipeError, match=r"dmt.specialised: .*'maths' was read.*'math'"):
        Dmt(specialised=("maths",)).decide(pool(2, 2, 2))


def test_the_report_has_rows_and_characters_and_what_is_in_common() -> None:
    corpus = corpus_of(
        ["same", "p1", "p2", "same", "p4", "p5"],
        source=["math", "math", "math", "chat", "chat", "chat"],
        content_hash=["h0", "h1", "h2", "h0", "h4", "h5"],
        tables={"statistics": statistics([90, 90, 90, 10, 10, 10])},
    )
    dmt = Dmt(specialised=("math",), fraction=1)
    found = dmt.diagnose(corpus, dmt.decide(corpus))
    assert found["sizes"]["stage1"] == {"rows": 3, "response_chars": 270}
    assert found["sizes"]["stage2"] == {"rows": 6, "response_chars": 300}
    assert found["replayed_share_of_stage2"] == {"rows": 0.5, "response_chars": 0.9}
    assert found["general_rows_with_a_specialised_prompt"] == 1
    assert found["replayed_rows_that_are_general_too"] == 1
    assert found["by_source_and_task"]["math / not stated"]["replayed"] == 3
    assert found["warnings"] == []


def test_one_sided_data_are_told() -> None:
    for corpus in (pool(3, 0, 0), pool(0, 0, 3)):
        names = tuple(set(corpus.rows["source"].to_pylist()) - {"chat"}) or ("chat",)
        dmt = Dmt(specialised=names)
        found = dmt.diagnose(corpus, dmt.decide(corpus))
        assert found["warnings"] == [
            "No row is left for the general part of stage2; the two stages are one."
        ]


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_the_contract_of_selectors(rows: int) -> None:
    corpus = pool(rows - rows // 2, 0, rows // 2)
    dmt = Dmt(specialised=("math",), fraction=0.3)
    decided = dmt.decide(corpus)
    assert decided.schema == VERDICTS
    shuffled = take(corpus, list(np.random.default_rng(3).permutation(rows)))
    assert reasons(decided) == reasons(dmt.decide(shuffled))
    other = Dmt(specialised=("math",), fraction=0.3, seed=1)
    assert rows < 30 or reasons(decided) != reasons(other.decide(corpus))


def curate(folder: Path, stages: list[dict[str, Any]], **changes: Any) -> RunResult:
    """Run stages on 40 rows of mathematics and 400 of chat."""
    for name, count in (("math", 40), ("chat", 400)):
        rows = [{"question": f"{name} {n}?", "answer": "word " * (1 + n % 7)} for n in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    data = {
        "name": "two",
        "inputs": [{"path": "math.jsonl"}, {"path": "chat.jsonl"}],
        "models": {"toy": {"name": "builtin:toy"}},
        "stages": stages,
        **changes,
    }
    return run(parse_recipe(data, "r.yaml"), folder, folder / "runs", Runtime(shard_rows=64))


DMT = {"kind": "dmt", "specialised": ["math"], "fraction": "50%", "model": "toy"}


def test_two_splits_with_their_order(tmp_path: Path) -> None:
    done = curate(tmp_path, [DMT])
    curated = done.folder / "curated"
    assert done.export.rows == 40 + 400 + 20
    first, second = (
        datasets.load_dataset(str(curated), split=split, cache_dir=str(tmp_path / "hf"))
        for split in ("stage1", "stage2")
    )
    assert set(first["source"]) == {"math"}
    assert (len(first), len(second)) == (40, 420)
    replayed = [row["id"] for row in second if row["source"] == "math"]
    assert set(replayed) < set(first["id"])
    order = json.loads((curated / "training_order.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in order["splits"]] == ["stage1", "stage2"]
    assert [each["rows"] for each in order["splits"]] == [40, 420]
    chars = sum(len(row["messages"][-1]["content"].strip()) for row in second)
    assert order["splits"][1]["response_chars"] == chars
    assert order["splits"][1]["response_tokens"] == sum(
        1 + len(row["messages"][-1]["content"]) for row in second
    )
    assert order["overlap"]["ids"] == 20
    assert order["overlap"]["share_of_stage1"] == 0.5
    assert order["overlap"]["share_of_stage2"] == round(20 / 420, 6)
    decisions = pq.read_table(done.folder / "decisions.parquet").to_pylist()
    both = [row["id"] for row in decisions if row["splits.stage1"] and row["splits.stage2"]]
    assert sorted(both) == sorted(replayed)
    card = (curated / "README.md").read_text(encoding="utf-8")
    assert "split: stage2\n    path: data/stage2-*.parquet" in card
    assert "20 rows are in both. Train on the splits in this order" in card
    assert "split: train" not in card


def test_the_replay_is_spread_through_stage_2(tmp_path: Path) -> None:
    done = curate(tmp_path, [DMT])
    table = pq.read_table(done.folder / "curated" / "data" / "stage2-00000-of-00001.parquet")
    sources = table["source"].to_pylist()
    places = [place for place, source in enumerate(sources) if source == "math"]
    halves = [sum(place < 210 for place in places), sum(place >= 210 for place in places)]
    assert min(halves) >= 5  # of 20; fewer happens once in 170 seeds, by chance
    assert max(np.diff([0, *places, 420])) < 150
    questions = [turns[0]["content"] for turns in table["messages"].to_pylist()]
    chat = [text for text, source in zip(questions, sources, strict=True) if source == "chat"]
    assert chat == [f"chat {n}?" for n in range(400)]  # in the order of the input
    math = [text for text, source in zip(questions, sources, strict=True) if source == "math"]
    assert math != sorted(math, key=lambda text: int(text[5:-1]))


def test_an_order_holds_inside_each_split_but_for_the_replay(tmp_path: Path) -> None:
    done = curate(tmp_path, [DMT], output={"order_by": "statistics.response_chars"})
    for split, name in (("stage1", "math"), ("stage2", "chat")):
        table = pq.read_table(done.folder / "curated" / "data" / f"{split}-00000-of-00001.parquet")
        lengths = [
            len(row["messages"][-1]["content"].strip())
            for row in table.to_pylist()
            if row["source"] == name
        ]
        assert lengths == sorted(lengths)


def test_a_mixture_before_repeats_rows_in_the_splits(tmp_path: Path) -> None:
    mix = {"kind": "mix", "budget": 160, "weights": {"math": 0.5}, "max_epochs": 2}
    done = curate(tmp_path, [mix, DMT])
    first, second = (
        pq.read_table(done.folder / "curated" / name).to_pylist() for name in done.export.files
    )
    assert len(first) == 80
    assert sorted(row["repeat"] for row in first) == [0] * 40 + [1] * 40
    assert sum(row["source"] == "math" for row in second) == 2 * 20
    assert sum(row["source"] == "chat" for row in second) == 80
    found = done.stages[1].diagnosis
    assert (found["sizes"]["stage1"]["rows"], found["sizes"]["replayed"]["rows"]) == (80, 40)


def test_a_split_without_rows_is_left_out(tmp_path: Path) -> None:
    everything = {**DMT, "specialised": ["math", "chat"], "fraction": 0}
    done = curate(tmp_path, [everything])
    curated = done.folder / "curated"
    data = datasets.load_dataset(str(curated), cache_dir=str(tmp_path / "hf"))
    assert {name: len(split) for name, split in data.items()} == {"stage1": 440}
    order = json.loads((curated / "training_order.json").read_text(encoding="utf-8"))
    assert order["note"] == "The other split has no rows."
    assert "The other split" in (curated / "README.md").read_text(encoding="utf-8")


def test_no_rows_at_all_leave_an_empty_file(tmp_path: Path) -> None:
    done = curate(tmp_path, [{"kind": "rules", "max_chars": 1}, DMT])
    assert done.export.rows == 0
    assert [
        pq.read_table(done.folder / "curated" / name).num_rows for name in done.export.files
    ] == [0]
