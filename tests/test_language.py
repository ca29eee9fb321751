"""Tests of `language`: which rows are wanted, and what is said of the others."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from corpora import corpus_of, kept, reasons

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError
from siftline.filters.language import Language
from siftline.pipelines.recipe import parse_recipe
from siftline.scorers.languages import LANGUAGES

# language, prompt, response, words: English, German, a translation, unknown, code, no words
ROWS: Sequence[tuple[str | None, str | None, str | None, bool]] = [
    ("en", "en", "en", True),
    ("de", "de", "de", True),
    ("fr", "en", "fr", True),
    (None, "en", None, True),
    ("en", "en", None, True),
    (None, None, None, False),
]


def corpus() -> Corpus:
    rows = [
        {
            "language": language,
            "prompt": prompt,
            "response": response,
            "words": words,
            "mismatch": prompt != response if prompt and response else None,
            "turns_differ": prompt != response if prompt and response else None,
        }
        for language, prompt, response, words in ROWS
    ]
    table = pa.Table.from_pylist(rows, schema=LANGUAGES.remove(0))
    turns = {name: pa.array([1, 0, 2, 1, 0, 0], pa.int32()) for name in ("asked", "agreed")}
    turns["overruled"] = pa.array([0] * 6, pa.int32())
    tables = {"language": table, "turn_languages": pa.table(turns)}
    return corpus_of([*"abcdef"], source=[*"sssttt"], tables=tables)


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({}, "012345"),
        ({"keep": ["en", "de"]}, "01345"),
        ({"keep": ["en"]}, "0345"),
        ({"drop": ["en"]}, "1235"),
        ({"keep": ["en"], "other_language": "report"}, "012345"),
        ({"undetermined": "drop"}, "01245"),
        ({"wordless": "drop"}, "01234"),
        ({"mismatch": "drop"}, "01345"),
        ({"keep": ["fr"], "undetermined": "drop", "wordless": "drop"}, "2"),
    ],
)
def test_rows_that_are_kept(fields: dict[str, Any], left: str) -> None:
    decided = Language(**fields).decide(corpus())
    assert kept(corpus(), decided) == {f"r{number}" for number in left}


def test_reasons_in_their_order() -> None:
    assert list(reasons(Language().decide(corpus())).values()) == [
        "kept",
        "kept",
        "language_mismatch",
        "undetermined_language",
        "kept",
        "kept",
    ]
    reported = Language(keep=("en",), other_language="report", wordless="report")
    assert list(reasons(reported.decide(corpus())).values()) == [
        "kept",
        "other_language",
        "other_language",
        "undetermined_language",
        "kept",
        "no_language",
    ]
    # What drops a row is told before what is merely reported.
    dropped = Language(keep=("en",), other_language="report", mismatch="drop").decide(corpus())
    assert reasons(dropped)["r2"] == "language_mismatch"
    silent = Language(mismatch="keep", undetermined="keep").decide(corpus())
    assert set(reasons(silent).values()) == {"kept"}


def test_the_report_counts_languages_and_what_differs() -> None:
    language = Language(mismatch="drop")
    found = language.diagnose(corpus(), language.decide(corpus()))
    assert found["rows_by_language"] == {"en": 2, "not stated": 2, "de": 1, "fr": 1}
    assert found["rows_by_source_and_language"] == {
        "s": {"de": 1, "en": 1, "fr": 1},
        "t": {"not stated": 2, "en": 1},
    }
    assert found["rows_by_prompt_and_response"] == {"en > fr": 1}
    assert found["rows_whose_turns_differ"] == 1
    assert found["rows_found"] == {
        "other_language": 0,
        "undetermined_language": 1,
        "no_language": 1,
        "language_mismatch": 1,
    }
    assert found["turns_that_lingua_was_asked"] == {"asked": 4, "agreed": 4, "overruled": 0}
    assert found["warnings"] == [
        "1 of 6 rows are undetermined_language and kept; 'undetermined: drop' leaves such rows "
        "out, and 'undetermined: keep' says no more of them."
    ]
    assert language.picture(corpus(), language.decide(corpus())) == {
        "reported": {"undetermined_language": ["r3"]}
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keep": ["english"]}, "got 'english'; expected the code of a language, such as 'en'"),
        ({"keep": []}, "stages[0].keep"),
        ({"keep": ["en"], "drop": ["de"]}, "drop: got 'keep' too; expected one of them."),
        ({"drop": ["zh-cn"]}, "got 'zh-cn'"),
        ({"mismatch": "no"}, "stages[0].mismatch"),
        ({"languages": ["en", "gl"]}, "got 'gl'; expected a language that lingua knows"),
        ({"languages": ["en"]}, "languages"),
        ({"min_certainty": 2}, "stages[0].min_certainty"),
    ],
)
def test_mistakes_that_the_recipe_shows(fields: dict[str, Any], message: str) -> None:
    data = {"name": "r", "inputs": [{"path": "a"}], "stages": [{"kind": "language", **fields}]}
    with pytest.raises(RecipeError) as caught:
        parse_recipe(data, "r.yaml")
    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value)
