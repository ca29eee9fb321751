"""The rows that other tests are about, each of another content and with what it is named for."""

from agent_rows import OPENAI, agent_table, altered, example

from siftline.contracts.examples import calls_of, tools_of


def test_each_row_is_another_and_has_what_its_name_says() -> None:
    table = agent_table()
    assert len(set(table["content_hash"].to_pylist())) == len(table) == len(OPENAI)
    rows = {row["id"]: row for row in table.to_pylist()}
    called = calls_of(rows["null_argument"]["messages"][-1])
    assert called[0]["function"]["arguments"] == {"town": "Lima", "unit": None}
    assert tools_of(rows["null_argument"]["tools"])[0]["function"]["name"] == "weather"
    assert rows["reasons"]["messages"][-1]["reasoning"].startswith("Ten times six")
    assert [turn["weight"] for turn in rows["weighted"]["messages"]] == [None, 0, None, 1]
    assert [row["id"] for row in rows.values() if row["media"]] == ["image_parts", "image_column"]


def test_a_text_that_is_no_object_stays_a_text() -> None:
    def damage(record: dict[str, object]) -> None:
        record["messages"][-1]["tool_calls"][0]["function"]["arguments"] = "{'town'"  # type: ignore[index]

    turn = example(altered("ends_in_call", damage))["messages"][-1]
    assert calls_of(turn)[0]["function"]["arguments"] == "{'town'"
