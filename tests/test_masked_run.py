"""Whole runs that mask: what was masked is nowhere but where it was ingested."""

import json
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
from scripted import said, stand_in

from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime, Usage
from siftline.models.generation import Generations
from siftline.models.toy import ToyLanguageModel
from siftline.pipelines.output.again import export_again
from siftline.pipelines.output.formats.known import FormatName, Layout
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import RunResult, run
from siftline.reports.page import report_page
from siftline.reports.write import write_reports

MAILS = [f"person{n}.k@uni-jena.de" for n in range(4)]
BOB = "bob@acme.io"
KEY, CARD = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "4539 5787 6362 1486"
SECRETS = (*MAILS, KEY, CARD)
PERSONAL = {"kind": "personal_data", "credit_card": "drop"}


def plain(n: int, question: str, answer: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"r{n}", "prompt": question, "completion": answer, **fields}


def rows() -> list[dict[str, Any]]:
    asked = [
        plain(0, f"Who is {MAILS[0]}?", f"{MAILS[0]} is Ann."),
        plain(1, "Log in, please.", f"Use {KEY} for that."),
        plain(2, "Pay, please.", f"With {CARD}, then."),
        plain(3, "What is said here?", "Nothing of note.", author=MAILS[1]),
        plain(4, "How much is 4 and 5?", "It is 9."),
        plain(5, f"Write to {MAILS[2]} and {MAILS[3]}.", "Done."),
    ]
    return asked + [plain(n, f"How much is {n} and {n}?", f"It is {2 * n}.") for n in range(6, 14)]


def agent() -> dict[str, Any]:
    call = {
        "type": "function",
        "id": "c1",
        "function": {"name": "f", "arguments": {"to": MAILS[0]}},
    }
    offered = {"type": "function", "function": {"name": "f", "description": f"Ask {MAILS[1]}."}}
    turns = [
        {"role": "user", "content": f"Write to {MAILS[0]}."},
        {"role": "assistant", "content": "", "reasoning_content": MAILS[0], "tool_calls": [call]},
        {"role": "tool", "content": f"sent to {MAILS[0]}", "tool_call_id": "c1"},
        {"role": "assistant", "content": f"{MAILS[0]} has it."},
    ]
    return {"id": "agent", "messages": turns, "tools": [offered]}


def go(folder: Path, stages: list[dict[str, Any]], records: list[dict[str, Any]]) -> RunResult:
    text = "".join(json.dumps(row) + "\n" for row in records)
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    recipe = {
        "name": "masked",
        "inputs": [{"path": "data.jsonl", "source": "s"}],
        "models": {"m": {"name": "builtin:toy"}},
        "stages": stages,
    }
    runtime = Runtime(device="cpu", shard_rows=3)
    return run(parse_recipe(recipe, "recipe"), folder, folder / "runs", runtime)


