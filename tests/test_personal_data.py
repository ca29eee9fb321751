"""What personal data is found, by kind, and what only looks like it."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from personal_values import FOUND, IN_CONTEXT, NOTHING

from siftline.contracts.examples import MESSAGES
from siftline.contracts.runtime import Runtime
from siftline.scorers.personal.finding import find_all, with_signs
from siftline.scorers.personal.finds import PATTERN_KINDS, Options
from siftline.scorers.personal.keys import entropy
from siftline.scorers.personal.spans import Span, spans_of, written
from siftline.scorers.personal_data import PersonalData

PLAIN = Options()


def found(text: str, key: str = "", options: Options = PLAIN) -> dict[str, list[str]]:
    finds = find_all(text, key, options)
    return {kind: [text[each.start : each.end] for each in some] for kind, some in finds.items()}


@pytest.mark.parametrize(("kind", "value"), [(k, each) for k in FOUND for each in FOUND[k]])
def test_a_value_is_found_alone_and_in_a_sentence(kind: str, value: str) -> None:
    assert found(value) == {kind: [value]}
    assert found(f"Ask Bob ({value}), he knows.") == {kind: [value]}
    assert found(f"It is {value}.\nReally.") == {kind: [value]}


@pytest.mark.parametrize(
    ("kind", "text", "value"), [(k, *each) for k in IN_CONTEXT for each in IN_CONTEXT[k]]
)
def test_what_stands_around_a_value_may_tell_its_kind(kind: str, text: str, value: str) -> None:
    assert found(text) == {kind: [value]}


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert found(text) == {}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "user@example.com"),
        ("ip", "192.0.2.55"),
        ("phone", "(415) 555-0123"),
        ("credit_card", "4111 1111 1111 1111"),
        ("iban", "GB82 WEST 1234 5698 7654 32"),
        ("secret", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_placeholders_are_found_on_request(kind: str, text: str) -> None:
    assert found(text) == {}
    assert found(text, options=Options(placeholders=True)) == {kind: [text]}


MAIL = "anna.k@uni-jena.de"


@pytest.mark.parametrize(
    "text",
    [
        "mail\u00a0{}\u00a0now",
        "\u201c{}\u201d",
        "{}\u2019s",
        "{}.\x1b[31m",
        "\x00{}\x00",
        "\u2014{}\u2026",
        "\u200b{}\u200b",
        "\u8bf7\u5199\u4fe1\u7ed9{}\u3002",
        "\u8bf7\u5199\u4fe1\u7ed9{}\u8c22\u8c22",
        "\u30e1\u30fc\u30eb\u306f{}\u3067\u3059",
    ],
)
def test_an_address_ends_where_punctuation_of_any_script_does(text: str) -> None:
    assert found(text.format(MAIL)) == {"email": [MAIL]}


@pytest.mark.parametrize(
    ("kind", "before", "value"),
    [
        ("credit_card", "", "4539\u00a05787\u00a06362\u00a01486"),
        ("credit_card", "", "4539\u20115787\u20116362\u20111486"),
        ("iban", "IBAN ", "DE02\u00a01203\u00a00000\u00a00000\u00a02020\u00a051"),
        ("phone", "tel\u202f", "+49\u202f30\u202f901820"),
        ("phone", "phone: ", "+49\u201330\u2013901820"),
        ("phone", "\u7535\u8bdd", "+49 30 901820"),
        ("ip", "IP\uff1a", "84.12.7.201"),
        ("credit_card", "card ", "".join(chr(0xFEE0 + ord(c)) for c in "4539578763621486")),
    ],
)
def test_numbers_count_in_any_typography(kind: str, before: str, value: str) -> None:
    text = f"{before}{value}\u3002"
    assert found(text) == {kind: [value]}
    assert with_signs(pa.array([text])).to_pylist() == [True]


def test_addresses_of_private_networks_are_found_on_request() -> None:
    assert found("192.168.0.77", options=Options(local_ips=True)) == {"ip": ["192.168.0.77"]}
    assert found("127.0.0.1", options=Options(local_ips=True)) == {}


def test_national_numbers_are_those_of_the_regions() -> None:
    spanish = "tel. 912 345 678"
    assert found(spanish) == {}
    assert found(spanish, options=Options(regions=("ES",))) == {"phone": ["912 345 678"]}
    assert found("+34 912 345 678") == {"phone": ["+34 912 345 678"]}


def test_the_key_of_a_value_is_read_as_words_before_it() -> None:
    assert found("4158675309") == {}
    assert found("4158675309", "phone") == {"phone": ["4158675309"]}
    assert found("4539578763621486", "card_number") == {"credit_card": ["4539578763621486"]}
    assert found("f8Kd92LsQ0zX7vB3nM1q") == {}
    assert found("f8Kd92LsQ0zX7vB3nM1q", "client_secret") == {"secret": ["f8Kd92LsQ0zX7vB3nM1q"]}


def test_checksums_by_hand() -> None:
    # 4539 5787 6362 1486: doubled from the right 8 5+4 ..., the sum of the digits is 80.
    digits = [int(c) for c in "4539578763621486"]
    doubled = [d * 2 if n % 2 == 0 else d for n, d in enumerate(digits)]
    assert sum(d // 10 + d % 10 for d in doubled) == 80
    assert found("4539 5787 6362 1487") == {}
    # DE02 ...: the account, DE as 13 14, and 02 make a number that leaves 1 by 97.
    assert int("120300000000202051" + "1314" + "02") % 97 == 1
    assert found("DE02 1203 0000 0000 2020 52") == {}
    assert [entropy(text) for text in ("aabb", "abcd", "")] == [1, 2, 0]


def test_tokens_and_keys_are_what_they_hold() -> None:
    header, payload = "eyJhbGciOiJSUzI1NiJ9", "eyJpc3MiOiJhY21lIiwiaWF0IjoxN30"  # alg: RS256
    token = f"{header}.{payload}.kQ3vB8nZ1xC5mL7pW9sD2fG4hJ6"
    assert found(f"jwt {token} end") == {"secret": [token]}
    assert found(token.replace(header, "eyJub3BlIjoiUlMyNTYifQ")) == {}  # says no algorithm
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4/M2bS1"
    key = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    assert found(f"the key:\n{key}\n") == {"secret": [key]}
    assert found("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----") == {}


def test_a_number_of_an_account_is_no_telephone_s() -> None:
    assert list(found("Pay to DE02 1203 0000 0000 2020 51 or call")) == ["iban"]


@given(st.sampled_from([each for some in FOUND.values() for each in some]), st.text(max_size=30))
def test_whatever_is_found_has_a_sign(value: str, around: str) -> None:
    """Or the columns would be passed over that hold it."""
    text = f"{around} {value} {around}"
    assert with_signs(pa.array([text, None, "clean"])).to_pylist() == [True, False, False]


def rows(**columns: object) -> pa.Table:
    turns = [
        {"role": "user", "content": "I am anna.k@uni-jena.de, call +49 30 901820."},
        {
            "role": "assistant",
            "content": "",
            "reasoning": "Mail anna.k@uni-jena.de",
            "tool_calls": '[{"id": "bob@acme.io", "function": {"name": "send", "arguments": '
            '{"to": ["anna.k@uni-jena.de"], "bob@acme.io": 1, "phone": 4158675309}}}]',
        },
        {"role": "tool", "content": "sent", "tool_call_id": "bob@acme.io"},
        {"role": "assistant", "content": "Done."},
    ]
    clean = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    return pa.table(
        {
            "content_hash": ["a", "b"],
            "messages": pa.array([turns, clean], MESSAGES),
            "tools": pa.array(
                ['[{"name": "send", "description": "From \\u0062ob@acme.io"}]', None]
            ),
            "media": pa.array([None, '{"images": ["ssh://x", "85.214.132.117"]}'], pa.string()),
        }
    )


def test_the_scorer_names_places_and_holds_no_text() -> None:
    table = PersonalData().score(rows(), Runtime()).table
    assert table.column_names == ["content_hash", *PATTERN_KINDS]
    assert table["email"].to_pylist() == [
        "turn 1 content 5-23; turn 2 reasoning 5-23; turn 2 calls 6 0-18; turn 2 calls 7 0-11; "
        "tools 4 5-16",
        None,
    ]
    assert table["phone"].to_pylist() == ["turn 1 content 30-43; turn 2 calls 9 0-10", None]
    assert table["ip"].to_pylist() == [None, "media 3 0-14"]
    assert table["iban"].to_pylist() == table["secret"].to_pylist() == [None, None]


def test_an_image_in_letters_is_not_read() -> None:
    image = "data:image/png;base64," + "A" * 40
    column = pa.array([f'{{"images": ["{image}", "data: bob@acme.io"]}}', None], pa.string())
    table = PersonalData().score(rows().set_column(3, "media", column), Runtime()).table
    assert table["email"].to_pylist()[0].endswith("; media 3 6-17")


@given(
    st.lists(
        st.builds(Span, st.sampled_from(["turn 1 content", "tools 12"]), *[st.integers(0)] * 2)
    )
)
def test_places_are_read_as_they_were_written(spans: list[Span]) -> None:
    assert list(spans_of(written(spans))) == spans
