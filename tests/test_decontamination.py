"""Decontamination: leaks are found whatever their form, and common language is none."""

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.errors import InputError
from siftline.contracts.examples import content_hash, prompt_hash
from siftline.contracts.runtime import Runtime
from siftline.filters.decontamination import Decontamination
from siftline.pipelines.job import open_job
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run
from siftline.pipelines.scores.measuring import spread
from siftline.reports import finds
from siftline.reports.shared_passages import Segment, shared_passages
from siftline.reports.write import write_reports

SHEEP = (
    "A farmer had 12 sheep and bought 7 more at the market. How many sheep does she have now, "
    "if 2 of them ran away on the road?"
)
COST = "A ticket costs $1,200. What do the twins pay for two tickets and a bag at 3.5 dollars?"
SOLUTION = "She had 12 and got 7 more, which makes 19, and without the 2 that ran away she has 17."
MUSEUM = "Which of these cities has a museum that is built of glass over an old railway station?"
CAPITAL = "Which one is a capital?"
ITEMS: list[dict[str, Any]] = [
    {"question": SHEEP, "answer": SOLUTION},
    {"question": COST, "answer": "2403.5"},
    {"question": MUSEUM, "options": ["Vienna", "Oslo", "Porto Alegre"], "answer": 1},
    {"question": CAPITAL, "options": ["Buenos Aires", "Rio", "Porto Alegre"], "answer": 0},
    {"question": "What is the capital of France?", "answer": "Paris"},
]
BENCHMARKS = [{"name": "b", "path": "b.jsonl"}]


def turns(prompt: str, response: str = "Good.", **last: Any) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": response, **last},
    ]


LEAKS: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "to the letter": ("exact", turns(SHEEP), "b#1"),
    "case": ("exact", turns(SHEEP.upper()), "b#1"),
    "white space": ("exact", turns(SHEEP.replace(" ", "\n \t")), "b#1"),
    "punctuation": ("exact", turns(re.sub(r"[.,?]", " --", SHEEP)), "b#1"),
    "commas in numbers": (
        "exact",
        turns(COST.replace("$1,200", "1200 USD").replace(" USD", "")),
        "b#2",
    ),
    "numbers as words": ("exact", turns(SHEEP.replace("7", "seven")), "b#1"),
    "wide characters": ("exact", turns(SHEEP.replace("farmer", "\uff46armer")), "b#1"),
    "in a longer prompt": ("exact", turns(f"Answer briefly.\n\nQ: {SHEEP}\nA:"), "b#1"),
    "in the response": ("exact", turns("Ask me something.", f"Gladly: {SHEEP}"), "b#1"),
    "the answer": ("exact", turns("How is it solved?", f"So: {SOLUTION}"), "b#1 answer"),
    "in a thought": ("exact", turns("Hi.", "Yes.", reasoning=f"I recall {SHEEP}"), "b#1"),
    "in a call": (
        "exact",
        turns(
            "Hi.",
            "",
            tool_calls=json.dumps(
                [{"function": {"name": "ask", "arguments": {"q": [SHEEP.replace(" ", "\n")]}}}]
            ),
        ),
        "b#1",
    ),
    "in a result": (
        "exact",
        [{"role": "user", "content": "Hi."}, {"role": "tool", "content": SHEEP}, *turns("x")[1:]],
        "b#1",
    ),
    "in an earlier turn": ("exact", [*turns(SHEEP), *turns("And now?")], "b#1"),
    "a word exchanged": ("ngram", turns(SHEEP.replace("bought", "purchased")), "b#1"),
    "cut short": ("ngram", turns(SHEEP[:95]), "b#1"),
    "options in another order": (
        "options",
        turns(f"{MUSEUM}\nA) Porto Alegre\nB) Vienna\nC) Oslo"),
        "b#3",
    ),
    "options of a short question": (
        "options",
        turns(f"{CAPITAL}\nA) Porto Alegre\nB) Buenos Aires\nC) Rio"),
        "b#4",
    ),
    "options without letters": (
        "options",
        turns(f"Vienna\n{MUSEUM} Porto Alegre, Oslo."),
        "b#3",
    ),
    "without its options": ("exact", turns(MUSEUM), "b#3"),
    "other numbers": (
        "template",
        turns(SHEEP.replace("12", "31").replace("7", "nine").replace("2 of", "1,000 of")),
        "b#1",
    ),
    "other numbers and words": (
        "template",
        turns(SHEEP.replace("12", "31").replace("7", "9").replace("she have", "the man own")),
        "b#1",
    ),
}
CLEAN = {
    "a short question": turns("What is the capital of France?", "Paris."),
    "another short one": turns(CAPITAL, "Rio is none."),
    "some of the options": turns(f"{CAPITAL}\nA) Rio\nB) Porto Alegre\nC) Lima"),
    "a phrase": turns("How many sheep does she have now, and why are there so many at the market?"),
    "html": turns("<script>alert(1)</script>" * 20),
    "nothing": turns("", ""),
    "images": [{"role": "user", "content": ""}, {"role": "assistant", "content": "A cat."}],
}
TIERS = {
    "exact": "contaminated_exact",
    "ngram": "contaminated_ngram",
    "options": "contaminated_options",
    "template": "same_template",
}


