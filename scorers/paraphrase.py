"""Paraphrases: the gold answer in a model's own words, for S3FT (arXiv 2502.08130)."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.generation import STOP, Sample, Sampling
from siftline.models.likelihood import OK
from siftline.models.loading import load_language_model
from siftline.models.rendering import Template
from siftline.models.talks import Talk, of_each, talks_of
from siftline.scorers.asking import answers_to
from siftline.scorers.candidate import status_of_answer
from siftline.scorers.responses import response_of
from siftline.scorers.statuses import UNCHANGED
from siftline.scorers.tables import table_of

META_TEXT = "meta_text"  # the paraphrase speaks of the reference

# Words that a text without a reference has no use for. Those that the row itself uses are its own.
_META = re.compile(
    r"\b(?:reference|given|provided|original|above)\s+(?:answer|solution|response|text)\b"
    r"|\b(?:answer|solution|response)\s+(?:above|you\s+(?:provided|gave)|that\s+was\s+given)\b"
    r"|\b(?:as\s+(?:in\s+)?|according\s+to\s+)the\s+reference\b"
    r"|\bthe\s+reference\s+(?:says|states|shows|gives|notes|mentions|suggests)\b"
    r"|\b(?:my|your)\s+own\s+words\b|\b(?:paraphras|rephras|reword)",
    re.IGNORECASE,
)
_INSTRUCTION = (
    "Answer the task above in your own words. Below is a correct answer. Yours must say the same, "
    "have the same form and come to the same result; do not mention that you were given one.\n\n"
)

PARAPHRASE = pa.schema(
    [
        ("content_hash", pa.string()),
        ("status", pa.string()),  # ok, or why there is none
        ("text", pa.string()),
        ("origin", pa.string()),  # name of the model that wrote it
    ]
)


class Paraphrase(RunsModel, Scorer):
    """The gold answer in the model's words, in the table `paraphrase`: :data:`PARAPHRASE`.

    Attributes:
        model: Role of the language model.
        max_tokens: Of a paraphrase.
        template: How prompts are rendered.
    """

    table: ClassVar[str] = "paraphrase"
    revision: ClassVar[int] = 4  # 4: all markers of thoughts are in the text

    max_tokens: int = 512
    template: Template = "chat"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Paraphrase each response, greedily.

        Raises:
            ModelError: The model cannot be loaded or run.
        """
        spec = runtime.spec(self.model)
        conversations = rows["messages"].to_pylist()
        paraphrases = answers_to(
            load_language_model(spec, runtime.device),
            of_each(talks_of(rows), _with_reference),
            Sampling(temperature=0, max_tokens=self.max_tokens),
            self.template,
            progress.advance,
        )
        keys = rows["content_hash"].to_pylist()
        records = [
            (key, *_record(samples, turns, spec.name))
            for key, samples, turns in zip(keys, paraphrases.rows, conversations, strict=True)
        ]
        return Scored(table_of(records, PARAPHRASE), paraphrases.usage)


def meta_text(text: str, turns: Sequence[Message]) -> bool:
    """Return whether a text speaks of a reference in words that its conversation does not use."""
    known = {_folded(phrase) for turn in turns for phrase in _META.findall(turn["content"])}
    return any(_folded(phrase) not in known for phrase in _META.findall(text))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _with_reference(talk: Talk) -> Talk:
    """Return the prompt with the gold answer as a reference, in a turn by the user."""
    *earlier, last = talk.messages[:-1]
    instruction = f"{_INSTRUCTION}{response_of(talk.messages)}"
    asked: Message = {"role": "user", "content": instruction}
    if last["role"] == "user":
        asked = {**last, "content": f"{last['content']}\n\n{instruction}"}
        return talk._replace(messages=[*earlier, asked])
    # The last turn is a tool's, which cannot ask for a paraphrase.
    return talk._replace(messages=[*earlier, last, asked])


def _record(samples: list[Sample] | str, turns: Sequence[Message], origin: str) -> tuple[Any, ...]:
    """Return the columns of one row after the key; its samples may be a status instead."""
    if isinstance(samples, str):
        return samples, None, None
    (sample,) = samples
    text = sample.text.strip()
    return _status(text, turns, sample.finish == STOP), text or None, origin


def _status(text: str, turns: Sequence[Message], ended: bool) -> str:
    status = status_of_answer(text, ended)
    if status != OK:
        return status
    if text == response_of(turns):
        return UNCHANGED
    return META_TEXT if meta_text(text, turns) else OK
