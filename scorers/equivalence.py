"""The measurements behind S3FT: is the gold answer a measure, and are others equivalent to it?

Each is a scorer of its own: another judge pays for no new answers. What is given out is a status
and, where an answer was judged, its agreement with the gold one.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, TypeAlias

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.generation import STOP, Sampling
from siftline.models.likelihood import OK
from siftline.models.loading import load_language_model
from siftline.models.rendering import Message, Template
from siftline.scorers.confidence import judgeable, table_of
from siftline.scorers.correction import CANDIDATE, CUT, EMPTY, UNCHANGED, Candidate
from siftline.scorers.judges.answers import final_answer, last_number
from siftline.scorers.judges.comparers import Comparison, Judge, Numeric, agreement
from siftline.scorers.judges.execution import Execution, Program, code_of, passing, stated_tests
from siftline.scorers.judges.judging import question_of

META_TEXT = "meta_text"  # the paraphrase speaks of the reference
NO_ANSWER = "no_answer"  # the judge has nothing to go by: no number, no tests, no word of its own
GOLD_FAILS = "gold_fails"  # the gold answer does not pass its own tests: one of the two is wrong
EMPTY_TESTS = "empty_tests"  # the tests pass without any code
WRONG_FORMAT = "wrong_format"

# Words that a text without a reference has no use for. Those that the row itself uses are its own.
_META = re.compile(
    r"\b(?:reference|given|provided|original|above)\s+(?:answer|solution|response|text)\b"
    r"|\b(?:answer|solution|response)\s+(?:above|you\s+(?:provided|gave)|that\s+was\s+given)\b"
    r"|\b(?:as\s+(?:in\s+)?|according\s+to\s+)the\s+reference\b"
    r"|\bthe\s+reference\s+(?:says|states|shows|gives|notes|mentions|suggests)\b"
    r"|\b(?:my|your)\s+own\s+words\b|\b(?:paraphras|rephras|reword)",
    re.IGNORECASE,
)
_PARAPHRASE = (
    "Answer the task above in your own words. Below is a correct answer. Yours must say the same, "
    "have the same form and come to the same result; do not mention that you were given one.\n\n"
)

PARAPHRASE = pa.schema([pa.field("content_hash", pa.string()), *list(CANDIDATE)[1:]])
GOLD = pa.schema([("content_hash", pa.string()), ("status", pa.string())])  # ok, or why not
EQUIVALENCE = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is no verdict
        ("agreement", pa.float64()),  # with the gold answer, in [0, 1]
    ]
)

Verdict: TypeAlias = Annotated[Numeric | Judge | Execution, Field(discriminator="kind")]


class Gold(Scorer):
    """Whether the gold answer is one that answers can be held against: table `gold`.

    Attributes:
        judge: By which they are.
        pattern: Regular expression that the text must contain.
        tests: Digest of the rows' tests, which the rows' hashes do not cover; None without tests.
    """

    table: ClassVar[str] = "gold"
    revision: ClassVar[int] = 1

    judge: Verdict
    pattern: str | None = None
    tests: str | None = None

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Hold each gold answer to what the judge needs; code must pass its own tests.

        Raises:
            ModelError: There is no sandbox to run code in.
        """
        records = rows.select(["messages", "metadata"]).to_pylist()
        statuses = [self._status(row) for row in records]
        if isinstance(self.judge, Execution):
            asked = [place for place, status in enumerate(statuses) if status == OK]
            found = _run_golds(self.judge, [records[place] for place in asked])
            for place, status in zip(asked, found, strict=True):
                statuses[place] = status
        progress.advance(len(rows))
        keys = rows["content_hash"].to_pylist()
        return Scored(table_of(list(zip(keys, statuses, strict=True)), GOLD))

    def _status(self, row: dict[str, Any]) -> str:
        gold = _last(row["messages"])
        status = judgeable(row)
        if status == OK and not well_formed(gold, self.pattern):
            return WRONG_FORMAT
        nothing = (isinstance(self.judge, Numeric) and last_number(_final(gold)) is None) or (
            isinstance(self.judge, Execution)
            and not stated_tests(row["metadata"], self.judge.tests)
        )
        return NO_ANSWER if status == OK and nothing else status