def rows_of(talks: dict[str, list[dict[str, Any]]]) -> pa.Table:
    rows = []
    for name, messages in talks.items():
        held: Any = messages
        rows.append(
            {
                "id": name,
                "content_hash": content_hash(held),
                "prompt_id": prompt_hash(held),
                "messages": messages,
                "source": "s",
                "metadata": "{}",
            }
        )
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


def measured(rows: pa.Table, folder: Path, **fields: Any) -> tuple[Decontamination, Corpus]:
    """Return a method and a corpus with what it asks for."""
    method = Decontamination(**{"benchmarks": BENCHMARKS, **fields})
    index = rows.select(["id", "content_hash", "prompt_id", "source", "task", "origin"])
    corpus = Corpus(rows=index, shards=())
    runtime = Runtime(base=folder)
    scored = method.scorers()[0].score(rows, runtime).table.drop_columns(["content_hash"])
    corpus = corpus.with_scores("benchmark_overlap", scored)
    for request in method.follow(corpus):
        some = rows.filter(pa.array(request.rows))
        found = request.scorer.score(some, runtime).table.drop_columns(["content_hash"])
        corpus = corpus.with_scores("contamination", spread(found, request.rows))
    assert not method.follow(corpus)
    return method, corpus


def decided(rows: pa.Table, folder: Path, **fields: Any) -> dict[str, dict[str, Any]]:
    method, corpus = measured(rows, folder, **fields)
    return {row["id"]: row for row in method.decide(corpus).to_pylist()}


def write(folder: Path, items: list[dict[str, Any]], name: str = "b.jsonl") -> None:
    text = "".join(json.dumps(item) + "\n" for item in items)
    (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, ITEMS)
    return tmp_path


@pytest.mark.parametrize("name", sorted(LEAKS))
def test_leaks_are_found(folder: Path, name: str) -> None:
    tier, talk, item = LEAKS[name]
    rows = rows_of({name: talk, **CLEAN})
    method, corpus = measured(rows, folder)
    row = method.decide(corpus).slice(0, 1).to_pylist()[0]
    assert row["reason"] == TIERS[tier]
    assert row["keep"] == (tier == "template")
    assert row["match"] == item
    assert row["similarity"] == 1 or (tier == "ngram" or name.endswith("words"))
    evidence = corpus.scores("contamination").slice(0, 1).to_pylist()[0]
    kind = "template_" if tier == "template" else ""
    held = ITEMS[int(item[2]) - 1]["answer" if "answer" in item else "question"]
    assert held in evidence[f"{kind}text"]
    said = " ".join(str(value) for turn in talk for value in turn.values())
    assert evidence[f"{kind}passage"].split()[0] in said


def test_what_is_common_is_kept(folder: Path) -> None:
    rows = decided(rows_of(CLEAN), folder)
    assert {row["reason"] for row in rows.values()} == {"kept"}
    assert all(row["keep"] and row["match"] is None for row in rows.values())


