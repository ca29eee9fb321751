"""Tests of code execution: what is taken from an answer and from a row, and what passes."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from sandboxes import QUICK, RIGHT, SHIFT, WRONG, needs_sandbox

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.parquet import write_table
from siftline.scorers.judges.execution import (
    Execution,
    Program,
    code_of,
    digest_of_tests,
    passing,
    stated_tests,
)

BLOCKS = """Install it:
```bash
pip install nothing
```
First try:
```python
a = 1
```
Better:
  ```Python
  a = 2
  if a:
      a = 3
  ```
It prints
```
3
```
"""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SHIFT, SHIFT.strip("\n")),
        (f"Here:\n```python\n{SHIFT}```\nDone.", SHIFT),
        (f"Here:\r\n```py\r\n{SHIFT}```\r\n", SHIFT),
        ("```\na = 1\n```\nor\n```\na = 2\n```", "a = 2\n"),
        (BLOCKS, "a = 2\nif a:\n    a = 3\n"),  # the last that says Python
        ("[BEGIN]\na = 1\n[DONE]\n```\n1\n```", "a = 1"),
        ("[[BEGIN]]\n```python\na = 1\n```\n[[DONE]]", "a = 1\n"),
        ("[BEGIN] a = 1 [DONE] again [BEGIN]\na = 2\n[DONE]", "a = 2"),
        ("```sql\nselect 1\n```", "```sql\nselect 1\n```"),  # which compiles as little as prose
        ("```python\na = 1", "```python\na = 1"),
        ("", ""),
        ("```python\n```", ""),
    ],
)
def test_the_code_of_an_answer(text: str, code: str) -> None:
    assert code_of(text) == code


@given(st.text(alphabet="ab \n[]BEGINDO#='", max_size=60), st.text(alphabet="ab \n", max_size=9))
def test_what_is_fenced_is_found_whatever_is_around(code: str, around: str) -> None:
    assume("DONE" not in code)
    text = f"{around}\n```python\n{code}\n```\n{around}"
    assert code_of(text) == textwrap.dedent(f"{code}\n")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["assert a", "assert b"], ("assert a", "assert b")),
        ("assert a", ("assert a",)),
        (["assert a", "  "], ("assert a",)),
        ([], ()),
        (" ", ()),
        (None, ()),
        ({"inputs": [1]}, ()),
        (["assert a", 1], ()),
    ],
)
def test_the_tests_of_a_row(value: Any, found: tuple[str, ...]) -> None:
    assert stated_tests(json.dumps({"tests": value}), "tests") == found
    assert stated_tests(json.dumps({"tests": value}), "other") == ()


def test_execution_must_be_allowed_in_words() -> None:
    for stated in ({}, {"allow_execution": False}):
        with pytest.raises(
            ValidationError, match=r"got no leave to; state 'allow_execution: true'"
        ):
            Execution.model_validate({"tests": "tests", **stated})
    assert Execution(tests="tests", allow_execution=True).role is None


def corpus_on_disk(folder: Path, rows: list[tuple[str, list[str]]]) -> Corpus:
    """Write rows of a hash and its tests, in one shard."""
    names = [name for name in EXAMPLES.names if name not in ("content_hash", "metadata")]
    values: dict[str, Any] = dict.fromkeys(names)
    records = [
        {**values, "id": str(n), "content_hash": key, "metadata": json.dumps({"tests": tests})}
        for n, (key, tests) in enumerate(rows)
    ]
    folder.mkdir()
    write_table(pa.Table.from_pylist(records, schema=EXAMPLES), folder / "00000.parquet")
    return Corpus.open(folder)


def test_a_digest_changes_with_the_tests_and_not_with_the_order(tmp_path: Path) -> None:
    rows = [("a", ["assert f(1)"]), ("b", ["assert f(2)"]), ("c", [])]
    mended = [("a", ["assert f(1)"]), ("b", ["assert f(3)"]), ("c", [])]

    def digest(name: str, rows: list[tuple[str, list[str]]], chosen: str, key: str) -> str:
        corpus = corpus_on_disk(tmp_path / name, rows)
        mask = pc.is_in(corpus.rows["content_hash"], pa.array(list(chosen)))
        return digest_of_tests(corpus, mask.to_numpy(), key)

    first = digest("1", rows, "abc", "tests")
    assert digest("2", rows[::-1], "abc", "tests") == first
    assert digest("3", mended, "abc", "tests") != first
    assert digest("4", rows, "abc", "other") != first
    assert digest("5", rows, "ac", "tests") == digest("6", mended, "ac", "tests") != first


@needs_sandbox
def test_programs_are_told_apart() -> None:
    programs = [
        Program(SHIFT, RIGHT),
        Program(WRONG, RIGHT),
        Program(SHIFT, RIGHT[:1]),
        Program(WRONG, ("assert shift(1) == 3",)),
        Program(SHIFT, RIGHT),
        Program("", RIGHT),
        Program("Sure! Add one to n.", RIGHT),
        Program("def shift(n):\n    return 2 if n == 1 else 7", RIGHT),  # the second test fails
        Program(SHIFT, (*RIGHT, "assert shift(1) ==")),
        Program(f"{SHIFT}\0", RIGHT),
    ]
    expected = [True, False, True, True, True, False, False, False, False, False]
    assert passing(QUICK, programs) == expected
