"""Write the sample files and the labels of the defects that are planted in them.

    python data_samples/generate.py [FOLDER]

The same seed gives the same bytes. Every row that `labels.jsonl` does not name is clean.
"""

import csv
import gzip
import io
import itertools
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sample_code import code
from sample_facts import facts
from sample_items import Item, arithmetic, rewriting

SEED = 20_26
Rows = list[Any]  # JSON values, or raw text for a row that is no JSON

REFUSALS = (
    "I'm sorry, but I can't help with that request.",
    "I cannot assist with this question.",
    "Sorry, I am not able to answer that.",
    "I am unable to help you with this task.",
)
BOILERPLATE = (
    "As an AI language model, I do not have personal experiences, but here is what I know. {}",
    "As an AI, I don't have opinions of my own. {} Is there anything else I can help you with?",
)


@dataclass
class Row:
    """One row before it is written: an item, perhaps with a defect planted.

    Attributes:
        item: The clean item.
        response: What is written; the item's own response while it is clean.
        defect: Slug of the defect; empty while it is clean.
        note: What else the label says, such as the right answer.
        origin: Style of a candidate; empty elsewhere.
        raw: Replaces the whole row where it is broken.
    """

    item: Item
    response: str
    defect: str = ""
    note: dict[str, Any] = field(default_factory=dict)
    origin: str = ""
    raw: Any = None


def main(folder: Path = Path(__file__).parent) -> None:
    """Write everything into a folder."""
    rng = random.Random(SEED)
    word_problems = [_row(item) for item in _distinct(arithmetic(rng), 36)]
    questions = [_row(item) for item in facts(rng)]
    rewrites = [_row(item) for item in _distinct(rewriting(rng), 26)]
    programs = [_row(item) for item in code(rng)]
    candidates = _candidates(rng, _distinct(arithmetic(rng), 8), questions[:8])
    questions, programs = questions[8:42], programs[:20]
    for rows, defects in (
        (word_problems, "wrong_answer:4 truncated:2 repetition:1 refusal:1 copied_prompt:1"),
        (questions, "wrong_answer:2 refusal:1 boilerplate:2 empty_response:2 copied_prompt:1"),
        (rewrites, "refusal:1 boilerplate:1 copied_prompt:1 repetition:1"),
        (programs, "truncated:2 refusal:1"),
        (candidates, "wrong_answer:5 truncated:2 repetition:1 refusal:1 empty_response:1"),
    ):
        _plant(rng, rows, defects)
    _repeat(rng, word_problems, 3, "exact_duplicate")
    _repeat(rng, word_problems, 3, "near_duplicate")
    _repeat(rng, rewrites, 2, "exact_duplicate")
    _repeat(rng, rewrites, 2, "near_duplicate")
    _break(rng, word_problems, _BROKEN_LINES)
    _break(rng, questions, _BROKEN_ALPACA)
    _break(rng, programs, _BROKEN_CHATS)
    _write(folder, word_problems, questions, rewrites, programs, candidates)


def _row(item: Item, origin: str = "", response: str | None = None) -> Row:
    return Row(item, item.response if response is None else response, origin=origin)


def _distinct(items: Any, count: int) -> list[Item]:
    """Take items until so many have different prompts."""
    chosen: dict[str, Item] = {}
    while len(chosen) < count:
        item = next(items)
        chosen.setdefault(item.prompt, item)
    return list(chosen.values())


def _candidates(rng: random.Random, problems: list[Item], questions: list[Row]) -> list[Row]:
    """Return three to five right responses of different style for each prompt."""
    rows = []
    for item in [*problems, *(row.item for row in questions)]:
        last = item.response.split(". ")[-1].rstrip(".")
        styles = {
            "worked": item.response,
            "terse": item.answer,
            "chatty": f"Great question! Let us see, it is simpler than it may look. {last}. "
            "I hope that this helps, and do ask when anything is unclear!",
            "formal": f"In response to the question posed: {last}.",
            "marked": f"**Answer:** {item.answer}",
        }
        for style in rng.sample(list(styles), rng.randint(3, 5)):
            rows.append(_row(item, style, styles[style]))
    return rows


def _plant(rng: random.Random, rows: list[Row], defects: str) -> None:
    """Give some clean rows a defect each, as many as `slug:count slug:count` says."""
    for slug, _, count in (entry.partition(":") for entry in defects.split()):
        fits = [row for row in rows if not row.defect and _DEFECTS[slug](rng, row) is not None]
        for row in rng.sample(fits, int(count)):
            response = _DEFECTS[slug](rng, row)
            assert response is not None
            if slug == "wrong_answer":
                row.note = {"right": row.item.answer}
            row.response, row.defect = response, slug


def _wrong(rng: random.Random, row: Row) -> str | None:
    """Put the wrong answer in the place of the right one, where it stands last."""
    before, found, after = row.response.rpartition(row.item.answer)
    if not found or not row.item.wrong or row.item.answer in before.split("The answer is")[-1]:
        return None
    return before + row.item.wrong + after