def test_each_tier_can_be_reported_or_dropped(folder: Path) -> None:
    rows = rows_of({name: talk for name, (_, talk, _) in LEAKS.items()})
    for tier, reason in TIERS.items():
        field = "numbers" if tier == "template" else tier
        for action in ("report", "drop"):
            found = decided(rows, folder, **{field: action}).values()
            of_tier = [row["keep"] for row in found if row["reason"] == reason]
            assert of_tier
            assert set(of_tier) == {action == "report"}


def test_what_drops_a_row_is_its_reason(folder: Path) -> None:
    """A row may have taken one item over, and another with other numbers."""
    both = turns(LEAKS["other numbers"][1][0]["content"], LEAKS["cut short"][1][0]["content"])
    both[1]["content"] = COST
    rows = rows_of({"both": both})
    assert decided(rows, folder)["both"]["reason"] == "contaminated_exact"
    other = decided(rows, folder, exact="report", numbers="drop")["both"]
    assert (other["reason"], other["keep"], other["match"]) == ("same_template", False, "b#1")


def test_an_ngram_that_is_common_in_the_data_is_no_evidence(folder: Path) -> None:
    """The frame of a task is everybody's; what is asked inside of it is the item's own."""
    frame = "Write a function in Python that takes a list of whole numbers and returns"
    write(folder, [{"question": f"{frame} the sum of all even ones."}])
    talks = {f"r{n}": turns(f"{frame} {word}.") for n, word in enumerate("abcdefghijkl")}
    talks["leak"] = turns(f"{frame} the sum of all even ones.")
    talks["edited"] = turns(f"Please: {frame} the sum of all even ones among the first.")
    found = decided(rows_of(talks), folder)
    assert {found[f"r{n}"]["reason"] for n in range(12)} == {"kept"}
    assert found["leak"]["reason"] == "contaminated_exact"
    assert found["edited"]["match"] == "b#1"
    one = decided(rows_of({"r0": talks["r0"]}), folder)
    assert one["r0"]["reason"] == "contaminated_ngram"
    every = decided(rows_of(talks), folder, max_common=None)
    assert every["r0"]["reason"] == "contaminated_ngram"


def test_an_item_that_has_leaked_often_stays_evidence(folder: Path) -> None:
    edited = SHEEP.replace("bought", "purchased")
    talks = {f"r{n}": turns(f"{word}: {edited}") for n, word in enumerate("abcdefgh")}
    assert {row["reason"] for row in decided(rows_of(talks), folder).values()} == {
        "contaminated_ngram"
    }


def test_a_manner_of_the_benchmark_is_no_evidence(folder: Path) -> None:
    manner = "Read the passage below and say which of the statements about it is true:"
    write(folder, [{"question": f"{manner} it is about {'x' * n} alone."} for n in range(1, 13)])
    found = decided(rows_of({"r": turns(f"{manner} something else.")}), folder, max_common=None)
    assert found["r"]["reason"] == "kept"


def test_a_changed_share_is_decided_without_another_look(folder: Path) -> None:
    rows = rows_of({name: talk for name, (_, talk, _) in LEAKS.items()})
    loose, strict = (
        Decontamination(benchmarks=BENCHMARKS, min_share=0.3),
        Decontamination(benchmarks=BENCHMARKS, min_share=0.95),
    )
    assert loose.scorers() == strict.scorers()
    corpus = measured(rows, folder)[1]
    counts = [
        method.decide(corpus)["reason"].to_pylist().count("contaminated_ngram")
        for method in (loose, strict)
    ]
    assert counts[0] >= 2
    assert counts[1] == 0


def made(seed: int, items: int) -> list[str]:
    """Return questions from a few phrases and words, as templates make them."""
    draw = random.Random(seed)
    sounds = ["ka", "lo", "mi", "ru", "te", "sa", "no", "vi"]
    names = ["".join(draw.sample(sounds, 3)) for _ in range(60)]
    things = ["".join(draw.sample(sounds, 2)) for _ in range(60)]
    places = ["market", "school", "library", "garden", "harbour", "station", "museum", "office"]
    verbs = ["sells", "buys", "finds", "loses", "paints", "counts", "carries", "repairs"]
    frames = [
        "{a} {v} {n} {t} at the {p} and gives {m} of them to {b}. How many {t} are left for {a}?",
        "At the {p}, {a} {v} {n} {t} on every day of the week. How many {t} does {a} have after "
        "{m} weeks, if {b} takes a third of them?",
        "{a} and {b} meet near the {p}. One {v} {n} {t}, the other twice as many. How many {t} do "
        "they have together once {m} are broken?",
    ]
    return [
        draw.choice(frames).format(
            a=draw.choice(names),
            b=draw.choice(names),
            t=draw.choice(things),
            p=draw.choice(places),
            v=draw.choice(verbs),
            n=draw.randrange(100, 999),
            m=draw.randrange(11, 99),
        )
        for _ in range(items)
    ]


