"""The question of a benchmark that a conversation's last question means nearly the same as."""

from typing import ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.examples import normalise
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Key, Scored, Scorer
from siftline.models.likelihood import OK
from siftline.models.loading import load_embedder
from siftline.models.talks import Talk, prompts_of
from siftline.scorers.leaks.evidence import shown
from siftline.scorers.leaks.opened_benchmarks import ReadsBenchmarks, open_items
from siftline.scorers.leaks.question_vectors import question_vectors
from siftline.scorers.tables import table_of

NO_QUESTION = "no_question"  # no turn of a user before the response, or one without text

BENCHMARK_PARAPHRASE = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("status", pa.string()),
        ("cosine", pa.float64()),
        ("item", pa.string()),
        ("text", pa.string()),
        ("passage", pa.string()),
    ]
)


class BenchmarkParaphrase(ReadsBenchmarks, RunsModel, Scorer):
    """The benchmark's question nearest to the last turn of the user, by cosine of embeddings.

    Turns are compared whole, white space normalised; an embedder cuts what is longer than its
    window. Score columns of the table `benchmark_paraphrase`:
        status: `ok`, `not_text_only` (the prompt has images, sounds or files) or `no_question`.
        cosine: to the nearest question whose numbers the turn has; null below 0.6.
        item: which, as in `gsm8k#12`.
        text: the benchmark's.
        passage: the turn.

    Attributes:
        model: Role of an embedder.
    """

    table: ClassVar[str] = "benchmark_paraphrase"
    revision: ClassVar[int] = 1
    local: ClassVar[bool] = True
    key: ClassVar[Key] = "prompt_id"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Embed the last question of each row, and look for the nearest one.

        Raises:
            InputError: A benchmark cannot be read, or lacks a field.
            ModelError: The embedder cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        embedder = load_embedder(runtime.spec(self.model), runtime.device)
        items = open_items(self.benchmarks, runtime.base)
        limit = runtime.max_batch_tokens
        questions, usage = question_vectors(items, self.ngram_words, embedder, limit)
        asked = [_last_question(prompt) for prompt in prompts_of(rows)]
        texts = [text for status, text in asked if status == OK]
        progress.advance(len(asked) - len(texts))
        embedded = embedder.embed(texts, max_batch_tokens=limit, on_batch=progress.advance)
        nearest = iter(questions.nearest(texts, embedded.vectors))
        records: list[tuple[object, ...]] = []
        for prompt_id, (status, text) in zip(rows["prompt_id"].to_pylist(), asked, strict=True):
            near = next(nearest) if status == OK else None
            found = (
                (near.cosine, near.item.name, shown(near.item.question), shown(text))
                if near
                else (None,) * 4
            )
            records.append((prompt_id, status, *found))
        return Scored(table_of(records, BENCHMARK_PARAPHRASE), embedded.usage.plus(usage))


def _last_question(prompt: Talk | str) -> tuple[str, str]:
    """Return a status, and the last turn of the user where it is `ok`."""
    if isinstance(prompt, str):
        return prompt, ""
    asked = [turn["content"] for turn in prompt.messages if turn["role"] == "user"]
    text = normalise(asked[-1]) if asked else ""
    return (OK, text) if text else (NO_QUESTION, "")
