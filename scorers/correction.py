"""CLEAR's corrections: a candidate for each response that did not pass, judged against it.

The candidate is the answer of the model tuned on what passed (or of the untuned one), greedy. The
untuned model says which of the two it prefers, in both orders, since judges favour a position;
BSDetector's confidence in that judgement, 0.7 times the share of sampled judgements plus 0.3 times
self-reflection on the judgement, decides (arXiv 2403.12776, section 3).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.config import Config
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.scorer import Key, Scored, Scorer
from siftline.contracts.share import Share
from siftline.models.generation import STOP, Sampling
from siftline.models.likelihood import EMPTY_RESPONSE, OK
from siftline.models.loading import load_language_model, load_tuned
from siftline.models.rendering import Message, Template
from siftline.models.training.tuning import Tuning
from siftline.scorers.confidence import judgeable, table_of
from siftline.scorers.judges.judging import Reading, ask, is_better, is_correct, question_of, weigh

CUT = "cut"  # the candidate was cut at its limit of tokens
EMPTY = "empty_candidate"
UNCHANGED = "unchanged"  # the candidate is the response
UNPARSABLE = "unparsable"  # a judgement gave no letter, or too few of those sampled did
NO_MODEL = "nothing_to_train_on"  # all that passed has this prompt, or one of its fold

_LETTERS = ("A", "B", "C")
_CLAIMS = {"A": "(A) The first answer", "B": "(B) The second answer"}

CANDIDATE = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("status", pa.string()),  # ok, or why there is none
        ("text", pa.string()),
        ("origin", pa.string()),  # name of the model that wrote it
    ]
)
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


class Correction(Config):
    """How responses that did not pass are corrected.

    Attributes:
        eta: Confidence above which a candidate replaces the response.
        tuning: How the model that writes candidates is tuned on what passed; None lets the
            untuned model write them.
        max_tokens: Of a candidate.
        judgements: Sampled judgements in each order; 0 reads the preference off the letters'
            probabilities, one forward pass, without an explanation.
        judgement_tokens: Of one judgement.
        max_share: Largest share of corrected rows among the rows that are kept.
    """

    eta: float = Field(default=0.8, ge=0, le=1)
    tuning: Tuning | None = None
    max_tokens: int = Field(default=512, ge=1)
    judgements: int = Field(default=5, ge=0, le=64)
    judgement_tokens: int = Field(default=200, ge=1)
    max_share: Share = 0.5


class Candidate(RunsModel, Scorer):
    """One greedy answer to each prompt, in the table `candidate`: :data:`CANDIDATE`.

    Attributes:
        model: Role of the language model.
        tuning: How it was tuned, None if it was not.
        trained_on: Digest of the rows that it was tuned on.
        max_tokens: Of an answer.
        template: How prompts are rendered.
    """

    table: ClassVar[str] = "candidate"
    revision: ClassVar[int] = 2
    key: ClassVar[Key] = "prompt_id"

    tuning: Tuning | None = None
    trained_on: str | None = None
    max_tokens: int = 512
    template: Template = "chat"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Answer each prompt.

        Raises:
            ModelError: The model cannot be loaded or run.
        """
        spec = runtime.spec(self.model)
        keys = rows["prompt_id"].to_pylist()
        turns = rows["messages"].to_pylist()
        folds = [self.tuning.fold_of(key) if self.tuning else 0 for key in keys]
        records: dict[int, tuple[Any, ...]] = {}
        usage = Usage()
        for fold in sorted(set(folds)):
            mine = [row for row, place in enumerate(folds) if place == fold]
            model = self._model(fold, runtime)
            if model is None:
                records |= {row: (keys[row], NO_MODEL, None, None) for row in mine}
                progress.advance(len(mine))
                continue
            found = model.generate(
                [turns[row][:-1] for row in mine],
                Sampling(temperature=0, max_tokens=self.max_tokens),
                template=self.template,
                on_batch=progress.advance,
            )
            usage = usage.plus(found.usage)
            for row, answer in zip(mine, found.rows, strict=True):
                records[row] = (keys[row], *_candidate(answer, self._origin(spec)))
        return Scored(table_of([records[row] for row in range(len(keys))], CANDIDATE), usage)

    def _model(self, fold: int, runtime: Runtime) -> Any:
        """Return the model that answers the prompts of a fold; None where none was trained."""
        spec = runtime.spec(self.model)
        if self.tuning is None:
            return load_language_model(spec, runtime.device)
        assert runtime.artifact is not None
        folder = runtime.artifact / f"fold-{fold}"
        return load_tuned(spec, folder, runtime.device) if folder.exists() else None

    def _origin(self, spec: ModelSpec) -> str:
        return spec.name if self.tuning is None else f"{spec.name} (tuned)"


