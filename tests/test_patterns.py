"""Every pattern of the project, on a megabyte of what it may meet in data.

A pattern that backtracks takes minutes or hours on these texts, a linear one less than a second.
Those of RE2 are linear by construction, so what goes through their matches is looked at: on fewer
texts, and shorter ones.
Patterns are found in the modules: compiled ones wherever they stand in a module's or a class's
variables, and texts that functions give to `re`. A pattern that is not known before a run, such as
a field of a recipe, goes to RE2 (:mod:`siftline.contracts.patterns`).
"""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import re2
from adversarial import FEW_PIECES, PIECES, SIZE, growth, pieces_of

from siftline.contracts.patterns import linear_pattern
from siftline.contracts.scorer import Scorer
from siftline.pipelines.job import all_scorers

ROOT = Path(__file__).parent.parent
ROOMS = ("contracts", "models", "scorers", "filters", "selectors", "pipelines", "reports", "flows")
SIZE_OF_ROWS = 1 << 18
SIZE_OF_LINEAR = 1 << 17
LINEAR = type(linear_pattern("a"))
USES = ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer", "compile")
FLAGS_FROM = {"sub": 4, "subn": 4, "split": 3, "compile": 1}  # arguments of `re`, from 0

Compiled = Any  # of `re` or of RE2, which has no types


def modules() -> Iterator[tuple[ModuleType, ast.Module]]:
    """Yield the modules of the project, and their source."""
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        name = ".".join(("siftline", *path.relative_to(ROOT).with_suffix("").parts))
        yield importlib.import_module(name), ast.parse(path.read_text(encoding="utf-8"))


def _inside(value: Any, name: str) -> Iterator[tuple[str, Compiled]]:
    """Yield the patterns in a value, by name, however deep in tuples, lists, sets and mappings."""
    if isinstance(value, re.Pattern | LINEAR):
        yield name, value
    elif isinstance(value, dict):
        yield from _inside([*value, *value.values()], name)
    elif isinstance(value, tuple | list | set | frozenset):
        for number, each in enumerate(value):
            yield from _inside(each, f"{name}[{number}]")


def _held(module: ModuleType) -> Iterator[tuple[str, Compiled]]:
    """Yield the patterns in the variables of a module and of its classes."""
    for name, value in vars(module).items():
        yield from _inside(value, name)
        if isinstance(value, type) and value.__module__ == module.__name__:
            for field, each in vars(value).items():
                yield from _inside(each, f"{name}.{field}")