def _truncated(rng: random.Random, row: Row) -> str | None:
    words = row.response.split(" ")
    if len(words) < 12:
        return None
    return " ".join(words[: rng.randint(len(words) // 2, len(words) - 4)])


def _repeating(rng: random.Random, row: Row) -> str | None:
    words = row.response.split()
    phrase = " ".join(words[:6])
    return " ".join([row.response] + [phrase] * rng.randint(10, 16)) if len(words) > 5 else None


_DEFECTS: dict[str, Callable[[random.Random, Row], str | None]] = {
    "wrong_answer": _wrong,
    "truncated": _truncated,
    "repetition": _repeating,
    "refusal": lambda rng, row: rng.choice(REFUSALS),
    "boilerplate": lambda rng, row: rng.choice(BOILERPLATE).format(row.response),
    "empty_response": lambda rng, row: "",
    "copied_prompt": lambda rng, row: row.item.prompt,
}


def _repeat(rng: random.Random, rows: list[Row], count: int, defect: str) -> None:
    """Repeat some clean rows further down, to the letter or with a small edit."""
    clean = [n for n, row in enumerate(rows) if not row.defect and "original" not in row.note]
    for number in rng.sample(clean, count):
        original = rows[number]
        item, response = original.item, original.response
        if defect == "near_duplicate":
            prompt = rng.choice(["Please help. {}", "{} Thank you!", "Question: {}"])
            item = Item(prompt.format(item.prompt), response, item.task, item.answer)
        rows.append(Row(item, response, defect, {"original": original}))


Broken = list[tuple[str, Callable[[str, str], Any]]]


def _break(rng: random.Random, rows: list[Row], broken: Broken) -> None:
    """Insert rows that cannot be read."""
    for reason, build in broken:
        item = rng.choice([row.item for row in rows if not row.defect])
        row = Row(item, item.response, "broken", {"reason": reason})
        row.raw = build(item.prompt, item.response)
        rows.insert(rng.randint(1, len(rows)), row)


def _chat(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": said, "value": text} for said, text in turns]}


# Reason for quarantine, and the row made of a prompt `p` and a response `r`.
_BROKEN_LINES: Broken = [
    ("invalid_json", lambda p, r: json.dumps({"question": p})[:-1] + ', "ans'),
    ("invalid_utf8", lambda p, r: b'{"question": "Caf\xe9?", "answer": "Yes."}'),
    ("lone_surrogate", lambda p, r: {"question": p, "answer": "\ud83d " + r}),
    ("missing_field", lambda p, r: {"question": p}),
]
_BROKEN_ALPACA: Broken = [
    ("empty_prompt", lambda p, r: {"instruction": " ", "output": r}),
    ("wrong_type", lambda p, r: {"instruction": p, "output": {"x": 1}}),
    ("missing_field", lambda p, r: {"instruction": p, "output": None}),
    ("not_an_object", lambda p, r: p),
]
_BROKEN_CHATS: Broken = [
    ("no_assistant_turn", lambda p, r: _chat(("human", p))),
    ("wrong_role_order", lambda p, r: _chat(("gpt", r), ("human", p))),
]


def _write(
    folder: Path,
    word_problems: list[Row],
    questions: list[Row],
    rewrites: list[Row],
    programs: list[Row],
    candidates: list[Row],
) -> None:
    """Write each file in its shape and container, and the labels of all."""
    (folder / "arithmetic.jsonl").write_bytes(
        _lines(word_problems, lambda row: {"question": row.item.prompt, "answer": row.response})
    )
    alpaca = [row.raw if row.raw is not None else _alpaca(row) for row in questions]
    text = json.dumps(alpaca, indent=1, ensure_ascii=False)
    (folder / "facts.json").write_text(text + "\n", encoding="utf-8")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["prompt", "completion", "task"])
    writer.writerows([row.item.prompt, row.response, row.item.task] for row in rewrites)
    (folder / "rewriting.csv").write_text(table.getvalue(), encoding="utf-8")
    with (folder / "code.jsonl.gz").open("wb") as file:
        file.write(gzip.compress(_lines(programs, _conversation), mtime=0))
    (folder / "candidates.jsonl").write_bytes(
        _lines(candidates, lambda row: {**_alpaca(row), "generator": row.origin})
    )
    files = {
        "arithmetic.jsonl": word_problems,
        "facts.json": questions,
        "rewriting.csv": rewrites,
        "code.jsonl.gz": programs,
        "candidates.jsonl": candidates,
    }
    labels = itertools.chain.from_iterable(_labels(*entry) for entry in files.items())
    lines = "".join(json.dumps(label, ensure_ascii=False) + "\n" for label in labels)
    (folder / "labels.jsonl").write_text(lines, encoding="utf-8")


def _alpaca(row: Row) -> dict[str, str]:
    return {
        "instruction": row.item.prompt,
        "input": "",
        "output": row.response,
        "category": row.item.task,
    }


def _conversation(row: Row) -> dict[str, Any]:
    """Some programs come with a system turn, some after a first question."""
    turns = [("human", row.item.prompt), ("gpt", row.response)]
    if row.item.prompt.startswith("I need"):
        if len(row.item.prompt) % 2:
            turns = [("human", "Do you know Python?"), ("gpt", "Yes. What shall I write?"), *turns]
        else:
            turns = [("system", "You write short Python functions."), *turns]
    return {**_chat(*turns), "task": row.item.task}


def _lines(rows: list[Row], shape: Callable[[Row], Any]) -> bytes:
    pieces = []
    for row in rows:
        value = row.raw if row.raw is not None else shape(row)
        if isinstance(value, bytes):
            pieces.append(value)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            pieces.append(text.encode())
    return b"\n".join(pieces) + b"\n"


def _labels(name: str, rows: list[Row]) -> list[dict[str, Any]]:
    numbers = {id(row): number for number, row in enumerate(rows, start=1)}
    labels = []
    for row in rows:
        if row.defect:
            note = dict(row.note)
            if "original" in note:
                note["original"] = numbers[id(note["original"])]
            labels.append({"file": name, "row": numbers[id(row)], "defect": row.defect, **note})
    return labels


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
