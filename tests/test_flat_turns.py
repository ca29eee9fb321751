"""The table of turns, beside the same turns by rows."""

import pyarrow as pa

from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.examples import TURN
from siftline.scorers.flat_turns import flat_turns


def _rows(conversations: list[list[dict[str, object]]]) -> pa.Table:
    return pa.Table.from_pylist([{"messages": turns} for turns in conversations], schema=EXAMPLES)


def test_each_turn_is_one_row_with_its_place_and_all_of_its_fields() -> None:
    talk: list[list[dict[str, object]]] = [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0.0}],
        [{"role": "assistant", "content": "", "reasoning": "c", "tool_calls": "[]"}],
        [
            {"role": "system", "content": "d"},
            {"role": "user", "content": "é"},
            {"role": "assistant", "content": "f", "name": "g"},
        ],
    ]
    flat = flat_turns(_rows(talk)).to_pylist()
    wanted = [
        {"row": row, "turn": turn, "last": turn == len(turns) - 1}
        | {field.name: fields.get(field.name) for field in TURN}
        for row, turns in enumerate(talk)
        for turn, fields in enumerate(turns)
    ]
    assert flat == wanted


def test_a_slice_of_a_table_has_the_turns_of_its_own_rows() -> None:
    rows = _rows([[{"role": "assistant", "content": str(n)}] for n in range(5)])
    assert flat_turns(rows.slice(2, 2))["content"].to_pylist() == ["2", "3"]
    assert flat_turns(rows.slice(2, 2))["row"].to_pylist() == [0, 1]


def test_several_chunks_and_none_are_taken() -> None:
    rows = _rows([[{"role": "assistant", "content": str(n)}] for n in range(3)])
    both = pa.concat_tables([rows, rows])
    assert flat_turns(both)["row"].to_pylist() == list(range(6))
    assert len(flat_turns(EXAMPLES.empty_table())) == 0
    assert len(flat_turns(rows.slice(0, 0))) == 0
