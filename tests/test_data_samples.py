"""The sample data is what its generator writes, and its labels are true."""

import gzip
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import generate
import pyarrow.parquet as pq
import pytest
from sample_code import code
from sample_facts import facts

from siftline.contracts.runtime import Runtime
from siftline.pipelines.recipe import load_recipe
from siftline.pipelines.run import RunResult, run

FOLDER = Path(__file__).parent.parent / "data_samples"
Place = tuple[str, int]

CAUGHT_BY = {
    "broken": "00-ingest",
    "refusal": "01-rules",
    "boilerplate": "01-rules",
    "repetition": "01-rules",
    "copied_prompt": "01-rules",
    "empty_response": "01-rules",
    "exact_duplicate": "02-exact_duplicates",
}


def labels() -> dict[Place, dict[str, Any]]:
    lines = (FOLDER / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return {(label["file"], label["row"]): label for label in found}


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run of the stages of the sample recipe that need no model."""
    recipe = load_recipe(FOLDER / "recipe.yaml")
    cheap = recipe.model_copy(update={"stages": recipe.stages[:2], "models": {}})
    return run(cheap, FOLDER, tmp_path_factory.mktemp("runs"), Runtime())


@pytest.fixture(scope="module")
def decisions(cleaned: RunResult) -> dict[Place, dict[str, Any]]:
    table = pq.read_table(cleaned.folder / "decisions.parquet")
    return {(row["file"], row["row"]): row for row in table.to_pylist()}


@pytest.fixture(scope="module")
def responses(cleaned: RunResult) -> dict[Place, str]:
    table = pq.read_table(cleaned.folder / "00-ingest" / "examples")
    rows = table.select(["file", "row", "messages"]).to_pylist()
    return {(row["file"], row["row"]): row["messages"][-1]["content"] for row in rows}


def test_the_generator_writes_the_same_bytes(tmp_path: Path) -> None:
    generate.main(tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    data = ["arithmetic.jsonl", "candidates.jsonl", "code.jsonl.gz", "facts.json"]
    assert written == [*data, "labels.jsonl", "rewriting.csv"]
    for name in written:
        ours, kept = (tmp_path / name).read_bytes(), (FOLDER / name).read_bytes()
        if name.endswith(".gz"):  # releases of zlib may pack the same text in other bytes
            ours, kept = gzip.decompress(ours), gzip.decompress(kept)
        assert ours == kept, f"{name} differs: run 'python data_samples/generate.py'"


def test_no_row_is_lost_and_the_broken_ones_say_why(
    cleaned: RunResult, decisions: dict[Place, dict[str, Any]]
) -> None:
    for source in cleaned.ingest.summary.sources.values():
        assert source.rows == source.examples + sum(source.quarantined.values())
    quarantined = {
        place: row["reason"] for place, row in decisions.items() if row["decision"] == "quarantine"
    }
    assert quarantined == {
        place: label["reason"] for place, label in labels().items() if label["defect"] == "broken"
    }


def test_filters_drop_what_is_planted_and_nothing_else(
    decisions: dict[Place, dict[str, Any]],
) -> None:
    dropped = {place: row["stage"] for place, row in decisions.items() if row["decision"] != "keep"}
    planted = {
        place: CAUGHT_BY[label["defect"]]
        for place, label in labels().items()
        if label["defect"] in CAUGHT_BY
    }
    assert dropped == planted


def test_duplicates_point_at_their_originals(
    decisions: dict[Place, dict[str, Any]], responses: dict[Place, str]
) -> None:
    seen: Counter[str] = Counter()
    for (file, row), label in labels().items():
        if "original" in label:
            seen[label["defect"]] += 1
            assert responses[file, row] == responses[file, label["original"]]
            same_text = (
                decisions[file, row]["signature.text"]
                == decisions[file, label["original"]]["signature.text"]
            )
            assert same_text == (label["defect"] == "exact_duplicate")
    assert seen == {"exact_duplicate": 5, "near_duplicate": 5}


def test_wrong_answers_are_wrong_and_the_others_right(responses: dict[Place, str]) -> None:
    marked, wrong = labels(), 0
    solved = 0
    for (file, row), response in responses.items():
        label = marked.get((file, row), {"defect": ""})
        stated = re.findall(r"The answer is (-?\d+)", response)
        if label["defect"] == "wrong_answer":
            wrong += 1
            assert not stated or stated[-1] != label["right"]
        elif stated and label["defect"] not in ("repetition", "truncated"):
            computed = re.findall(r"= (-?\d+)\b", response.split("The answer is")[0])
            assert not computed or computed[-1] == stated[-1], response
            solved += 1
    assert (wrong, solved > 30) == (11, True)


def test_every_defect_is_planted_often_enough_to_measure() -> None:
    counts = Counter(label["defect"] for label in labels().values())
    assert counts.keys() == {*CAUGHT_BY, "wrong_answer", "truncated", "near_duplicate"}
    assert min(counts.values()) >= 3


def test_code_passes_its_checks_and_facts_hold_their_answers() -> None:
    for item in code(random.Random(1)):
        namespace: dict[str, Any] = {}
        exec(item.response.removeprefix("```python\n").removesuffix("```"), namespace)
        assert eval(item.check, namespace), item.check
    for item in facts(random.Random(1)):
        assert item.answer in item.response
        assert not re.search(rf"\b{re.escape(item.wrong)}\b", item.response)
