"""Every compiled pattern of the project, on a megabyte of what it may meet in data.

A pattern that backtracks takes minutes or hours on these texts, a linear one less than a second.
Each runs in a process of its own, which is ended after a minute.
"""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("contracts", "models", "scorers", "filters", "selectors", "pipelines", "reports")
SIZE = 1 << 20
PIECES = (
    *' \n\ta0,.:-*\\"`([{<',
    "1,",
    "1 ",
    "\\\\",
    '"a" ',
    "```\n",
    "``` python\n",
    "[BEGIN]",
    "[[BEGIN]]",
    "[DONE]",
    "answer ",
    "Answer:\n",
    "the answer is ",
    "\\boxed{",
    "#### ",
    "(A) ",
    "A:",
    "\n:",
    ", ",
    " ,",
    "{ ,",
    "<think>",
    "the reference ",
    "as in the ",
    "word word word\n",
)
SECONDS = 60

SEARCH = """
import json, re, sys
pattern, flags, binary, texts = json.loads(sys.stdin.read())
compiled = re.compile(pattern.encode() if binary else pattern, flags)
for piece, times in texts:
    text = piece * times
    for _ in compiled.finditer(text.encode() if binary else text):
        pass
"""


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    """Yield the patterns of all modules, by name."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(("siftline", *path.relative_to(ROOT).with_suffix("").parts))
            yield from _patterns_of(importlib.import_module(name))


def _patterns_of(module: ModuleType) -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    for name, value in vars(module).items():
        for number, each in enumerate(value if isinstance(value, tuple | list) else (value,)):
            if isinstance(each, re.Pattern):
                yield f"{module.__name__.removeprefix('siftline.')}.{name}[{number}]", each


PATTERNS = dict(patterns())


def test_there_are_patterns() -> None:
    assert len(PATTERNS) > 15


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_runs_in_linear_time(name: str) -> None:
    compiled = PATTERNS[name]
    pattern, binary = compiled.pattern, isinstance(compiled.pattern, bytes)
    flags = compiled.flags & ~(0 if binary else re.UNICODE)
    text = pattern.decode() if isinstance(pattern, bytes) else pattern
    texts = [(piece, SIZE // len(piece)) for piece in PIECES]
    given = json.dumps([text, int(flags), binary, texts])
    # A pattern that is not through by then has an end that nobody would wait for.
    subprocess.run(
        [sys.executable, "-c", SEARCH], input=given, text=True, check=True, timeout=SECONDS
    )
