"""Masks: everywhere in a row, the same value by the same mark, and never twice."""

import json
import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from personal_values import FOUND
from pydantic import ValidationError

from siftline.filters.masking import masked
from siftline.filters.personal_data import PersonalDataFilter
from siftline.filters.repeated_values import RepeatedValues
from siftline.scorers.personal.finding import find_all
from siftline.scorers.personal.finds import Options
from siftline.scorers.personal.scanning import finds_of
from siftline.scorers.personal.spans import Span

MARK = "[{kind}_{number}]"
ANNA, BOB = "anna.k@uni-jena.de", "bob@acme.io"
VALUES = [each for some in FOUND.values() for each in some]


def scanned(row: dict[str, Any]) -> dict[str, list[Span]]:
    return finds_of(row, lambda text, key: find_all(text, key, Options()))


def mask(row: dict[str, Any], mark: str = MARK) -> dict[str, Any]:
    return masked(row, scanned(row), mark)


def row_of(content: str = "", response: str = "", **fields: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": response}]
    return {"messages": turns, "tools": None, "media": None, "metadata": "{}", **fields}


def texts(row: dict[str, Any]) -> list[str]:
    return [turn["content"] for turn in row["messages"]]


def test_the_same_value_gets_the_same_mark() -> None:
    row = row_of(f"{ANNA} and {BOB}", f"{BOB}, then {ANNA.upper()}; +49 30 901820")
    assert texts(mask(row)) == ["[EMAIL_1] and [EMAIL_2]", "[EMAIL_2], then [EMAIL_1]; [PHONE_1]"]


def test_spellings_of_one_number_are_one() -> None:
    row = row_of("+49 30 901820", "+49-30-901820, 4539 5787 6362 1486 or 4539-5787-6362-1486")
    assert texts(mask(row)) == ["[PHONE_1]", "[PHONE_1], [CARD_1] or [CARD_1]"]


def test_marks_that_are_there_already_are_passed_over() -> None:
    row = row_of(f"As [EMAIL_1] said to {ANNA}", "ok", metadata='{"was": "[EMAIL_2]"}')
    assert texts(mask(row))[0] == "As [EMAIL_1] said to [EMAIL_3]"


def test_calls_results_tools_media_and_metadata_are_masked() -> None:
    calls = [
        {"id": "call_1", "function": {"name": "f", "arguments": {"to": ANNA, BOB: [4158675309]}}}
    ]
    calls[0]["function"]["arguments"]["phone"] = 4158675309  # type: ignore[index]
    row = row_of(ANNA)
    row["messages"].insert(1, {"role": "assistant", "content": "", "tool_calls": json.dumps(calls)})
    row["messages"].insert(2, {"role": "tool", "content": f"sent to {BOB}", "name": BOB})
    row["tools"] = json.dumps([{"name": "f", "description": f"from {BOB}"}])
    row["media"] = json.dumps({"parts": {"0": [{"type": "text", "text": ANNA}]}})
    row["metadata"] = json.dumps({"author": {"mail": "c@acme.io"}})
    new = mask(row)
    assert new["messages"][0]["content"] == "[EMAIL_1]"
    (call,) = json.loads(new["messages"][1]["tool_calls"])
    arguments = {"to": "[EMAIL_1]", "[EMAIL_2]": ["[PHONE_1]"], "phone": "[PHONE_1]"}
    assert call == {"id": "call_1", "function": {"name": "f", "arguments": arguments}}
    assert new["messages"][2] == {
        "role": "tool",
        "content": "sent to [EMAIL_2]",
        "name": "[EMAIL_2]",
    }
    assert json.loads(new["tools"]) == [{"name": "f", "description": "from [EMAIL_2]"}]
    assert json.loads(new["media"]) == {"parts": {"0": [{"type": "text", "text": "[EMAIL_1]"}]}}
    assert json.loads(new["metadata"]) == {"author": {"mail": "[EMAIL_3]"}}


def test_no_member_is_lost_where_two_keys_are_one_value() -> None:
    row = row_of(metadata=json.dumps({BOB: 1, BOB.upper(): 2, ANNA: 3}))
    assert json.loads(mask(row)["metadata"]) == {"[EMAIL_1]": 1, "[EMAIL_1]'": 2, "[EMAIL_2]": 3}


def test_json_without_personal_data_stays_to_the_letter() -> None:
    row = row_of(ANNA, tools='[ {"name":"f"} ]', metadata='{"n": 1.0,"m":1e2}')
    assert (mask(row)["tools"], mask(row)["metadata"]) == (row["tools"], row["metadata"])


def test_spans_that_overlap_get_one_mark() -> None:
    found = {"name": [Span("turn 1 content", 0, 6)], "address": [Span("turn 1 content", 3, 9)]}
    assert texts(masked(row_of("0123456789"), found, MARK))[0] == "[NAME_1]9"


leaves = st.one_of(st.sampled_from(VALUES), st.text(max_size=12), st.integers(), st.booleans())
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.one_of(st.sampled_from(VALUES), st.text(max_size=8)), inner, max_size=3
        )
    ),
    max_leaves=8,
)
spoken = st.lists(st.one_of(st.sampled_from(VALUES), st.text(max_size=20)), max_size=4).map(
    " ; ".join
)


