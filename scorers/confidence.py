"""The measurements behind CLEAR: sampled answers, their consistency, and self-reflection.

Chen and Mueller, ACL 2024 (BSDetector, arXiv 2308.16175). Each is a scorer of its own, so that
another comparer pays for no new samples, and weights and thresholds pay for nothing. The samples
are a function of the prompt alone: candidates for one prompt share them.
"""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.scorer import Key, Scored, Scorer
from siftline.models.generation import STOP, Sample, Sampling
from siftline.models.likelihood import EMPTY_RESPONSE, OK
from siftline.models.loading import load_language_model
from siftline.models.rendering import Message, Template
from siftline.scorers.judges.answers import EDGES, final_answer, same_answer
from siftline.scorers.judges.comparers import Comparer, Comparison, Embedding, agreement
from siftline.scorers.judges.judging import Reading, ask, is_correct, question_of, weigh

TOOL_CALLS = "tool_calls"  # the response calls tools, which no comparer here understands
TOO_FEW_SAMPLES = "too_few_samples"  # fewer than two samples could be compared
# With one sample there is no telling chance from consistency (methods: average over the valid).
FEWEST_SAMPLES = 2

_LETTERS = ("A", "B", "C")
_EXPLAIN = (
    "Reason step by step. Then give the final answer alone on the last line, in the form "
    "'Answer: <final answer>'."
)

SAMPLES = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("status", pa.string()),  # ok, or why there are no samples
        ("texts", pa.list_(pa.string())),
        ("finished", pa.list_(pa.bool_())),  # the model ended the sample by itself
        ("generated_tokens", pa.int32()),  # of all samples; null where nobody counted
    ]
)
REFLECTION = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is none
        ("first", pa.float64()),  # in [0, 1]: A counts 1, B 0, C 0.5
        ("second", pa.float64()),  # the same at the second look
        ("first_letter", pa.string()),  # the weightiest; null where the reply had none
        ("second_letter", pa.string()),
        ("unparsable", pa.int32()),  # replies without a letter, each counted 0.5
        ("letter_mass", pa.float64()),  # mean probability of a letter as the next token, if read
    ]
)
CONSISTENCY = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is none
        ("agreement", pa.float64()),  # mean over the valid samples, by the comparer
        ("match", pa.float64()),  # share of them whose final answer is the same
        ("valid", pa.int32()),  # samples that could be compared
        ("agreements", pa.list_(pa.float64())),  # by sample; null where not valid
        ("matches", pa.list_(pa.bool_())),
    ]
)


class Samples(RunsModel, Scorer):
    """Answers of a language model to each prompt, in the table `samples`: :data:`SAMPLES`.

    Prompts that differ in white space only share the samples of the first.

    Attributes:
        model: Role of a language model.
        sampling: How they are drawn.
        explain: Ask for reasoning before the answer, which makes samples differ where the model
            is not sure.
        template: How prompts are rendered.
    """

    table: ClassVar[str] = "samples"
    revision: ClassVar[int] = 1
    key: ClassVar[Key] = "prompt_id"

    sampling: Sampling = Sampling(n=5)
    explain: bool = True
    template: Template = "chat"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Sample answers to each prompt.

        Raises:
            ModelError: The model cannot be loaded or run.
        """
        model = load_language_model(runtime.spec(self.model), runtime.device)
        prompts = [self._prompt(turns[:-1]) for turns in rows["messages"].to_pylist()]
        found = model.generate(
            prompts, self.sampling, template=self.template, on_batch=progress.advance
        )
        records = [
            (key, *_sampled(row))
            for key, row in zip(rows["prompt_id"].to_pylist(), found.rows, strict=True)
        ]
        return Scored(table_of(records, SAMPLES), found.usage)

    def _prompt(self, turns: Sequence[Message]) -> list[Message]:
        if not self.explain:
            return list(turns)
        *earlier, last = turns
        content = f"{last['content']}\n\n{_EXPLAIN}"
        return [*earlier, {"role": last["role"], "content": content}]


class Reflection(RunsModel, Scorer):
    """The model's own word on each response, twice, in the table `reflection`: :data:`REFLECTION`.

    The two looks are separate questions, so that the second cannot lean on the first letter.

    Attributes:
        model: Role of a language model.
        reading: Off the next token's `probabilities`, or off a generated `letter`.
        template: How questions are rendered.
    """

    table: ClassVar[str] = "reflection"
    revision: ClassVar[int] = 2

    reading: Reading = "probabilities"
    template: Template = "chat"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Ask twice about each response that is there.

        Raises:
            ModelError: The model cannot be loaded or run.
        """
        model = load_language_model(runtime.spec(self.model), runtime.device)
        statuses = [judgeable(row) for row in rows.select(["messages", "metadata"]).to_pylist()]
        asked = [row for row, status in enumerate(statuses) if status == OK]
        turns = rows["messages"].to_pylist()
        questions = [
            ask(
                is_correct(question_of(turns[row][:-1]), _response(turns[row]), self.reading, again)
            )
            for again in (False, True)
            for row in asked
        ]
        found = weigh(model, questions, _LETTERS, self.reading, self.template)
        progress.advance(len(rows))
        looks = dict(zip(asked, zip(*_halves(found.rows), strict=True), strict=True))
        pairs = zip(*_halves(found.masses), strict=True)
        masses = {row: _mean(pair) for row, pair in zip(asked, pairs, strict=True)}
        keys = rows["content_hash"].to_pylist()
        records = [
            (key, *_reflected(*looks[row], masses[row]))
            if row in looks
            else (key, status, *[None] * 6)
            for row, (key, status) in enumerate(zip(keys, statuses, strict=True))
        ]
        return Scored(table_of(records, REFLECTION), found.usage)