class Preference(RunsModel, Scorer):
    """The judge's preference for the candidate, in the table `preference`: :data:`PREFERENCE`.

    Attributes:
        model: Role of the judge.
        candidate: Which candidate.
        sampling: Of the judgements; None reads the letters' probabilities.
        reading: How the reflection on a judgement is read.
        template: How questions are rendered.
    """

    table: ClassVar[str] = "preference"
    revision: ClassVar[int] = 2

    candidate: Candidate
    sampling: Sampling | None = None
    reading: Reading = "probabilities"
    template: Template = "chat"

    @property
    def needs(self) -> tuple[Scorer, ...]:
        """The candidate."""
        return (self.candidate,)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Judge each response against its prompt's candidate, in both orders.

        Raises:
            ModelError: The judge cannot be loaded or run.
        """
        records = rows.select(["messages", "metadata", "candidate"]).to_pylist()
        statuses = [_comparable(row) for row in records]
        asked = [row for row, status in zip(records, statuses, strict=True) if status == OK]
        model = load_language_model(runtime.spec(self.model), runtime.device)
        reading: Reading = "probabilities" if self.sampling is None else "letter"
        orders = [(row, letter) for letter in ("A", "B") for row in asked]
        questions = [self._question(row, letter, reading) for row, letter in orders]
        judged = weigh(
            model, [ask(q) for q in questions], _LETTERS, reading, self.template, self.sampling
        )
        doubts = [
            ask(is_correct(question, _CLAIMS[letter], self.reading, again))
            for again in (False, True)
            for question, (_, letter) in zip(questions, orders, strict=True)
        ]
        doubted = weigh(model, doubts, _LETTERS, self.reading, self.template)
        found = iter(_preferences(judged.rows, doubted.rows, len(asked)))
        keys = rows["content_hash"].to_pylist()
        results = [
            (key, *next(found)) if status == OK else (key, status, *[None] * 4)
            for key, status in zip(keys, statuses, strict=True)
        ]
        progress.advance(len(rows))
        usage = judged.usage.plus(doubted.usage)
        return Scored(table_of(results, PREFERENCE), usage)

    def _question(self, row: dict[str, Any], letter: str, reading: Reading) -> str:
        """Ask which is better; the candidate stands where the letter says."""
        response, candidate = _last(row["messages"]), row["candidate"]["text"]
        one, two = (candidate, response) if letter == "A" else (response, candidate)
        return is_better(question_of(row["messages"][:-1]), one, two, reading)


def _candidate(answer: Any, name: str) -> tuple[Any, ...]:
    if isinstance(answer, str):
        return answer, None, None
    (sample,) = answer
    text = sample.text.strip()
    if not text:
        return EMPTY, None, None
    return (OK if sample.finish == STOP else CUT), text, name


def _comparable(row: dict[str, Any]) -> str:
    """Return `ok`, or why there is nothing to compare."""
    status = judgeable(row)
    if status not in (OK, EMPTY_RESPONSE):
        return status
    if row["candidate"]["status"] != OK:
        return str(row["candidate"]["status"])
    return UNCHANGED if row["candidate"]["text"] == _last(row["messages"]) else OK


def _last(turns: Sequence[Message]) -> str:
    return turns[-1]["content"].strip()


def _preferences(judged: list[Any], doubted: list[Any], rows: int) -> list[tuple[Any, ...]]:
    """Put the judgements of both orders, and the two looks at each, into one record per row."""
    records: list[tuple[Any, ...]] = []
    for row in range(rows):
        places = (row, rows + row)
        shares = [judged[place] for place in places]
        looks = [doubted[half * 2 * rows + place] for half in (0, 1) for place in places]
        bad = next((each for each in (*shares, *looks) if isinstance(each, str)), None)
        if bad is not None or any(share is None for share in shares):
            records.append((bad or UNPARSABLE, None, None, None, None))
            continue
        seen = [0.5 if look is None else look[0] + 0.5 * look[2] for look in looks]
        reflections = [(seen[0] + seen[2]) / 2, (seen[1] + seen[3]) / 2]
        records.append((OK, shares[0][0], shares[1][1], *reflections))
    return records