@given(spoken, spoken, trees, trees, st.sampled_from([MARK, "<{kind} no. {number}>"]))
def test_nothing_that_was_found_is_left(
    content: str, response: str, arguments: Any, metadata: Any, mark: str
) -> None:
    row = row_of(content, response, metadata=json.dumps({"m": metadata}))
    calls = json.dumps([{"id": "1", "function": {"name": "f", "arguments": {"a": arguments}}}])
    row["messages"][1]["tool_calls"] = calls
    before = scanned(row)
    new = masked(row, before, mark)
    assert scanned(new) == {}
    assert masked(new, scanned(new), mark) == new
    json.loads(new["metadata"]), json.loads(new["messages"][1]["tool_calls"])
    if not before:
        assert new == row


@pytest.mark.parametrize("value", VALUES)
def test_a_planted_value_is_nowhere(value: str) -> None:
    row = row_of(f"a {value}.", f"({value})", metadata=json.dumps({value: [value], "x": value}))
    row["messages"][0]["reasoning"] = f"so {value}"
    assert value not in json.dumps(mask(row), ensure_ascii=False)


@pytest.mark.parametrize(
    ("told", "value", "again"),
    [
        ("My card {} is lost.", "4539578763621486", "They declined {}."),
        ("Call {} now.", "4158675309", "I rang {}; {}."),
        ("api_key = '{}'", "f8Kd92LsQ0zX7vB3nM1q", "It sends {}, twice."),
        ("The server {} is down.", "5.9.12.3", "So {} is up."),
        ("IBAN {}", "DE02 1203 0000 0000 2020 51", "x DE02120300000000202051"),
        ("Call (415) 867-5309", "(415) 867-5309", "4158675309"),
    ],
)
def test_a_value_that_is_told_once_is_masked_wherever_it_stands(
    told: str, value: str, again: str
) -> None:
    row = row_of(again.format(value, value), told.format(value), metadata=json.dumps([value]))
    made = json.dumps(mask(row))
    bare = "".join(c for c in value if c.isalnum())
    assert value not in made
    assert bare not in made
    assert len(set(re.findall(r"\[[A-Z]+_[0-9]+\]", made))) == 1


def test_a_number_of_a_call_that_is_a_value_elsewhere_is_masked() -> None:
    row = row_of("Call 4158675309.", "Done.")
    row["messages"][1]["tool_calls"] = '[{"id": "c", "arguments": {"n": 4158675309, "m": 41}}]'
    calls = json.loads(mask(row)["messages"][1]["tool_calls"])
    assert calls == [{"id": "c", "arguments": {"n": "[PHONE_1]", "m": 41}}]


def test_what_only_holds_a_value_stays() -> None:
    row = row_of("The server 5.9.12.3 is down.", "x15.9.12.3 5.9.12.3.4 v5.9.12.3a")
    assert texts(mask(row)) == ["The server [IP_1] is down.", row["messages"][1]["content"]]


def test_values_that_stand_again_take_time_in_proportion_to_the_text() -> None:
    values = [("secret", f"sk {n:07}") for n in range(20_000)]
    text = " ".join(value for _, value in values)
    found = list(RepeatedValues(values).places(text))
    assert [text[start:end] for start, end, _ in found] == [value for _, value in values]


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("[gone]", "expected '{kind}' and"),
        ("{kind}", "expected '{kind}' and"),
        ('{kind}{number}"', "quotes"),
        ("{kind}{number}{x}", "braces"),
        ("{kind}{number}\\", "backslashes"),
        ("{kind}{number}@acme.io", "is personal data itself"),
    ],
)
def test_a_mark_that_would_do_harm_is_refused(mark: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told.replace("{", r"\{").replace("}", r"\}")):
        PersonalDataFilter(mark=mark)


def test_names_need_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from siftline.contracts.errors import RecipeError
    from siftline.scorers import personal_names

    monkeypatch.setattr(personal_names, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"pip install 'siftline\[personal\]', or set both"):
        PersonalDataFilter(name="mask").scorers()
    monkeypatch.setattr(
        personal_names, "find_spec", lambda name: None if name.startswith("en") else pa
    )
    with pytest.raises(RecipeError, match="nothing is downloaded: install it"):
        PersonalDataFilter(address="flag").scorers()