class Consistency(Scorer):
    """How far samples agree with each response, in the table `consistency`: :data:`CONSISTENCY`.

    A response that is short, or marks its final answer, is compared with the samples' final
    answers, any other as a whole with whole samples, cut ones among them. A sample is valid when it
    has an answer that the comparer can judge; where final answers are compared, one that was cut
    before it came to its own has none.

    Attributes:
        samples: Which samples.
        comparer: What tells agreement.
        short_words: Most words of a short response.
    """

    table: ClassVar[str] = "consistency"
    revision: ClassVar[int] = 2

    samples: Samples
    comparer: Comparer = Embedding()
    short_words: int = Field(default=30, ge=1)

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The samples."""
        return (self.samples,)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare the samples of each row's prompt with its response.

        Raises:
            ModelError: The comparer's model cannot be loaded or run.
        """
        pairs: list[Comparison | None] = []
        statuses, counts = [], []
        for row in rows.select(["messages", "metadata", "samples"]).to_pylist():
            status = judgeable(row)
            status = row["samples"]["status"] if status == OK else status
            found = self._comparisons(row) if status == OK else []
            statuses.append(status)
            counts.append(len(found))
            pairs += found
        asked = [pair for pair in pairs if pair is not None]
        values, usage = agreement(self.comparer, asked, runtime) if asked else ([], Usage())
        told = iter(values)
        agreements = iter([next(told) if pair is not None else None for pair in pairs])
        compared = iter(pairs)
        records: list[tuple[Any, ...]] = []
        for key, status, count in zip(
            rows["content_hash"].to_pylist(), statuses, counts, strict=True
        ):
            mine = [(next(compared), next(agreements)) for _ in range(count)]
            records.append((key, *_summary(status, mine)))
        progress.advance(len(rows), usage.tokens)
        return Scored(table_of(records, CONSISTENCY), usage)

    def _comparisons(self, row: dict[str, Any]) -> list[Comparison | None]:
        """Return one comparison for each sample; None where the sample has no answer."""
        response = _response(row["messages"])
        marked = final_answer(response)
        short = marked is not None or len(response.split()) <= self.short_words
        # The last number of a text that was cut is any number.
        short |= self.comparer.kind == "numeric"
        question = question_of(row["messages"][:-1])
        found: list[Comparison | None] = []
        given = zip(row["samples"]["texts"], row["samples"]["finished"], strict=True)
        for text, finished in given:
            answer = _answer(text, finished) if short else text.strip()
            found.append(Comparison(question, marked or response, answer) if answer else None)
        return found


def judgeable(row: dict[str, Any]) -> str:
    """Return `ok`, or the status of a response that no language model needs to be asked about.

    Args:
        row: With `messages` and `metadata`.
    """
    calls = json.loads(row["metadata"]).get("tool_calls")
    if calls and calls[-1]:
        return TOOL_CALLS
    return OK if _response(row["messages"]) else EMPTY_RESPONSE


def table_of(records: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Build a table from rows of values."""
    columns = list(zip(*records, strict=True)) or [()] * len(schema)
    arrays = [pa.array(list(c), field.type) for c, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _answer(text: str, finished: bool) -> str | None:
    """Return the final answer of a sample; None where it was cut before the end of it."""
    marked = final_answer(text)
    if finished:
        return marked or text.strip()
    cut = marked is None or text.strip(EDGES).endswith(marked.strip(EDGES))
    return None if cut else marked


def _response(turns: Sequence[Message]) -> str:
    return turns[-1]["content"].strip()


def _sampled(row: list[Sample] | str) -> tuple[Any, ...]:
    if isinstance(row, str):
        return row, None, None, None
    counts = [sample.tokens for sample in row]
    total = None if None in counts else sum(count for count in counts if count is not None)
    return OK, [each.text for each in row], [each.finish == STOP for each in row], total


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _halves(rows: list[Any]) -> tuple[list[Any], list[Any]]:
    middle = len(rows) // 2
    return rows[:middle], rows[middle:]


def _reflected(
    first: list[float] | str | None, second: list[float] | str | None, mass: float | None
) -> tuple[Any, ...]:
    """Turn two looks into a record: status, values, letters, how many had none, letters' mass."""
    for look in (first, second):
        if isinstance(look, str):
            return look, None, None, None, None, None, None
    looks = [look for look in (first, second) if not isinstance(look, str)]
    values = [0.5 if look is None else look[0] + 0.5 * look[2] for look in looks]
    letters = [None if look is None else _LETTERS[look.index(max(look))] for look in looks]
    return OK, *values, *letters, sum(look is None for look in looks), mass


def _summary(status: str, pairs: list[tuple[Comparison | None, float | None]]) -> tuple[Any, ...]:
    if status != OK:
        return status, None, None, 0, None, None
    agreements = [value for _, value in pairs]
    matches = [
        None if pair is None or value is None else same_answer(pair.reference, pair.sample)
        for pair, value in pairs
    ]
    valid = [value for value in agreements if value is not None]
    if len(valid) < FEWEST_SAMPLES:
        return TOO_FEW_SAMPLES, None, None, len(valid), agreements, matches
    same = sum(match for match in matches if match) / len(valid)
    return OK, sum(valid) / len(valid), same, len(valid), agreements, matches
