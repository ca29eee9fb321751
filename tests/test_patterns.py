"""Every compiled pattern of the project, on a megabyte of what it may meet in data.

A pattern that backtracks takes hours on these texts, and a linear one well under a second; each
runs in a process of its own, which is ended after a minute.
"""

import importlib
import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("contracts", "models", "scorers", "filters", "selectors", "pipelines", "reports")
SIZE = 1 << 20
PIECES = (
    *" \n\ta0,.:;-_*#\\\"'`(){}[]<>|&/+$%\u00e9\u4e00",
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
SECONDS = 30


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


def try_all(pattern: str | bytes, flags: int) -> None:
    """Search for a pattern in all texts."""
    compiled = re.compile(pattern, flags)
    for piece in PIECES:
        for text in (piece * (SIZE // len(piece)), "answer: x" + piece * (SIZE // len(piece))):
            given = text.encode() if isinstance(pattern, bytes) else text
            for _ in compiled.finditer(given):
                pass


def test_there_are_patterns() -> None:
    assert len(PATTERNS) > 15


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_runs_in_linear_time(name: str) -> None:
    pattern = PATTERNS[name]
    process = multiprocessing.get_context("fork").Process(
        target=try_all, args=(pattern.pattern, pattern.flags)
    )
    process.start()
    process.join(SECONDS)
    hangs = process.is_alive()
    process.kill()
    process.join()
    assert not hangs, f"{name} was not through after {SECONDS} s"
    assert process.exitcode == 0
