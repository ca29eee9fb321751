"""Sampled answers to each prompt, from which BSDetector reads how sure a model is.

Chen and Mueller, ACL 2024 (arXiv 2308.16175). Samples are a scorer of their own, so that another
comparer pays for no new ones. They are a function of the prompt alone: candidates for one prompt
share them.
"""

from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Key, Scored, Scorer
from siftline.models.generation import STOP, Sample, Sampling
from siftline.models.likelihood import OK
from siftline.models.loading import load_language_model
from siftline.models.rendering import Template
from siftline.models.talks import Talk, of_each, prompts_of
from siftline.scorers.asking import answers_to
from siftline.scorers.tables import table_of

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


class Samples(RunsModel, Scorer):
    """Answers of a language model to each prompt, in the table `samples`: :data:`SAMPLES`.

    Prompts that differ in white space only share the samples of one of them.

    Attributes:
        model: Role of a language model.
        sampling: How they are drawn.
        explain: Ask for reasoning before the answer, which makes samples differ where the model
            is not sure.
        template: How prompts are rendered.
    """

    table: ClassVar[str] = "samples"
    revision: ClassVar[int] = 3  # 3: all markers of thoughts are in the text
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
        prompts = of_each(prompts_of(rows), self._prompt)
        generated = answers_to(model, prompts, self.sampling, self.template, progress.advance)
        records = [
            (key, *_record(samples))
            for key, samples in zip(rows["prompt_id"].to_pylist(), generated.rows, strict=True)
        ]
        return Scored(table_of(records, SAMPLES), generated.usage)

    def _prompt(self, talk: Talk) -> Talk:
        """Return the conversation that is continued."""
        if not self.explain:
            return talk
        *earlier, last = talk.messages
        asked: Message = {**last, "content": f"{last['content']}\n\n{_EXPLAIN}"}
        return talk._replace(messages=[*earlier, asked])


def _record(samples: list[Sample] | str) -> tuple[Any, ...]:
    """Return the columns of one prompt after the key; its samples may be a status instead."""
    if isinstance(samples, str):
        return samples, None, None, None
    counts = [sample.tokens for sample in samples]
    total = None if None in counts else sum(count for count in counts if count is not None)
    texts = [sample.text for sample in samples]
    return OK, texts, [sample.finish == STOP for sample in samples], total