def _called(module: ModuleType, tree: ast.Module) -> Iterator[tuple[str, Compiled | None]]:
    """Yield what is given to `re` inside of functions; None for what only a run knows."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for call in ast.walk(function):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            of, use = call.func.value, call.func.attr
            if isinstance(of, ast.Name) and of.id == "re" and use in USES:
                name = f"{function.name}:{call.lineno}"
                yield name, _evaluated(module, call)


def _evaluated(module: ModuleType, call: ast.Call) -> Compiled | None:
    """Return the pattern of a call, of texts and of variables of the module."""
    assert isinstance(call.func, ast.Attribute)
    use = call.func.attr
    flags = call.args[FLAGS_FROM.get(use, 2) :]
    flags += [each.value for each in call.keywords if each.arg == "flags"]
    try:
        pattern, *given = (
            eval(compile(ast.Expression(each), "test", "eval"), vars(module))
            for each in [call.args[0], *flags]
        )
        return re.compile(rf"\A(?:{pattern})" if use.endswith("match") else pattern, *given[:1])
    except (NameError, TypeError):
        return None


def _all() -> Iterator[tuple[str, Compiled | None]]:
    for module, tree in modules():
        room = module.__name__.removeprefix("siftline.")
        for name, each in [*_held(module), *_called(module, tree)]:
            yield f"{room}.{name}", each


PATTERNS = dict(_all())
KNOWN = {name: each for name, each in PATTERNS.items() if each is not None}
# Patterns of an engine's own, over what its command prints.
NO_DATA = {"models.remote.engines._version"}


def looking(pattern: Compiled) -> str:
    """Return the source of a function that goes through all matches of a pattern in a text."""
    if isinstance(pattern, LINEAR):
        options = {name: getattr(pattern.options, name) for name in re2.Options.NAMES}
        options = {name: v for name, v in options.items() if isinstance(v, bool)}
        lines = ["import re2", "options = re2.Options()"]
        lines += [f"options.{name} = {value}" for name, value in options.items()]
        lines += [f"pattern = re2.compile({pattern.pattern!r}, options)"]
    else:
        lines = ["import re", f"pattern = re.compile({pattern.pattern!r}, {int(pattern.flags)})"]
    text = "text.encode()" if isinstance(pattern.pattern, bytes) else "text"
    return "\n".join([*lines, f"def go(text):\n    for _ in pattern.finditer({text}): pass"])


def pieces_for(pattern: Compiled) -> list[Any]:
    text, flags = pattern.pattern, getattr(pattern, "flags", 0)
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    pieces = FEW_PIECES if isinstance(pattern, LINEAR) else PIECES
    return [*pieces, *pieces_of(text, int(flags) & ~re.UNICODE)]


def test_patterns_are_found_wherever_they_stand() -> None:
    module = ModuleType("siftline.made")
    source = (
        "import re\n_A = re.compile('a')\n_B = {'b': ((re.compile('b'),),)}\n_C = 'c'\n"
        "class D:\n    e = re.compile('e')\n"
        "def f(text, given):\n    re.sub(rf'{_C}+', '', text)\n    re.search(given, text)\n"
    )
    exec(source, vars(module))
    vars(module)["D"].__module__ = module.__name__
    found = [*_held(module), *_called(module, ast.parse(source))]
    assert {name: each.pattern if each else None for name, each in found} == {
        "_A": "a",
        "_B[1][0][0]": "b",
        "D.e": "e",
        "f:8": "c+",
        "f:9": None,
    }


def test_there_are_patterns() -> None:
    assert len(KNOWN) > 90


def test_a_pattern_that_only_a_run_knows_is_of_linear_time() -> None:
    unknown = {name.partition(":")[0] for name, each in PATTERNS.items() if each is None}
    assert unknown <= NO_DATA, "use siftline.contracts.patterns.linear_pattern for these"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_pattern_runs_in_linear_time(name: str) -> None:
    pattern = KNOWN[name]
    size = SIZE_OF_LINEAR if isinstance(pattern, LINEAR) else SIZE
    assert not growth(looking(pattern), pieces_for(pattern), size)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\s+$",  # quadratic
        r"x(?:a|a)*y",  # exponential, behind a beginning
        r"b(?:\w+\s?)*:",
        r"(?:[0-9]+,?)+;",
    ],
)
def test_a_pattern_that_backtracks_is_noticed(pattern: str) -> None:
    compiled = re.compile(pattern)
    assert growth(looking(compiled), pieces_for(compiled), seconds=4)


def test_a_time_that_grows_faster_than_the_text_is_noticed() -> None:
    go = "def go(text):\n    for n in range(0, len(text), 40): text[:n].count('b')"
    assert "more than linear" in growth(go, PIECES[:1], size=1 << 21, seconds=100)
    assert not growth("def go(text):\n    text.count('b')", PIECES[:1])


TAKES_NO_MODEL = [
    each
    for each in all_scorers()
    if not any(field.is_required() for field in each.model_fields.values())
    and each.needs is Scorer.needs  # what reads the scores of another reads no texts
]


def test_scorers_that_take_no_model_are_found() -> None:
    names = {each.__name__ for each in TAKES_NO_MODEL}
    assert {"PhraseMatches", "ResponseStatistics", "Signature", "StructureFaults"} <= names


@pytest.mark.parametrize("scorer", TAKES_NO_MODEL, ids=lambda each: each.__name__)
def test_a_scorer_takes_long_texts_in_linear_time(scorer: type) -> None:
    go = f"""
import pyarrow as pa
from {scorer.__module__} import {scorer.__name__} as scorer
from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.runtime import Runtime
def go(text):
    turns = [dict(role=role, content=text) for role in ("user", "assistant")]
    row = dict(id="a", content_hash="a", prompt_id="a", source="s", metadata="{{}}", messages=turns)
    scorer().score(pa.Table.from_pylist([row], schema=EXAMPLES), Runtime())
"""
    assert not growth(go, PIECES, size=SIZE_OF_ROWS)
