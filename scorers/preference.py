"""The preference of a judge for a candidate over the response, with BSDetector's doubts about it.

The judge compares the two in both orders, since judges favour a position, and then reflects on
each judgement twice (CLEAR, arXiv 2403.12776, section 3). What is stored is the share of judgements
for the candidate and the reflection on them; their weights, 0.7 and 0.3, are the method's.
"""

from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.generation import Sampling
from siftline.models.likelihood import EMPTY_RESPONSE, OK
from siftline.models.loading import load_language_model
from siftline.models.rendering import Template
from siftline.scorers.candidate import Candidate
from siftline.scorers.judges.judging import (
    REPLY_TOKENS,
    YES_NO_UNSURE,
    Reading,
    ask,
    is_better,
    is_correct,
    question_of,
    weigh,
    yes_value,
)
from siftline.scorers.responses import judgeable, response_of
from siftline.scorers.statuses import UNCHANGED, UNPARSABLE
from siftline.scorers.tables import table_of

_FIRST_SECOND_EQUAL = ("A", "B", "C")
_CLAIMS = {"A": "(A) The first answer", "B": "(B) The second answer"}

PREFERENCE = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is none
        ("share_first", pa.float64()),  # of judgements for the candidate where it stands first
        ("share_second", pa.float64()),  # where it stands second
        ("reflection_first", pa.float64()),  # that the candidate is better, on a second thought
        ("reflection_second", pa.float64()),
    ]
)


class Preference(RunsModel, Scorer):
    """The judge's preference for the candidate, in the table `preference`: :data:`PREFERENCE`.

    Attributes:
        model: Role of the judge.
        candidate: Which candidate.
        sampling: Of the judgements; None reads the letters' probabilities.
        reading: How the reflection on a judgement is read.
        template: How questions are rendered.
        reply_tokens: Of a reflection from which a letter is read; a model that thinks needs more.
    """

    table: ClassVar[str] = "preference"
    revision: ClassVar[int] = 4  # 4: a thought is one whoever opens it, and whatever marks it

    candidate: Candidate
    sampling: Sampling | None = None
    reading: Reading = "probabilities"
    template: Template = "chat"
    reply_tokens: int = Field(default=REPLY_TOKENS, ge=1)

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The candidate."""
        return (self.candidate,)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Judge each response against its prompt's candidate, in both orders.

        Raises:
            ModelError: The judge cannot be loaded or run.
        """
        records = rows.select(["messages", "tools", "media", "candidate"]).to_pylist()
        statuses = [_comparable(row) for row in records]
        asked = [row for row, status in zip(records, statuses, strict=True) if status == OK]
        progress.advance(len(rows) - len(asked))
        model = load_language_model(runtime.spec(self.model), runtime.device)
        reading: Reading = "probabilities" if self.sampling is None else "letter"
        orders = [(row, letter) for letter in ("A", "B") for row in asked]
        questions = [_question(row, letter, reading) for row, letter in orders]
        judged = weigh(
            model,
            [ask(question) for question in questions],
            _FIRST_SECOND_EQUAL,
            reading,
            self.template,
            self.sampling,
            rows=len(asked) / 3,  # a question in each order, and two doubts of each answer
        )
        doubts = [
            ask(is_correct(question, _CLAIMS[letter], self.reading, again))
            for again in (False, True)
            for question, (_, letter) in zip(questions, orders, strict=True)
        ]
        greedy = Sampling(temperature=0, max_tokens=self.reply_tokens)
        doubted = weigh(
            model,
            doubts,
            YES_NO_UNSURE,
            self.reading,
            self.template,
            greedy,
            rows=2 * len(asked) / 3,
        )
        preferences = iter(_preferences(judged.rows, doubted.rows, len(asked)))
        keys = rows["content_hash"].to_pylist()
        results = [
            (key, *next(preferences)) if status == OK else (key, status, *[None] * 4)
            for key, status in zip(keys, statuses, strict=True)
        ]
        return Scored(table_of(results, PREFERENCE), judged.usage.plus(doubted.usage))


def _question(row: dict[str, Any], letter: str, reading: Reading) -> str:
    """Ask which is better; the candidate stands first for A and second for B."""
    response, candidate = response_of(row["messages"]), row["candidate"]["text"]
    one, two = (candidate, response) if letter == "A" else (response, candidate)
    return is_better(question_of(row["messages"][:-1], row["tools"]), one, two, reading)


def _comparable(row: dict[str, Any]) -> str:
    """Return `ok`, or why there is nothing to compare."""
    status = judgeable(row)
    if status not in (OK, EMPTY_RESPONSE):
        return status
    if row["candidate"]["status"] != OK:
        return str(row["candidate"]["status"])
    return UNCHANGED if row["candidate"]["text"] == response_of(row["messages"]) else OK


def _preferences(judged: list[Any], doubted: list[Any], rows: int) -> list[tuple[Any, ...]]:
    """Put the judgements of both orders, and the two looks at each, into one record per row.

    Args:
        judged: [2 * rows] Judgements where the candidate stands first, then where second.
        doubted: [4 * rows] The first look at each of them, then the second.
        rows: How many.
    """
    records: list[tuple[Any, ...]] = []
    for row in range(rows):
        places = (row, rows + row)
        shares = [judged[place] for place in places]
        looks = [doubted[half * 2 * rows + place] for half in (0, 1) for place in places]
        failure = next((each for each in (*shares, *looks) if isinstance(each, str)), None)
        if failure is not None or any(share is None for share in shares):
            records.append((failure or UNPARSABLE, None, None, None, None))
            continue
        seen = [yes_value(look) for look in looks]
        reflections = [(seen[0] + seen[2]) / 2, (seen[1] + seen[3]) / 2]
        records.append((OK, shares[0][0], shares[1][1], *reflections))
    return records
