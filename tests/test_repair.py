"""What a recipe lets be repaired: nothing by itself, and counted where it is done."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from records import A, S, T, U, chat, noted, refused
from rich.console import Console

from siftline.contracts.errors import RecipeError
from siftline.pipelines.ingestion.ingest import SourceIngest, ingest
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.remarks import remarks
from siftline.pipelines.ingestion.repair import Repair, remedy
from siftline.pipelines.ingestion.values import BadRecordError
from siftline.pipelines.planning import plan
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.plan_display import plan_tables
from siftline.reports.write import write_reports
from siftline.result_display import print_result

CALL = {"name": "f", "arguments": {}}
EVERYTHING = {"leading_assistant": "drop", "trailing_user": "drop", "same_role": "merge"}


@pytest.mark.parametrize(
    ("roles", "repair", "left"),
    [
        ([A, U, A], {"leading_assistant": "drop"}, [U, A]),
        ([S, A, A, U, A], {"leading_assistant": "drop"}, [S, U, A]),
        ([A, T, U, A], {"leading_assistant": "drop"}, [U, A]),
        ([U, A, U], {"trailing_user": "drop"}, [U, A]),
        ([U, A, U, U], {"trailing_user": "drop"}, [U, A]),
        ([U, U, A], {"same_role": "merge"}, [U, A]),
        ([U, A, A], {"same_role": "merge"}, [U, A]),
        ([A, U, U, A, U], EVERYTHING, [U, A]),
    ],
)
def test_orders_that_can_be_repaired(
    roles: list[str], repair: dict[str, str], left: list[str]
) -> None:
    (draft,), notes = noted(chat(*roles), repair=repair)
    assert [message["role"] for message in draft.messages] == left
    assert notes == [f"repaired {name}" for name in sorted(repair)]


@pytest.mark.parametrize(
    ("roles", "remedy"),
    [
        ([A, U, A], "`repair: {leading_assistant: drop}` would drop it"),
        ([U, A, U], "`repair: {trailing_user: drop}` would drop it"),
        ([U, U, A], "`repair: {same_role: merge}` would merge it"),
    ],
)
def test_reasons_name_the_remedy_and_the_others_do_not_help(roles: list[str], remedy: str) -> None:
    assert remedy in refused(chat(*roles))[1]
    others = {name: way for name, way in EVERYTHING.items() if f"{name}:" not in remedy}
    assert remedy in refused(chat(*roles), repair=others)[1]


@pytest.mark.parametrize("roles", [[U, A], [S, U, A], [U, A, T, A], [U, A, U, A]])
def test_rows_in_order_are_not_touched(roles: list[str]) -> None:
    (draft,), notes = noted(chat(*roles), repair=EVERYTHING)
    assert [message["role"] for message in draft.messages] == roles
    assert notes == []


@pytest.mark.parametrize("roles", [[U, S, A], [U, T, A], [U, A, T], [A], [A, U], [U, A, S, U, A]])
def test_what_no_repair_mends_stays_in_quarantine(roles: list[str]) -> None:
    reason, detail = refused(chat(*roles), repair=EVERYTHING)
    assert reason in ("wrong_role_order", "no_assistant_turn")
    assert "repair" not in detail


def test_merged_turns_lose_nothing() -> None:
    said = [
        {"role": U, "content": "one", "mood": "calm"},
        {"role": U, "content": [{"type": "image", "image": "x.png"}], "mood": "glad"},
        {"role": A, "content": "two", "reasoning": "t"},
        {"role": A, "tool_calls": [CALL]},
    ]
    (draft,), _ = noted({"messages": said}, repair={"same_role": "merge"})
    user, assistant = draft.messages
    assert (user["content"], assistant["content"]) == ("one", "two")
    assert (assistant.get("reasoning"), bool(assistant.get("tool_calls"))) == ("t", True)
    assert draft.media == (
        '{"parts": {"0": [{"type": "text", "text": "one"}, {"type": "image", "image": "x.png"}]}}'
    )
    assert draft.metadata == '{"turn_mood": [["calm", "glad"], null]}'


@pytest.mark.parametrize(
    "second",
    [
        {"role": A, "content": "x", "weight": 0},
        {"role": A, "content": "x", "name": "other"},
        {"role": A, "content": "x", "reasoning": "later"},
    ],
)
def test_turns_that_one_turn_cannot_hold_are_not_merged(second: dict[str, Any]) -> None:
    said = [{"role": U, "content": "q"}, {"role": A, "content": "y"}, second]
    (draft,), notes = noted({"messages": said}, repair={"same_role": "merge"})
    assert (len(draft.messages), notes) == (3, [])
    said = [
        {"role": U, "content": "q"},
        {"role": A, "tool_calls": [CALL]},
        {**second, "weight": None},
    ]
    assert len(noted({"messages": said}, repair={"same_role": "merge"})[0][0].messages) == 3


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"question": "q", "answer": 4}, "4"),
        ({"question": "q", "answer": True}, "true"),
        ({"question": "q", "answer": 3.14}, "3.14"),
        ({"prompt": "q", "responses": [1, "b"]}, "1"),
        ({"messages": [{"role": U, "content": 3}, {"role": A, "content": 4}]}, "4"),
        ({"prompt": 2, "chosen": 4, "rejected": 5}, "4"),
    ],
)
def test_numbers_become_texts(record: dict[str, Any], text: str) -> None:
    reason, detail = refused(record)
    assert reason == "wrong_type"
    assert "`repair: {scalars: text}` would take it for one" in detail
    drafts, notes = noted(record, repair={"scalars": "text"})
    assert drafts[0].messages[-1]["content"] == text
    assert notes == ["repaired scalars"]


@given(st.lists(st.sampled_from([S, U, A, T]), max_size=7), st.booleans(), st.booleans())
def test_any_order_is_legal_once_it_is_used(roles: list[str], drop: bool, merge: bool) -> None:
    said = [{"role": role, "content": f"<{n}>"} for n, role in enumerate(roles)]
    repair: dict[str, str] = {"leading_assistant": "drop", "trailing_user": "drop"} if drop else {}
    repair |= {"same_role": "merge"} if merge else {}
    try:
        (draft,), notes = noted({"messages": said}, repair=repair)
    except BadRecordError:
        return
    left = [message["role"] for message in draft.messages]
    asked = [role for role in left if role != S]
    assert left[: len(left) - len(asked)] == [S] * (len(left) - len(asked))
    assert (asked[0], asked[-1]) == (U, A)
    pairs = set(itertools.pairwise(asked))
    assert not pairs & {(U, U), (U, T)}
    assert not merge or (A, A) not in pairs
    text = "".join(message["content"] for message in draft.messages)
    kept = [number for number in range(len(roles)) if f"<{number}>" in text]
    assert kept == sorted(kept)
    assert len(kept) == len(roles) or {*notes} & {f"repaired {name}" for name in repair}
    assert notes or left == roles


def test_what_was_repaired_and_skipped_is_counted(tmp_path: Path) -> None:
    rows = [
        '{"question": "q", "answer": 4, "id": [1]}',
        '{"question": "q", "answer": "a"}',
        '{"question": 5, "answers": [6, null]}',
        '{"question": "q", "answer": {"none": 1}}',
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(rows), encoding="utf-8")
    item = Input(path="d.jsonl", source="s", repair={"scalars": "text"})
    read = ingest(
        [item],
        tmp_path,
        tmp_path,
        max_bad_rows=0.5,
        max_row_bytes=1000,
        shard_rows=10,
    )
    assert read.sources["s"] == SourceIngest(
        files=1,
        rows=4,
        used=3,
        examples=3,
        quarantined={"wrong_type": 1},
        repaired={"scalars": 2},
        skipped={"id": 1, "null_response": 1},
    )


def test_a_repair_that_there_is_not_is_an_error_of_the_recipe() -> None:
    for repair in ({"trailing_usr": "drop"}, {"trailing_user": "merge"}):
        recipe = {"name": "n", "inputs": [{"path": "x.jsonl", "repair": repair}], "stages": []}
        with pytest.raises(RecipeError, match="trailing_us"):
            parse_recipe(recipe, "recipe")


def test_what_could_be_repaired_is_told(tmp_path: Path) -> None:
    rows = [chat(A, U, A), chat(U, A, U), chat(U, A), {"question": "q", "answer": 4}]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    read = ingest(
        [Input(path="d.jsonl", source="s")],
        tmp_path,
        tmp_path,
        max_bad_rows=1,
        max_row_bytes=1000,
        shard_rows=10,
    )
    assert read.sources["s"].repairable == {
        "leading_assistant": 1,
        "scalars": 1,
        "trailing_user": 1,
    }
    (said,) = remarks(read)
    assert said.startswith("s: rows in quarantine that could be used: `repair: {leading_assistant")
    for field in read.sources["s"].repairable:
        way = remedy(field).removeprefix("`repair: ").removesuffix("`")
        assert Repair.model_validate(yaml.safe_load(way)) != Repair()


def test_repairs_are_told_wherever_rows_are_counted(tmp_path: Path) -> None:
    rows = '{"question": "q", "answer": 4, "id": [1]}\n{"question": "p", "answer": "a"}\n'
    (tmp_path / "d.jsonl").write_text(rows, encoding="utf-8")
    recipe = {
        "name": "mended",
        "inputs": [{"path": "d.jsonl", "source": "s", "repair": {"scalars": "text"}}],
        "stages": [],
    }
    parsed = parse_recipe(recipe, "recipe")
    planned = plan(parsed, tmp_path, tmp_path / "runs")
    result = run(parsed, tmp_path, tmp_path / "runs")
    write_reports(result.folder)
    out = Console(width=200, record=True, file=io.StringIO())
    for line in plan_tables(planned):
        out.print(line)
    shown_of_plan = out.export_text()
    print_result(result, out)
    told = {
        "plan": shown_of_plan,
        "result": out.export_text(),
        "page": (result.folder / "report.html").read_text(encoding="utf-8"),
        "card": (result.folder / "curated" / "README.md").read_text(encoding="utf-8"),
    }
    for place, text in told.items():
        assert "s: rows used once they were repaired: scalars 1." in text, place
        assert "s: left out of rows that are used: 1 ids that are no text or number." in text, place


def test_a_repair_makes_another_version(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"question": "q", "answer": "a"}', encoding="utf-8")
    names = []
    for repair in ({}, {"scalars": "text"}, {}):
        recipe = {"name": "n", "inputs": [{"path": "d.jsonl", "repair": repair}], "stages": []}
        names.append(run(parse_recipe(recipe, "recipe"), tmp_path, tmp_path / "runs").version)
    assert names == ["v0001", "v0002", "v0001"]