class Paraphrase(RunsModel, Scorer):
    """The gold answer in the model's words, in the table `paraphrase`: :data:`PARAPHRASE`.

    Attributes:
        model: Role of the language model.
        max_tokens: Of a paraphrase.
        template: How prompts are rendered.
    """

    table: ClassVar[str] = "paraphrase"
    revision: ClassVar[int] = 2

    max_tokens: int = 512
    template: Template = "chat"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Paraphrase each response, greedily.

        Raises:
            ModelError: The model cannot be loaded or run.
        """
        spec = runtime.spec(self.model)
        conversations = rows["messages"].to_pylist()
        found = load_language_model(spec, runtime.device).generate(
            [_with_reference(turns) for turns in conversations],
            Sampling(temperature=0, max_tokens=self.max_tokens),
            template=self.template,
            on_batch=progress.advance,
        )
        records: list[tuple[Any, ...]] = []
        keys = rows["content_hash"].to_pylist()
        for key, turns, row in zip(keys, conversations, found.rows, strict=True):
            if isinstance(row, str):
                records.append((key, row, None, None))
                continue
            text = row[0].text.strip()
            status = _paraphrased(text, turns) if row[0].finish == STOP or not text else CUT
            records.append((key, status, text or None, spec.name))
        return Scored(table_of(records, PARAPHRASE), found.usage)


class OwnEquivalence(Scorer):
    """Whether the own answer says what the gold one does, in the table `own_equivalence`.

    Attributes:
        answer: Whose.
        gold: What it is held against, and the judge.
    """

    table: ClassVar[str] = "own_equivalence"
    revision: ClassVar[int] = 2

    answer: Candidate
    gold: Gold

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The gold answer's status, and the own answer."""
        return (self.gold, self.answer)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare each own answer with the gold one."""
        return _equivalence(rows, self.answer.table, self.gold, runtime)


class ParaphraseEquivalence(Scorer):
    """Whether the paraphrase says what the gold answer does: `paraphrase_equivalence`.

    Attributes:
        answer: Whose.
        gold: What it is held against, and the judge.
    """

    table: ClassVar[str] = "paraphrase_equivalence"
    revision: ClassVar[int] = 2

    answer: Paraphrase
    gold: Gold

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The gold answer's status, and the paraphrase."""
        return (self.gold, self.answer)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare each paraphrase with the gold answer."""
        return _equivalence(rows, self.answer.table, self.gold, runtime)


def well_formed(text: str, pattern: str | None) -> bool:
    """Return whether a text contains what it must."""
    return pattern is None or re.search(pattern, text) is not None


def meta_text(text: str, turns: Sequence[Message]) -> bool:
    """Return whether a text speaks of a reference in words that its conversation does not use."""
    known = {_folded(phrase) for turn in turns for phrase in _META.findall(turn["content"])}
    return any(_folded(phrase) not in known for phrase in _META.findall(text))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _last(turns: Sequence[Message]) -> str:
    return turns[-1]["content"].strip()


def _final(text: str) -> str:
    """Return the part of a text that has its final number."""
    return final_answer(text) or text


def _paraphrased(text: str, turns: Sequence[Message]) -> str:
    """Return the status of a paraphrase that the model has ended."""
    if not text:
        return EMPTY
    if text == _last(turns):
        return UNCHANGED
    return META_TEXT if meta_text(text, turns) else OK


def _with_reference(turns: Sequence[Message]) -> list[Message]:
    """Return the prompt with the gold answer as a reference, in a turn by the user."""
    *earlier, last = turns[:-1]
    asked = f"{_PARAPHRASE}{_last(turns)}"
    if last["role"] == "user":
        return [*earlier, {"role": "user", "content": f"{last['content']}\n\n{asked}"}]
    return [*earlier, last, {"role": "user", "content": asked}]  # a tool has not asked for it


def _run_golds(judge: Execution, rows: list[dict[str, Any]]) -> list[str]:
    """Return the status of gold answers that have tests."""
    tests = [stated_tests(row["metadata"], judge.tests) for row in rows]
    codes = [code_of(_last(row["messages"])) for row in rows]
    golds = [Program(code, each) for code, each in zip(codes, tests, strict=True)]
    passed = passing(judge, [*golds, *[Program("", each) for each in tests]])
    statuses = []
    for gold, nothing in zip(passed[: len(rows)], passed[len(rows) :], strict=True):
        statuses.append(EMPTY_TESTS if nothing else OK if gold else GOLD_FAILS)
    return statuses


def _equivalence(rows: pa.Table, answers: str, gold: Gold, runtime: Runtime) -> Scored:
    """Compare the answers of one table with the gold ones."""
    records = rows.select(["messages", "metadata", gold.table, answers]).to_pylist()
    statuses = [_comparable(row, answers, gold) for row in records]
    asked = [
        row
        for row, status in zip(records, statuses, strict=True)
        if status == OK and row[answers]["text"] != _last(row["messages"])
    ]
    values, usage = _judged(gold.judge, asked, answers, runtime)
    told = iter(values)
    results: list[tuple[Any, ...]] = []
    for key, row, status in zip(rows["content_hash"].to_pylist(), records, statuses, strict=True):
        if status != OK:
            results.append((key, status, None))
            continue
        # What is the gold answer to the letter needs no judge.
        value = 1.0 if row[answers]["text"] == _last(row["messages"]) else next(told)
        results.append((key, NO_ANSWER if value is None else OK, value))
    progress.advance(len(rows), usage.tokens)
    return Scored(table_of(results, EQUIVALENCE), usage)


def _comparable(row: dict[str, Any], answers: str, gold: Gold) -> str:
    """Return `ok`, or why an answer is not judged."""
    for name in (gold.table, answers):
        if row[name]["status"] != OK:
            return str(row[name]["status"])
    return OK if well_formed(row[answers]["text"], gold.pattern) else WRONG_FORMAT


def _judged(
    judge: Numeric | Judge | Execution, rows: list[dict[str, Any]], answers: str, runtime: Runtime
) -> tuple[list[float | None], Usage]:
    """Return what the judge says of each row's answer; None where it says nothing."""
    if isinstance(judge, Execution):
        programs = [
            Program(code_of(row[answers]["text"]), stated_tests(row["metadata"], judge.tests))
            for row in rows
        ]
        return [float(passed) for passed in passing(judge, programs)], Usage()
    part: Callable[[str], str] = _final if isinstance(judge, Numeric) else str
    pairs = [
        Comparison(
            question_of(row["messages"][:-1]),
            part(_last(row["messages"])),
            part(row[answers]["text"]),
        )
        for row in rows
    ]
    values, usage = agreement(judge, pairs, runtime)
    if isinstance(judge, Numeric):  # the gold answer has a number, so one without it is wrong
        return [0.0 if value is None else value for value in values], usage
    return values, usage
