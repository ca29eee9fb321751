"""Find personal data in rows that are made with it, beside the patterns of presidio.

    python benchmarks/personal_data.py --out benchmarks/results/personal_data.json \
        --peer venv/bin/python

presidio lives in an environment of its own: `pip install presidio-analyzer`. Chats, code, sums and
calls of tools are made from templates, each with a value of a kind, or with one that only looks
like it. A find counts where it overlaps the value; what is found elsewhere is false. Clean rows are
timed by themselves.
"""

import argparse
import json
import platform
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from siftline.contracts.examples import MESSAGES
from siftline.contracts.runtime import Runtime
from siftline.scorers.personal.finding import find_all
from siftline.scorers.personal.finds import PATTERN_KINDS, Options
from siftline.scorers.personal_data import PersonalData

AROUND = (
    "Please write to {} about the order, it is late.",
    "My details: {}\nThanks a lot for the help!",
    'def send():\n    return deliver(to="{}", retries=3)',
    '{{"function": {{"name": "lookup", "arguments": {{"value": "{}", "limit": 10}}}}}}',
    "The result says ({}), which nobody had expected.",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HEX = "0123456789abcdef"
KEYED = LETTERS + LETTERS.upper() + "0123456789"


class Row(NamedTuple):
    """A text with at most one planted value: its kind, and where it stands."""

    text: str
    kind: str | None
    start: int
    end: int


def some(draw: random.Random, letters: str, count: int) -> str:
    """Draw some letters."""
    return "".join(draw.choice(letters) for _ in range(count))


def email(draw: random.Random) -> str:
    """Make an e-mail address."""
    name, host = some(draw, LETTERS, 6), some(draw, LETTERS, 7)
    return f"{name}.{some(draw, LETTERS, 4)}{draw.choice(('', '7', '+x'))}@{host}.{draw.choice(('com', 'de', 'co.uk', 'io'))}"  # noqa: E501


def phone(draw: random.Random) -> str:
    """Make a telephone number."""
    line = draw.randint(1000, 9999)
    forms = (
        f"+1 212-{draw.randint(220, 499)}-{line}",
        f"({draw.choice((212, 312, 415, 617))}) {draw.randint(220, 499)}-{line}",
        f"+49 30 {draw.randint(200000, 999999)}",
        f"+44 20 7{draw.randint(100, 899)} {line}",
        f"020 7{draw.randint(100, 899)} {line}",
        f"+33 1 4{draw.randint(0, 9)} {draw.randint(10, 99)} {draw.randint(10, 99)} {draw.randint(10, 99)}",  # noqa: E501
    )
    return draw.choice(forms)


def ip(draw: random.Random) -> str:
    """Make an IP address."""
    if draw.random() < 0.3:
        return (
            f"2a01:4f8:{draw.randint(100, 999)}:{draw.randint(1000, 9999)}::{draw.randint(2, 99)}"
        )
    parts = (draw.choice((46, 78, 91, 185)), *(draw.randint(1, 254) for _ in range(3)))
    return ".".join(map(str, parts))


def iban(draw: random.Random) -> str:
    """Make an IBAN with its checksum."""
    account = some(draw, "0123456789", 18)
    check = 98 - int(account + "131400") % 97
    whole = f"DE{check:02d}{account}"
    if draw.random() < 0.5:
        return whole
    return " ".join(whole[n : n + 4] for n in range(0, len(whole), 4))


def credit_card(draw: random.Random) -> str:
    """Make the number of a card, right by Luhn."""
    digits = draw.choice(("4", "52", "6011")) + some(draw, "0123456789", 15)
    digits = digits[:15]
    total = sum(sum(divmod(int(d) * (2 - n % 2), 10)) for n, d in enumerate(digits))
    whole = digits + str(-total % 10)
    return draw.choice((" ", "-")).join(whole[n : n + 4] for n in range(0, 16, 4))


def secret(draw: random.Random) -> str:
    """Make a key or a token."""
    forms = (
        lambda: f"ghp_{some(draw, KEYED, 36)}",
        lambda: f"sk-proj-{some(draw, KEYED, 40)}",
        lambda: f"AKIA{some(draw, LETTERS.upper() + '234567', 16)}",
        lambda: f"xoxb-{some(draw, '0123456789', 11)}-{some(draw, KEYED, 24)}",
        lambda: f"AIza{some(draw, KEYED, 35)}",
        lambda: f"glpat-{some(draw, KEYED, 20)}",
    )
    return draw.choice(forms)()


PLANTED: dict[str, Callable[[random.Random], str]] = {
    "secret": secret,
    "email": email,
    "iban": iban,
    "credit_card": credit_card,
    "ip": ip,
    "phone": phone,
}


def look_alike(draw: random.Random) -> str:
    """Make what only looks like personal data."""
    forms = (
        lambda: f"{draw.randint(10**9, 10**10)} + {draw.randint(10**9, 10**10)}",
        lambda: (
            f"{draw.randint(1, 9)}.{draw.randint(0, 20)}.{draw.randint(0, 20)}.{draw.randint(0, 30)}"  # noqa: E501
        ),
        lambda: some(draw, "0123456789abcdef", 40),
        lambda: some(draw, "0123456789", 16),
        lambda: f"{draw.randint(100, 999)} {draw.randint(100, 999)} {draw.randint(100, 999)}",
        lambda: f"19{draw.randint(10, 99)}-20{draw.randint(10, 29)}-{draw.randint(1000, 9999)}",
        lambda: f"{some(draw, LETTERS, 5)}@{draw.randint(1, 9)}.{draw.randint(0, 9)}.0",
        lambda: f"{some(draw, LETTERS, 6)}@example.com",
        lambda: f"git@github.com:{some(draw, LETTERS, 5)}/{some(draw, LETTERS, 6)}.git",
        lambda: (
            f"{some(draw, '0123456789abcdef', 8)}-{some(draw, '0123456789abcdef', 4)}-4abc-9def-{some(draw, '0123456789abcdef', 12)}"  # noqa: E501
        ),
        lambda: f"10.{draw.randint(0, 255)}.{draw.randint(0, 255)}.1",
        lambda: (
            f"ISBN 978-{draw.randint(0, 9)}-{draw.randint(100, 999)}-{draw.randint(10000, 99999)}-{draw.randint(0, 9)}"  # noqa: E501
        ),
        lambda: f"3.{some(draw, '0123456789', 18)}",
    )
    return draw.choice(forms)()


def rows(count: int, seed: int) -> list[Row]:
    """Make rows, an equal number of each kind and as many that look alike as of all kinds."""
    draw = random.Random(seed)
    kinds = [*PLANTED, *[None] * len(PLANTED)]
    made = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        value = PLANTED[kind](draw) if kind else look_alike(draw)
        before, after = draw.choice(AROUND).replace("{{", "{").replace("}}", "}").split("{}")
        made.append(Row(before + value + after, kind, len(before), len(before) + len(value)))
    return made


def figures(made: Sequence[Row], found: Sequence[dict[str, list[list[int]]]]) -> dict[str, Any]:
    """Return precision and recall by kind."""
    right: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for row, kinds in zip(made, found, strict=True):
        hit = False
        for kind, spans in kinds.items():
            for start, end in spans:
                of_it = kind == row.kind and start < row.end and end > row.start
                hit |= of_it
                false[kind] += not of_it
        if row.kind:
            right[row.kind] += hit
            missed[row.kind] += not hit
    return {
        kind: {
            "recall": round(right[kind] / (right[kind] + missed[kind]), 4),
            "precision": round(right[kind] / max(1, right[kind] + false[kind]), 4),
            "planted": right[kind] + missed[kind],
            "false": false[kind],
        }
        for kind in PLANTED
    }


def microseconds(texts: Sequence[str]) -> float:
    """Return processor time of a row, prompts and responses being the texts."""
    turns = [[{"role": role, "content": text} for role in ("user", "assistant")] for text in texts]
    nothing = pa.nulls(len(texts), pa.string())
    table = pa.table(
        {
            "content_hash": [str(number) for number in range(len(texts))],
            "messages": pa.array(turns, MESSAGES),
            "tools": nothing,
            "media": nothing,
        }
    )
    times = []
    for _ in range(3):
        start = time.process_time()
        PersonalData().score(table, Runtime())
        times.append(time.process_time() - start)
    return round(min(times) / len(texts) * 1e6, 2)


def main() -> None:
    """Make the rows, find what they hold, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    made = rows(given.rows, given.seed)
    ours = [
        {
            kind: [list(each) for each in some]
            for kind, some in find_all(row.text, "", Options()).items()
        }
        for row in made
    ]
    clean = ["Four and five are nine, and nobody has ever doubted that they are. " * 8] * 20_000
    result = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("pyarrow", "google-re2")},
        "rows": given.rows,
        "kinds": list(PATTERN_KINDS),
        "ours": figures(made, ours),
        "microseconds_of_a_clean_row_of_1100_characters": microseconds(clean),
    }
    if given.peer:
        script = Path(__file__).with_name("personal_data_peer.py")
        told = subprocess.run(
            [given.peer, script],
            input=json.dumps([row.text for row in made]),
            capture_output=True,
            text=True,
            check=True,
        )
        peer = json.loads(told.stdout)
        result["presidio"] = figures(made, peer["found"])
        result["presidio_microseconds_of_a_row"] = peer["microseconds"]
        result["versions"] |= peer["versions"]
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