def texts_in(folder: Path, spare: str = "00-ingest") -> str:
    """Return everything in the files of a folder as text, Parquet decoded."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and spare not in path.parts:
            if path.suffix == ".parquet":
                found.append(json.dumps(pq.read_table(path).to_pylist(), default=str))
            else:
                found.append(path.read_text(encoding="utf-8"))
    return "\n".join(found)


def decisions(result: RunResult) -> dict[str, dict[str, Any]]:
    table = pq.read_table(result.folder / "decisions.parquet").to_pylist()
    return {row["id"]: row for row in table}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    stages: list[dict[str, Any]] = [
        PERSONAL,
        {"kind": "structure"},
        {"kind": "exact_duplicates"},
        {"kind": "grape", "model": "m", "k": 1},
        {"kind": "random", "budget": "100%"},
    ]
    made = go(tmp_path_factory.mktemp("masked"), stages, [*rows(), agent()])
    write_reports(made.folder)
    return made


def test_what_was_masked_is_in_no_file_but_those_of_ingestion(result: RunResult) -> None:
    everything = texts_in(result.folder)
    assert [each for each in SECRETS if each in everything] == []
    assert all(each in texts_in(result.folder / "00-ingest", spare="-") for each in SECRETS)
    assert "[EMAIL_1]" in everything


def test_every_masked_row_is_decided_as_masked(result: RunResult) -> None:
    made = decisions(result)
    masked = {row_id for row_id, row in made.items() if row["decision"] == "mask"}
    assert masked == {"r0", "r1", "r3", "r5", "agent"}
    assert {made[row_id]["stage"] for row_id in masked} == {"01-personal_data"}
    assert (made["r1"]["reason"], made["r0"]["reason"]) == ("secret", "email")
    dropped = made["r2"]
    assert (dropped["decision"], dropped["reason"]) == ("drop", "credit_card")
    assert made["r0"]["personal_data.email"] == "turn 1 content 7-28; turn 2 content 0-21"
    assert made["r3"]["personal_metadata.email"] == "metadata 2 0-21"
    assert made["r4"]["decision"] == "keep"


def test_the_funnel_adds_up(result: RunResult) -> None:
    stage = result.stages[0]
    assert (stage.rows, stage.kept, stage.masked, stage.revised) == (15, 14, 5, 0)
    figures = stage.diagnosis
    assert (figures["rows_masked"], figures["rows_dropped"]) == (5, 1)
    assert figures["rows_by_source"] == {"s": {"secret": 1, "email": 4, "credit_card": 1}}
    assert figures["finds_by_kind"]["email"] == 11
    assert sum(stage.reasons_kept.values()) + sum(stage.reasons_dropped.values()) == 15
    assert result.export.masked == 5


def test_later_stages_see_the_masked_rows(result: RunResult) -> None:
    record = RunRecord(result.folder)
    ids = {"r0": "Who is [EMAIL_1]?", "r5": "Write to [EMAIL_1] and [EMAIL_2]."}
    for stage in range(len(record.stages)):
        for row_id, row in record.examples({stage: list(ids)})[stage].items():
            assert row["messages"][0]["content"] == ids[row_id]
    page = report_page(record)
    assert "Examples of what was masked" in page
    assert "Who is [EMAIL_1]?" in page
    assert "With [CARD_1], then." in page  # and so is what was dropped


def test_the_dataset_holds_the_masked_rows(result: RunResult) -> None:
    table = pq.read_table(result.folder / "curated" / "data").to_pylist()
    made = {row["id"]: row for row in table}
    (call,) = (json.loads(each) for each in made["agent"]["messages"][1]["tool_calls"])
    assert call["function"]["arguments"] == {"to": "[EMAIL_1]"}
    assert call["id"] == "c1"
    assert made["agent"]["messages"][2]["content"] == "sent to [EMAIL_1]"
    assert json.loads(made["agent"]["tools"][0])["function"]["description"] == "Ask [EMAIL_2]."
    assert json.loads(made["r3"]["metadata"]) == {"author": "[EMAIL_1]"}
    assert "original_response" not in made["r0"]
    read = pq.read_table(result.folder / "00-ingest" / "examples").to_pylist()
    before = {row["id"]: row["prompt_id"] for row in read}
    assert made["r0"]["prompt_id"] != before["r0"]
    assert made["r3"]["prompt_id"] == before["r3"]
    card = (result.folder / "curated" / "README.md").read_text(encoding="utf-8")
    assert "5 rows have marks in the place of personal data" in card


@pytest.mark.parametrize("name", get_args(FormatName))
def test_every_format_is_written_from_the_masked_rows(tmp_path: Path, name: FormatName) -> None:
    made = go(tmp_path, [PERSONAL], rows())
    export_again(made.folder, Layout(format=name, reasoning="field"), tmp_path / "again")
    everything = texts_in(tmp_path / "again")
    assert [each for each in SECRETS if each in everything] == []
    assert "[EMAIL_2]" in everything


def test_a_changed_action_is_decided_again_without_scanning(tmp_path: Path) -> None:
    first = go(tmp_path, [PERSONAL], rows())
    assert first.scored > 0
    second = go(tmp_path, [{**PERSONAL, "email": "drop", "secret": "flag"}], rows())
    assert second.scored == 0
    made = decisions(second)
    assert [made[row]["decision"] for row in ("r0", "r1", "r3", "r4")] == [
        "drop",
        "keep",
        "drop",
        "keep",
    ]
    assert (
        second.stages[0]
        .warnings[0]
        .startswith("Rows with personal data are kept as they are: secret 1.")
    )
    page = report_page(RunRecord(second.folder))
    assert [each for each in SECRETS if each in page] == []  # what is flagged is not shown either
    data = texts_in(second.folder / "curated")
    assert [each for each in SECRETS if each in data] == [KEY]


def test_a_run_that_masks_twice_ends_with_the_same_bytes(tmp_path: Path) -> None:
    once = go(tmp_path, [PERSONAL], rows())
    twice = go(tmp_path, [PERSONAL, {**PERSONAL, "phone": "drop"}], rows())
    assert twice.stages[1].masked == 0
    tables = [pq.read_table(each.folder / "curated" / "data") for each in (once, twice)]
    assert tables[0].equals(tables[1])


class Answering(ToyLanguageModel):
    """The toy, whose answers to questions are right and speak of a person."""

    def generate(self, prompts: Any, sampling: Any, **options: Any) -> Generations:
        options["on_batch"](len(prompts), 0)
        return Generations([said(f"{BOB} knows.\n#### 12") for _ in prompts], Usage(1, 1))


@pytest.mark.parametrize("order", ["before", "after"])
def test_corrections_and_masks_go_together(
    tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, ModelSpec(name="builtin:toy"), Answering())
    corrects: dict[str, Any] = {
        "kind": "s3ft",
        "model": "m",
        "judge": {"kind": "numeric"},
        "template": "plain",
    }
    stages: list[dict[str, Any]] = [PERSONAL, corrects]
    stages = stages if order == "before" else stages[::-1]
    records = [
        plain(n, f"How much is {n} and 12?", f"{MAILS[0]} knows.\n#### 12") for n in range(2)
    ]
    made = go(tmp_path, stages, records)
    row = pq.read_table(made.folder / "curated" / "data").to_pylist()[0]
    if order == "before":
        assert decisions(made)["r0"]["decision"] == "correct"
        assert row["original_response"] == "[EMAIL_1] knows.\n#### 12"
        assert MAILS[0] not in texts_in(made.folder)
    else:
        assert decisions(made)["r0"]["decision"] == "mask"
        assert row["messages"][-1]["content"] == "[EMAIL_1] knows.\n#### 12"
        assert "original_response" not in row
        seen = texts_in(made.folder / "curated") + texts_in(made.folder / "02-personal_data")
        seen += report_page(RunRecord(made.folder))
        assert not any(mail in seen for mail in (*MAILS, BOB))


def test_a_response_that_was_replaced_is_not_exported_with_what_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clean(Answering):
        def generate(self, prompts: Any, sampling: Any, **options: Any) -> Generations:
            options["on_batch"](len(prompts), 0)
            return Generations([said("I say it is 12.") for _ in prompts], Usage(1, 1))

    stand_in(monkeypatch, ModelSpec(name="builtin:toy"), Clean())
    corrects: dict[str, Any] = {
        "kind": "s3ft",
        "model": "m",
        "judge": {"kind": "numeric"},
        "template": "plain",
    }
    records = [
        plain(0, "How much is 6 and 6?", f"{MAILS[0]} knows.\n#### 12"),
        plain(1, "How much is 7 and 5?", "Let us see. It is 12."),
    ]
    made = go(tmp_path, [corrects, PERSONAL], records)
    assert {row["decision"] for row in decisions(made).values()} == {"mask", "correct"}
    table = pq.read_table(made.folder / "curated" / "data").to_pylist()
    assert [row["original_response"] for row in table] == [None, "Let us see. It is 12."]
    assert MAILS[0] not in report_page(RunRecord(made.folder))


def test_ids_that_hold_personal_data_are_said(tmp_path: Path) -> None:
    made = go(tmp_path, [PERSONAL], [{**rows()[4], "id": MAILS[0]}, *rows()[6:]])
    manifest = json.loads((made.folder / "01-personal_data" / "manifest.json").read_text("utf-8"))
    (warning,) = manifest["warnings"]
    assert "The ids of 1 rows hold personal data" in warning