def test_a_clean_pool_of_the_same_manner_is_kept(tmp_path: Path) -> None:
    write(tmp_path, [{"question": each} for each in made(1, 300)])
    known = {re.sub(r"\d+", "#", each) for each in made(1, 300)}
    fresh = [each for each in made(2, 3000) if re.sub(r"\d+", "#", each) not in known]
    rows = rows_of({f"r{n}": turns(each) for n, each in enumerate(fresh)})
    method, corpus = measured(rows, tmp_path)
    found = method.decide(corpus)["reason"].to_pylist()
    leaks = sum(reason.startswith("contaminated") for reason in found)
    assert leaks <= 0.001 * len(fresh)


def test_the_control_tells_chance_from_leaks(tmp_path: Path) -> None:
    """Texts that are put together from sayings share some of them with long rows by chance."""
    draw = random.Random(5)
    sayings = [" ".join(f"w{draw.randrange(10**6)}" for _ in range(8)) for _ in range(120)]
    questions = [" ".join(draw.sample(sayings, 4)) for _ in range(100)]
    write(tmp_path, [{"question": each} for each in questions])
    edited = [each.replace("7 w", "7 x") for each in questions]
    leaks = {f"l{n}": turns(each) for n, each in enumerate(edited)}
    chance = {f"c{n}": turns(" ".join(draw.sample(sayings, 50))) for n in range(100)}
    for talks, warned in ((leaks, False), (chance, True)):
        method, corpus = measured(rows_of(talks), tmp_path, ngram_words=4, max_common=None)
        figures = method.diagnose(corpus, method.decide(corpus))
        assert figures["control"]["rows_with_a_text_by_ngrams"] > 50
        assert (figures["control"]["rows_with_a_recombined_text"] > 50) == warned
        assert any("may be chance" in each for each in figures["warnings"]) == warned


# Letters that come back as they were from upper case.
letters = st.characters(categories=["Ll", "Nd"], max_codepoint=0x24F).filter(
    lambda letter: letter.title().lower() == letter
)
words = st.lists(st.text(letters, min_size=1, max_size=6), min_size=8, max_size=40)


@given(question=words, before=st.text(max_size=40), after=st.text(max_size=40))
def test_a_planted_question_is_always_found(
    tmp_path_factory: pytest.TempPathFactory, question: list[str], before: str, after: str
) -> None:
    folder = tmp_path_factory.mktemp("b")
    asked = " ".join(question)
    write(folder, [{"question": asked}])
    clean = [text.encode("utf-8", "ignore").decode() for text in (before, after)]
    planted = "; ".join([clean[0], asked.title(), clean[1]])
    found = decided(rows_of({"r": turns(planted)}), folder, min_share=1.0)
    assert found["r"]["match"] == "b#1"


def test_hostile_texts_are_looked_at_and_kept(folder: Path) -> None:
    hostile = {
        "one word": turns("a" * 1_000_000),
        "many words": turns("a, " * 300_000),
        "digits": turns("1,000," * 150_000),
        "ideographs": turns("\u4e2d" * 300_000),
        "almost": turns((SHEEP[:60] + " ") * 5_000),
        "leak": turns("x " * 200_000 + SHEEP),
    }
    found = decided(rows_of(hostile), folder)
    assert found.pop("leak")["match"] == "b#1"
    assert {row["reason"] for row in found.values()} <= {"kept", "contaminated_ngram"}


