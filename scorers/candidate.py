"""Candidates: one greedy answer to each prompt, by a model as it is or tuned.

CLEAR replaces a response by a candidate of the model that was tuned on what passed (arXiv
2403.12776, section 3); S3FT takes the untuned model's (arXiv 2502.08130).
"""

from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.scorer import Key, Scored, Scorer
from siftline.models.generation import STOP, Generator, Sample, Sampling
from siftline.models.likelihood import OK
from siftline.models.loading import load_language_model, load_tuned
from siftline.models.rendering import Template
from siftline.models.talks import prompts_of
from siftline.models.thoughts import after_thought
from siftline.models.training.tuning import Tuning
from siftline.scorers.asking import answers_to
from siftline.scorers.statuses import CUT, EMPTY, UNFINISHED_THOUGHT
from siftline.scorers.tables import table_of

NO_MODEL = "nothing_to_train_on"  # all that passed has this prompt, or one of its fold

CANDIDATE = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("status", pa.string()),  # ok, or why there is none
        ("text", pa.string()),
        ("origin", pa.string()),  # name of the model that wrote it
    ]
)


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
    revision: ClassVar[int] = 4  # 4: all markers of thoughts are in the text
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
        talks = prompts_of(rows)
        folds = [self.tuning.fold_of(key) if self.tuning else 0 for key in keys]
        records: dict[int, tuple[Any, ...]] = {}
        usage = Usage()
        for fold in sorted(set(folds)):
            of_fold = [row for row, place in enumerate(folds) if place == fold]
            model = self._model(fold, runtime)
            if model is None:
                records |= {row: (keys[row], NO_MODEL, None, None) for row in of_fold}
                progress.advance(len(of_fold))
                continue
            answers = answers_to(
                model,
                [talks[row] for row in of_fold],
                Sampling(temperature=0, max_tokens=self.max_tokens),
                self.template,
                progress.advance,
            )
            usage = usage.plus(answers.usage)
            for row, answer in zip(of_fold, answers.rows, strict=True):
                records[row] = (keys[row], *_record(answer, self._origin(spec)))
        return Scored(table_of([records[row] for row in range(len(keys))], CANDIDATE), usage)

    def _model(self, fold: int, runtime: Runtime) -> Generator | None:
        """Return the model that answers the prompts of a fold; None where none was trained."""
        spec = runtime.spec(self.model)
        if self.tuning is None:
            return load_language_model(spec, runtime.device)
        assert runtime.artifact is not None
        folder = runtime.artifact / f"fold-{fold}"
        return load_tuned(spec, folder, runtime.device) if folder.exists() else None

    def _origin(self, spec: ModelSpec) -> str:
        return spec.name if self.tuning is None else f"{spec.name} (tuned)"


def _record(answer: list[Sample] | str, origin: str) -> tuple[Any, ...]:
    """Return the columns of one prompt after the key; its answer may be a status instead."""
    if isinstance(answer, str):
        return answer, None, None
    (sample,) = answer
    text = sample.text.strip()
    status = status_of_answer(text, sample.finish == STOP)
    return (EMPTY, None, None) if status == EMPTY else (status, text, origin)


def status_of_answer(text: str, ended: bool) -> str:
    """Return `ok`, or why an answer that a model has written is none.

    Args:
        text: The answer, its thought included.
        ended: The model ended it by itself.
    """
    if not text or (ended and after_thought(text) is None):
        return UNFINISHED_THOUGHT if text else EMPTY
    if not ended:
        return CUT
    return OK if (after_thought(text) or "").strip() else EMPTY
