"""Execution: does the code in an answer pass the tests of its row?

The code is taken from an answer, the tests from the row's metadata: Python statements such as
`assert f(1) == 2`, run after the code and in its namespace. Each program runs once, in a sandbox of
its own (:mod:`siftline.scorers.judges.sandbox`), and passes when it reaches the end of its tests.

What can still be forged: the code shares the interpreter with its tests. It may return objects that
are equal to everything, replace builtins that the tests use, or search the stack for the token.
This judge is for the honest mistakes of a model, and keeps hostile code from the machine but not
from a good mark.
"""

import hashlib
import json
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from siftline.contracts.computation import Computation
from siftline.contracts.corpus import Corpus
from siftline.scorers.judges.sandbox import Limits, find_sandbox, reaches_end

# What MBPP asks for around code.
_BEGIN, _DONE = (re.compile(rf"\[{{1,2}}{word}\]{{1,2}}") for word in ("BEGIN", "DONE"))
_FENCE = re.compile(r"^[ \t]*```[ \t]*([^\s`]*)[^\n`]*")
_FENCE_END = re.compile(r"^[ \t]*```[ \t]*\r?")
_PYTHON = ("python", "python3", "py")


class Execution(Computation):
    """Whether the answer's code passes the row's tests, run in a sandbox (bubblewrap).

    Rows of equal content have one verdict, by the tests of the one that stands for them all.

    Attributes:
        tests: Key of the row's metadata that holds the tests: a list of texts, or one.
        allow_execution: Must be stated as true, since it means that code from the data and from
            the model is run on this machine, if in a sandbox.
        seconds: CPU time of a program with all its tests.
        wall_seconds: Time by the clock, for a program that waits.
        memory_mib: Address space.
    """

    revision: ClassVar[int] = 1

    kind: Literal["execution"] = "execution"
    tests: str = Field(min_length=1)
    allow_execution: bool = False
    seconds: int = Field(default=10, ge=1)
    wall_seconds: int = Field(default=60, ge=1)
    memory_mib: int = Field(default=512, ge=64)

    @model_validator(mode="after")
    def _is_allowed(self) -> "Execution":
        if not self.allow_execution:
            raise ValueError(
                "the judge 'execution' runs code that the data and the model have written, in a "
                "sandbox without network or files, and got no leave to; state "
                "'allow_execution: true', or choose the judge 'numeric' or 'judge'."
            )
        return self


class Program(NamedTuple):
    """Code and the tests that it is to pass.

    Attributes:
        code: Python.
        tests: Statements, run in this order in the code's namespace.
    """

    code: str
    tests: tuple[str, ...]


def code_of(text: str) -> str:
    """Return the code in an answer.

    It is what stands between `[BEGIN]` and `[DONE]`; and of that the last fenced block that says
    Python, or the last that says no language; or else all of it.
    """
    marked = _marked(text)
    text = marked[-1] if marked else text
    blocks = _fenced(text)
    for wanted in (_PYTHON, ("",)):
        codes = [code for language, code in blocks if language in wanted]
        if codes:
            return textwrap.dedent(codes[-1])
    return textwrap.dedent(text).strip("\n")


def _marked(text: str) -> list[str]:
    """Return what stands between each `[BEGIN]` and the next `[DONE]`."""
    marked = []
    begin = _BEGIN.search(text)
    while begin and (done := _DONE.search(text, begin.end())):
        marked.append(text[begin.end() : done.start()])
        begin = _BEGIN.search(text, done.end())
    return marked


def _fenced(text: str) -> list[tuple[str, str]]:
    """Return language and content of each fenced block that is closed, line by line."""
    blocks: list[tuple[str, str]] = []
    language: str | None = None
    content: list[str] = []
    *lines, last = text.split("\n")
    for line in lines:
        if language is None:
            if opening := _FENCE.fullmatch(line):
                language, content = opening[1].casefold(), []
        elif _FENCE_END.fullmatch(line):
            blocks.append((language, "".join(content)))
            language = None
        else:
            content.append(f"{line}\n")
    if language is not None and _FENCE_END.fullmatch(last):
        blocks.append((language, "".join(content)))
    return blocks


def stated_tests(metadata: str, key: str) -> tuple[str, ...]:
    """Return the tests in a row's metadata; none where the key is missing or holds no texts.

    Args:
        metadata: A JSON object.
        key: Whose value is a text or a list of texts.
    """
    value = json.loads(metadata).get(key)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return ()
    return tuple(text for text in texts if text.strip())


def digest_of_tests(corpus: Corpus, rows: npt.NDArray[np.bool_], key: str) -> str:
    """Return 16 hex digits for the tests of some rows and the Python that runs them.

    A row's hash does not cover its metadata: without this, mended tests would meet old verdicts.

    Args:
        corpus: Its rows count in any order.
        rows: [rows] True for those that count.
        key: Of the metadata.
    """
    lines = [
        f"{row['content_hash']} {json.dumps(stated_tests(row['metadata'], key))}"
        for shard in corpus.filter(rows).iter_shards()
        for row in shard.select(["content_hash", "metadata"]).to_pylist()
    ]
    version = ".".join(map(str, sys.version_info[:2]))
    return hashlib.sha256("\n".join([version, *sorted(lines)]).encode()).hexdigest()[:16]


def passing(judge: Execution, programs: Sequence[Program]) -> list[bool]:
    """Run programs, several at once, and return which of them pass all their tests.

    Args:
        judge: The limits.
        programs: Equal ones are run once.

    Raises:
        ModelError: There is no sandbox: a program is never run without one, and a sandbox that
            does not start is no verdict.
    """
    unique = list(dict.fromkeys(programs))
    if not unique:
        return []
    sandbox = find_sandbox()
    limits = Limits(judge.seconds, judge.wall_seconds, judge.memory_mib)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        passed = pool.map(
            lambda program: reaches_end(sandbox, program.code, program.tests, limits), unique
        )
        by_program = dict(zip(unique, passed, strict=True))
    return [by_program[program] for program in programs]