def test_no_row_and_no_evidence(folder: Path) -> None:
    rows = rows_of(CLEAN)
    assert decided(rows.slice(0, 0), folder) == {}
    method, corpus = measured(rows.slice(5, 1), folder)
    assert "contamination" not in corpus.tables
    decisions = method.decide(corpus)
    assert np.isnan(decisions["similarity"].to_numpy()).all()
    assert method.diagnose(corpus, decisions)["warnings"] == []
    assert method.picture(corpus, decisions) == {}


def recipe(**stage: Any) -> Any:
    data = {
        "name": "r",
        "inputs": [{"path": "data.jsonl", "source": "s"}],
        "stages": [{"kind": "decontamination", "benchmarks": BENCHMARKS, **stage}],
    }
    return parse_recipe(data, "recipe")


def write_data(folder: Path) -> None:
    rows = [{"messages": talk} for _, talk, _ in LEAKS.values() if talk[1]["role"] != "tool"]
    rows += [{"messages": talk} for talk in CLEAN.values() if talk[0]["content"]]
    write(folder, rows, "data.jsonl")


def test_a_benchmark_is_part_of_the_identity(folder: Path) -> None:
    write_data(folder)
    first = run(recipe(), folder, folder / "runs")
    again = run(recipe(min_share=0.9), folder, folder / "runs")
    assert first.stages[0].scored > 0
    assert again.version != first.version
    assert again.stages[0].scored == 0
    before = open_job(recipe(), folder, folder / "runs", Runtime()).version
    write(folder, ITEMS[1:])
    assert open_job(recipe(), folder, folder / "runs", Runtime()).version != before
    third = run(recipe(), folder, folder / "runs")
    assert third.stages[0].scored >= third.stages[0].rows
    assert third.stages[0].kept > first.stages[0].kept


def page_of(folder: Path) -> str:
    version = folder / "runs" / "r" / "latest"
    write_reports(version)
    return (version / "report.html").read_text(encoding="utf-8")


def test_the_report_shows_both_texts_of_every_find(folder: Path) -> None:
    hostile = f"{SHEEP} <script>alert(1)</script> \x1b[31m"
    write(folder, [{"question": hostile}, *ITEMS[1:]])
    talks = [{"messages": turns(f"Q{n}: {hostile}")} for n in range(30)]
    write(folder, [*talks, {"messages": LEAKS["other numbers"][1]}], "data.jsonl")
    run(recipe(), folder, folder / "runs")
    page = page_of(folder)
    assert "<script>" not in page
    assert page.count("<mark>A farmer had 12 sheep") >= 2 * 30
    assert "A sample by chance, to be read: 20" in page
    assert "The others: 11" in page
    assert page.count("<code>b#1</code>") >= 30


def test_finds_beyond_the_page_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finds, "SHOWN", 22)
    talks = [{"messages": turns(f"Q{n}: {SHEEP}")} for n in range(30)]
    write(folder, talks, "data.jsonl")
    run(recipe(exact="report"), folder, folder / "runs")
    page = page_of(folder)
    assert "The others: 2<" in page
    assert "All 30 are in <code>decisions.parquet</code>" in page


def test_what_two_texts_share_is_marked() -> None:
    one, other = shared_passages("Go home now, 12 times!", "go HOME now 13 times", 3)
    assert [each.text for each in one if each.shared] == ["Go home now"]
    assert [each.text for each in other if each.shared] == ["go HOME now"]
    one, _ = shared_passages("Go home now, 12 times!", "go HOME now 13 times", 3, template=True)
    assert [each.text for each in one] == ["Go home now, 12 times", "!"]
    assert shared_passages("", "a", 3) == ([], [Segment("a", shared=False)])


def test_a_benchmark_that_is_not_there(folder: Path) -> None:
    write_data(folder)
    with pytest.raises(InputError, match=r"no\.jsonl' cannot be read: No such file"):
        run(recipe(benchmarks=[{"name": "b", "path": "no.jsonl"}]), folder, folder / "runs")
    benchmarks = [{"name": "b", "path": "b.jsonl", "question": "Q"}]
    with pytest.raises(InputError, match="no field 'Q', which 'question' names"):
        run(recipe(benchmarks=benchmarks), folder, folder / "runs")


def test_names_of_benchmarks_differ() -> None:
    with pytest.raises(ValueError, match="got the name 'b' twice"):
        Decontamination(benchmarks=BENCHMARKS * 2)
